"""The word lists of distress, in lower case, with ``ё`` written as ``е``. A star stands for any ending."""

import re

from iskra_metrics.stop_words import listed


def _weights(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.strip().splitlines():
        weight, _, table = line.partition(":")
        found.update(dict.fromkeys(table.split(), float(weight)))
    return found


PAIN = _weights("""
3.0: отчаян* безнадежн* безысходн* невыносим* ненавижу агони* мучени* мучаюсь горе горюю скорб* умер умерла умерли
3.0: похорон*
3.0: hopeless* despair* unbearable agony torment* grief grieving mourn* devastat* worthless anguish* funeral
2.0: боль больно боли болью болит страда* плач* плака* рыда* одинок* одиночеств* депресс* тоск* паник* ужас*
2.0: страшно страх страха выгорел* выгоре* выгорани* измучен* измота* предал* предатель* брошен* стыдно унизи*
2.0: унижен* бессил* беспомощн* разбит* травм* развод* уволили никчемн* ничтожн* потерял* кошмар*
2.0: pain painful hurt hurts hurting suffer* crying cried sobbing lonely loneliness depress* panic* terrified
2.0: horrible helpless powerless heartbroken betray* abandoned ashamed humiliat* exhausted burned burnt burnout
2.0: died miserable traum* divorce fired useless overwhelm* nightmare*
1.2: груст* печаль* печальн* обид* обидно злюсь злость бешусь бесит раздража* тревог* тревож* боюсь боимся пуга*
1.2: нервнича* волнуюсь устал* уставш* тяжело трудно плохо хреново достало надоело стресс* расстро*
1.2: разочаров* вину виню виноват виновата бессонниц*
1.2: sad sadness unhappy angry anger furious upset anxious anxiety afraid scared fear fears worried worry nervous
1.2: tired stress* frustrat* disappoint* awful terrible guilty guilt annoyed irritat* struggling insomnia sick hate
""")

INTENSIFIERS = {
    **dict.fromkeys(
        listed(
            """
    очень так такой такая такое сильно ужасно безумно невыносимо совсем слишком крайне страшно дико адски полностью
    very so really extremely incredibly utterly completely totally deeply terribly such too absolutely
    """
        ),
        1.4,
    ),
    **dict.fromkeys(
        listed(
            """
    немного чуть слегка немножко капельку несколько почти slightly somewhat little bit barely mildly almost
    """
        ),
        0.6,
    ),
}
"""What a word before a word of pain multiplies its weight by."""

NEGATIONS = listed(
    """
    не нет ни без никогда перестал перестала not no never without isn wasn don doesn didn won stopped
    hardly cannot neither nor
    """
)

SELF = listed(
    """
    я меня мне мной мой моя мое мои моего моей нас нам мы себя себе i me my mine myself we us our i'm i've i'd i'll
    we're we've
    """
)

WITHOUT_PAIN = re.compile(
    r"\b(?:(?:can't|cannot|couldn't|can't seem to|не могу|не может) (?:stop|help|перестать|прекратить)|"
    r"kernel panic\w*|panic mode|pain points?|no pain,? no gain|burn(?:ed|t) down chart|(?:fear|hate) missing|"
    r"hard to miss|sick of winning|fired (?:off|up|event\w*)|(?:is|was|gets?|be|been) fired (?:when|on|by|after|"
    r"once|for each)|"
    r"(?:event|hook|trigger|alarm|handler|timer|callback)s? (?:is |are |was |were |has |have )?fired|"
    r"worry about it later|"
    r"no worries|don't worry|crying out loud|паник\w* ядра|точк\w+ боли|не бойся|не бойтесь|без паники|"
    r"потерял\w* пакет\w*|"
    r"(?:потерянн|потерял)\w* соединени\w*|не волнуйся|не волнуйтесь|умер\w* процесс\w*|процесс\w* умер\w*|"
    r"(?:server|process|worker|connection|battery|disk|app|phone|laptop|thread|job|pod|container|node|daemon|script|"
    r"build|session|machine|drive)\w* (?:has )?died|разбит\w* на|развод\w* (?:мост|плат|"
    r"пожиж)\w*|"
    r"страшно (?:рад|интерес|любоп|весел|довол|смеш|красив)\w*|ужасно (?:рад|интерес|любоп|весел|довол|смеш|"
    r"красив)\w*)"
)
"""Phrases in which a word of pain shows none."""
