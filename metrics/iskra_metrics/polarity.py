"""Words that turn, oppose or weaken a claim, in Russian and English, with ``ё`` written as ``е``."""

import re
from collections import defaultdict

from iskra_metrics.stop_words import listed
from iskra_metrics.text import stem

NEGATORS = listed(
    """
    не ни нет нельзя никогда никак никто ничто ничего никакой никакая никакое никакие вовсе без not no never none
    nobody nothing neither nor cannot without hardly
    """
)

CLAUSE_BREAKS = listed(
    """
    , ; : ( ) — – но однако зато а but however although though yet because
    """
)

NOT_NEGATING = re.compile(
    r"\b(?:не только|не просто|не менее|не более чем|не позднее|тем не менее|как ни|ни за что|не исключено|"
    r"not only|not just|no doubt|no longer than|no more than|no less than|no later than|nothing but|not least|"
    r"no wonder)\b"
)

WHOLE_NEGATION = re.compile(
    r"^\W*(?:неверно|неправда|не ?верно|ложно|ошибочно(?: считать)?|это не так)\W{1,3}(?:будто|что)\b"
    r"|^\W*(?:it is|it's|that is|that's)? ?(?:not true|untrue|false|not the case|incorrect|wrong) that\b"
    r"|^\W*it (?:isn't|is not) (?:true|the case|so) that\b"
)


_COUNTED = """
день дня дней дню днем днях дни
час часа часов часы часу часам часах
год года лет годы годов году годам годах
рубль рубля рублей рубли рублю рублях руб
метр метра метров метры метре метрах
литр литра литров литры литре
тонна тонны тонн тонну тоннах
штука штуки штук штуку штуках шт
балл балла баллов баллы баллах
миля мили миль милю
шаг шага шагов шаги шагах
этаж этажа этажей этажи этаже этажах
раз раза разу
человек человека людей люди людям людях
ребенок ребенка детей дети детям
foot feet
inch inches
"""
_FORMS = {form: forms[0] for forms in map(str.split, _COUNTED.strip().splitlines()) for form in forms}


def base(word: str) -> str:
    """Return the stem of a word without its endings as far as these show within a stem.

    "need" of "needs"; «день» of «дня» and «дней»: what is counted changes its form with the number.
    """
    word = _FORMS.get(word.replace("ё", "е"), word)
    return stem(word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word)


_OPPOSITES = """
растет падает | растут падают | рост падение | рост снижение | увеличивает уменьшает | увеличение уменьшение
увеличился уменьшился | увеличить уменьшить | повышает понижает | повышает снижает | повысил снизил
повысилась снизилась | вырос упал | выросла упала | выросли упали | выросло упало | вырос снизился
выросла снизилась | вырастет упадет | быстрый медленный | быстро медленно | быстрее медленнее | высокий низкий
высока низка | большой маленький | сильный слабый | сильнее слабее | хороший плохой | хорошо плохо | лучше хуже
дорогой дешевый | дорого дешево | дороже дешевле | легкий тяжелый | легко сложно | простой сложный | просто сложно
проще сложнее | надежный ненадежный | открыт закрыт | открыта закрыта | открыто закрыто | открыты закрыты
включен выключен | включена выключена | включить выключить | истина ложь | правда ложь | верный неверный
верно неверно | правильно неправильно | можно нельзя | разрешен запрещен | разрешено запрещено | разрешает запрещает
полезный вредный | полезно вредно | полезен вреден | безопасный опасный | безопасно опасно | безопасен опасен
стабильный нестабильный | теплый холодный | тепло холодно | горячий холодный | полный пустой | начало конец
начался закончился | начинает заканчивает | прибыль убыток | прибыльный убыточный | успех провал
успешно безуспешно | принял отклонил | приняли отклонили | принят отклонен | согласен против | друг враг
живой мертвый | жив мертв | новый старый | молодой старый | синхронный асинхронный | победил проиграл
победили проиграли | купил продал | помогает мешает | поддерживает отвергает | достаточно недостаточно
возможно невозможно | публичный приватный | доступен недоступен | доступна недоступна | обязательно необязательно
мокрый сухой | темный светлый | тихий громкий | узкий широкий | короткий длинный | ранний поздний | рано поздно
increase decrease | increases decreases | increased decreased | rise fall | rises falls | rose fell | grow shrink
grows shrinks | grew shrank | fast slow | faster slower | quick slow | high low | higher lower | large small
larger smaller | big small | bigger smaller | strong weak | stronger weaker | good bad | good poor | better worse
best worst | expensive cheap | easy hard | easy difficult | easier harder | simple complex | reliable unreliable
open closed | opened closed | enabled disabled | enable disable | enables disables | true false | right wrong
correct incorrect | allowed forbidden | allowed denied | allow deny | allows forbids | permitted prohibited
accept reject | accepts rejects | accepted rejected | safe dangerous | safe unsafe | stable unstable | hot cold
warm cold | full empty | start end | started ended | begin end | profit loss | success failure | succeeded failed
succeeds fails | passed failed | pass fail | present absent | alive dead | new old | young old
synchronous asynchronous | won lost | buy sell | bought sold | helps hinders | help hinder | support oppose
supports opposes | sufficient insufficient | possible impossible | public private | available unavailable
required optional | mandatory optional | wet dry | dark light | quiet loud | narrow wide | short long | early late
gain loss | gained lost | improve worsen | improves worsens | improved worsened | secure insecure | useful useless
harmful harmless | visible hidden | known unknown | thick thin | heavy light | rich poor | win lose
"""


def _antonyms() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = defaultdict(set)
    for pair in re.split(r"[|\n]", _OPPOSITES):
        if pair.strip():
            one, other = (base(word) for word in pair.split())
            # Pairs that begin alike ("надеж", "недос") are told apart by negation or not at all.
            if one != other:
                table[one].add(other)
                table[other].add(one)
    return {word: frozenset(opposites) for word, opposites in table.items()}


ANTONYMS = _antonyms()
"""The opposites of a stem, as stems."""

HEDGES = re.compile(
    r"\b(?:возможно|вероятно|наверное|наверно|видимо|по-видимому|кажется|похоже|пожалуй|может быть|быть может|"
    r"скорее всего|"
    r"предположительно|допустим|как бы|вроде(?: бы)?|якобы|отчасти|в каком-то смысле|в некоторой степени|мне кажется|"
    r"я думаю|я полагаю|по-моему|не исключено|не уверена?|думается|как правило|в целом|мог(?:ла|ло|ли)? бы|"
    r"perhaps|maybe|probably|possibly|presumably|apparently|seemingly|arguably|likely|unlikely|might|may|could be|"
    r"seems?|"
    r"appears? to|suggests?|i think|i believe|i guess|i suppose|i feel|in my opinion|sort of|kind of|somewhat|roughly|"
    r"more or less|generally|usually|tends? to|not sure|as far as i know|to some extent|supposedly|assume|assuming)\b"
)
"""Matches a hedge in a lower-case text; the kinds of hedges are those of Hyland, *Hedging in Scientific Research*."""
