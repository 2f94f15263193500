"""Insults, and words of distrust, in Russian and English."""

import re
from functools import lru_cache

from iskra_metrics.text import excerpt, normal

_INSULT = re.compile(
    r"\b(?:(?:ты|вы|you are|you're|u r|u|you) (?:\w+ ){0,2}?)"
    r"(?:идиот\w*|дурак|дура|дебил\w*|кретин\w*|придур\w+|тупиц\w*|туп(?:ой|ая|ое|ые)|бездар\w+|ничтожеств\w*|"
    r"болван\w*|"
    r"тварь|мразь|козел|урод\w*|жалк(?:ий|ая|ое)|idiots?|morons?|imbeciles?|stupid|dumb|fools?|pathetic|worthless|"
    r"loser|"
    r"retard\w*|incompetent|trash|garbage|dumbass|asshole)\b"
    r"|\b(?:заткнись|отвали|пошел (?:ты|вон|на)|пошла (?:ты|вон)|shut up|screw you|fuck (?:you|off)|go to hell|"
    r"идиот|дурак|дебил|кретин|тупица|придурок|idiot|moron|dumbass|asshole)(?=[\s!.,?]*$|[!,])"
)

_DISTRUST = re.compile(
    r"\b(?:не верю (?:тебе|вам|этому)|я (?:тебе|вам) не верю|не доверяю|(?:ты|вы) (?:опять |снова |все |"
    r"мне )?(?:врешь|врете|"
    r"лжешь|лжете|обманываешь|обманываете|выдум\w+|сочин\w+)|это (?:вранье|ложь|выдумка|обман)|откуда ты это взял\w?|"
    r"(?:ты|вы) (?:ошиб\w+|неправ\w?|не прав\w?)|опять ошиб\w+|снова неверно|опять неверно|это неправда|"
    r"i (?:don't|do not|can't|cannot|no longer) (?:trust|believe) (?:you|this|that|your)|you(?:'re| are) (?:lying|"
    r"wrong again|"
    r"making (?:this|that|it|things) up)|you made (?:that|this|it) up|you lied|that(?:'s| is) (?:a lie|not true|"
    r"made up|bullshit)|"
    r"you hallucinat\w+|stop (?:lying|making things up)|wrong again|you(?:'re| are) wrong)\b"
)


def insults(text: str) -> list[str]:
    """Return the insults that a text aims at whom it speaks to, in order."""
    return list(_found(_INSULT, excerpt(text)))


def distrust(text: str) -> list[str]:
    """Return the places in which a text says that the other is not believed, in order."""
    return list(_found(_DISTRUST, excerpt(text)))


@lru_cache(maxsize=512)
def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    plain = normal(text).replace("ё", "е").replace("’", "'")
    return tuple(match.group().strip() for match in pattern.finditer(plain))
