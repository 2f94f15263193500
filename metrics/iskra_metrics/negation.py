"""Says the opposite of a statement."""

import re

from iskra_metrics.opposition import contradictions
from iskra_metrics.text import language_of

_ENGLISH_AUXILIARY = re.compile(
    r"\b(is|are|was|were|will|can|could|should|would|must|has|does|did|may|might|shall)\b(?! not\b)", re.IGNORECASE
)
_ENGLISH_CANNOT = re.compile(r"\bcan(?:not|['’]t)\b")
_ENGLISH_NOT = re.compile(
    r"\b(is|are|was|were|will|can|could|should|would|must|has|have|had|does|do|did|may|might) not\b"
)
_ENGLISH_SHORT = re.compile(r"\b(is|are|was|were|could|should|would|must|has|have|had|does|do|did)n['’]t\b")
_RUSSIAN_NOT = re.compile(r"\bне\s+(?=\w)", re.IGNORECASE)
_RUSSIAN_VERB = re.compile(
    r"\b(?=(?:является|являются|может|могут|должен|должна|должно|должны|нужен|нужна|нужно|нужны|будет|будут|был|была|"
    r"было|были|умеет|умеют|требует|требуют|имеет|имеют|"
    r"\w{3,}(?:ается|яется|уется|аются|яются|уются|ится|ятся|алась|ался|алось|ались|ает|яет|ают|яют|уют))\b)",
    re.IGNORECASE,
)


def negate(statement: str) -> str:
    """Return a statement that contradicts ``statement``: plain rather than elegant, in its own language.

    A negation that is there is taken away; else one is put before the verb where it is found; else the statement is
    denied as a whole.
    """
    bare = statement.strip()
    russian = language_of(bare) == "ru"
    for candidate in _russian(bare) if russian else _english(bare):
        if candidate != bare and contradictions([bare, candidate]):
            return candidate
    start = bare[:1].lower() + bare[1:] if bare[1:2].islower() or bare[1:2] == " " else bare
    return f"Неверно, что {start}" if russian else f"It is not true that {start}"


def _english(statement: str) -> list[str]:
    return [
        _ENGLISH_CANNOT.sub("can", statement, count=1),
        _ENGLISH_NOT.sub(r"\1", statement, count=1),
        _ENGLISH_SHORT.sub(r"\1", statement, count=1),
        _ENGLISH_AUXILIARY.sub(r"\1 not", statement, count=1).replace("can not", "cannot"),
    ]


def _russian(statement: str) -> list[str]:
    return [_RUSSIAN_NOT.sub("", statement, count=1), _RUSSIAN_VERB.sub("не ", statement, count=1)]
