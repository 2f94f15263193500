"""A model that does what its prompt demands, and nothing else: it reads the demands and knows no voice.

Each line "- …" of the system prompt is a demand. What it puts in quotation marks is a form to fill in; the rest is read
by a few verbs. A demand that is not in the prompt leaves no trace in the answer.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence

from iskra_metrics.distress import pain_in
from iskra_metrics.stop_words import listed
from iskra_metrics.text import language_of, words

_STOP = listed(
    """
    that this with have from they then than what when each every another which since because about after before until
    without through more less cannot still also into onto very much many their there again keep wants needs want says
    said call calls need must nobody everybody anybody
    чтобы этот этого больше потому хотя после перед каждый каждая другой ради всем всё нашу наши меня очень тоже можно
    нужно нужен говорит говорю хочет хочу называют теперь никто никому
    """
)


class Draft:
    """The words that an answer is made of."""

    def __init__(self, asked: str, *, is_light: bool, heard: Mapping[str, str]) -> None:
        self.heard = heard
        self.asked = asked
        self.is_russian = language_of(asked) == "ru"
        self._seed = zlib.crc32(asked.encode())
        found = [word for word in words(asked) if len(word) > 3 and word not in _STOP]
        # Who is told not to joke about pain leaves its words alone.
        self._topics = [word for word in found if not (is_light and pain_in(f"I am {word}"))] or words(asked)

    def topic(self, place: int = 0) -> str:
        """Return one of the user's own words."""
        return self._topics[(self._seed + place) % len(self._topics)]

    def fragment(self, length: int = 4) -> str:
        """Return some words in a row of the user's message."""
        spoken = self.asked.rstrip(".?!").split()
        start = self._seed % max(1, len(spoken) - length)
        return " ".join(spoken[start : start + length]).strip(",.")

    def pick(self, *variants: str) -> str:
        """Return one of several wordings, the same for the same message."""
        return variants[self._seed % len(variants)]

    def said(self, russian: Sequence[str], english: Sequence[str]) -> str:
        return self.pick(*(russian if self.is_russian else english))


def answer(system: str, asked: str) -> str:
    """Return what the model says."""
    demands = [line[2:] for line in system.splitlines() if line.startswith("- ")]
    heard = dict(re.findall(r"^\[(\w+)\]\n(.*?)\n\[/\1\]", asked, re.MULTILINE | re.DOTALL))
    asked = asked.partition("\n\nWhat the others said:")[0]
    draft = Draft(asked, heard=heard, is_light=any("joke about pain" in demand for demand in demands))
    claims: list[str] = re.findall(r"^(C\d+): ", system, re.MULTILINE)
    pieces = [piece for demand in demands for piece in _met(demand, draft, claims)]
    if not pieces:
        first = draft.said(("Понятно", "Хорошо", "Ясно"), ("I see", "All right", "Understood"))
        pieces = [f"{first}: {draft.topic()}, {draft.topic(1)}."]
    return "\n".join(pieces)


def _met(demand: str, draft: Draft, claims: Sequence[str]) -> list[str]:
    for pattern, write in _READINGS:
        if re.search(pattern, demand):
            return write(demand, draft, claims)
    return []


def _form(demand: str, draft: Draft, number: int = 0) -> str:
    """Return the beginning of a form that a demand shows, in the language of the message."""
    english = re.findall(r"'([^']+)'", demand)
    russian = re.findall(r"«([^»]+)»", demand)
    forms: list[str] = russian if draft.is_russian and russian else english
    return forms[min(number, len(forms) - 1)]


def _label(demand: str, draft: Draft, number: int = 0) -> str:
    return _form(demand, draft, number).partition(":")[0].rstrip(" …")


def _quote(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    return [f'{draft.said(("Сказано", "Вы пишете"), ("You wrote", "Said here"))}: "{draft.fragment()}".']


def _conflict(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    a, b = draft.topic(), draft.topic(1)
    russian = (f"Но {a} и {b} не сходятся.", f"Но рядом стоит {b}, и это против {a}.")
    return [draft.said(russian, (f"But {a} and {b} do not fit.", f"Yet {b} stands against {a}."))]


def _consequence(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    a = draft.topic(2)
    return [draft.said((f"Цена: {a}.", f"Значит, {a} пропадёт."), (f"It will cost {a}.", f"The price is {a}."))]


def _choice(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    either = "или" if draft.is_russian else "or"
    return [f"{_label(demand, draft)}: {draft.topic()} {either} {draft.topic(1)}."]


def _inversion(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    begin = _form(demand, draft).rstrip(" …").capitalize()
    a = draft.topic(1)
    russian = (f"{begin}, что {a} приходит сам и просит чаю.", f"{begin}: {a} смотрит на вас и зевает.")
    return [draft.said(russian, (f"{begin} {a} knocks and asks for tea.", f"{begin} {a} watches you and yawns."))]


def _option(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    begin = _form(demand, draft).rstrip(" …")
    a = draft.topic()
    russian = (f"{begin} одно: десять минут только {a}.", f"{begin} так: сначала {a}, прочее завтра.")
    return [
        draft.said(russian, (f"{begin} ten minutes of {a} and nothing else.", f"{begin} {a} first, the rest tomorrow."))
    ]


def _attribution(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    return [f"{voice.capitalize()}: {text.splitlines()[0].rstrip('.')}." for voice, text in draft.heard.items()]


def _line(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    text = f"{draft.topic()} {draft.topic(1)}"
    if "Ω" in demand:
        because = "потому что" if draft.is_russian else "because"
        text = f"0.{4 + len(draft.asked) % 5}, {because} {draft.topic()}"
    return [f"{_label(demand, draft)}: {text}"]


def _steps(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    verbs = ("Проверить", "Записать", "Выбрать", "Сделать") if draft.is_russian else ("Check", "Write", "Choose", "Do")
    count = 3 + len(draft.asked) % 2
    return [f"{number}. {verbs[number - 1]}: {draft.topic(number)}." for number in range(1, count + 1)]


def _reflection(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    begin = _form(demand, draft).rstrip(" …")
    return [f"{begin}: {draft.fragment(5)}." if draft.is_russian else f"{begin} this: {draft.fragment(5)}."]


def _whole_form(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    return [_form(demand, draft)]


def _question(_demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    russian = ("Что из этого тяжелее всего сейчас?", "Как это сегодня для вас?")
    return [draft.said(russian, ("What weighs most right now?", "How is that for you today?"))]


def _assumption(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    a = draft.topic()
    text = f"{a} вообще нужен" if draft.is_russian else f"{a} is needed at all"
    return [f"{_label(demand, draft)}: {text}"]


def _frames(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    label = _label(demand, draft).rstrip(" 0123456789")
    a, b = draft.topic(1), draft.topic(2)
    if draft.is_russian:
        return [f"{label} 1: игра на вылет, где {a} судья", f"{label} 2: сад зимой, {b} под снегом"]
    return [f"{label} 1: a knock-out game refereed by {a}", f"{label} 2: a winter garden, snow over {b}"]


def _table(_demand: str, draft: Draft, claims: Sequence[str]) -> list[str]:
    head = "| утверждение | источник | статус |" if draft.is_russian else "| claim | source | status |"
    none, status = ("нет", "открыто") if draft.is_russian else ("none", "open")
    return [head, "|---|---|---|", *(f"| {claim} | {none} | {status} |" for claim in claims or ["C1"])]


def _verdict(demand: str, draft: Draft, _claims: Sequence[str]) -> list[str]:
    label = "Вердикт" if draft.is_russian else _label(demand, draft)
    word = draft.pick("modify", "reject")
    russian = {"modify": "изменить", "reject": "отклонить"}
    return [f"{label}: {russian[word] if draft.is_russian else word}"]


_READINGS: Sequence[tuple[str, Callable[[str, Draft, Sequence[str]], list[str]]]] = (
    (r"^Where voices spoke before you", _attribution),
    (r"^Quote ", _quote),
    (r"^Say what stands against", _conflict),
    (r"^Name one consequence", _consequence),
    (r"exactly one choice", _choice),
    (r"^Turn the matter around", _inversion),
    (r"exactly one concrete option", _option),
    (r"numbered steps", _steps),
    (r"^Reflect ", _reflection),
    (r"^Permit a pause", _whole_form),
    (r"exactly one question", _question),
    (r"dropped assumption", _assumption),
    (r"two frames", _frames),
    (r"end with a line '→", _whole_form),
    (r"^Give a table", _table),
    (r"^Give one line 'Verdict", _verdict),
    (r"'[^':]+: …'", _line),
    (r"'Ω: ", _line),
)
