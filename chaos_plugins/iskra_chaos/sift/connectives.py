"""Words that join a premise to what follows from it, in Russian and English."""

import re
from dataclasses import dataclass

_THEREFORE = (
    r"therefore|thus|hence|consequently|accordingly|as a result|which means(?: that)?|that means(?: that)?|"
    r"it follows that|for this reason|that is why|(?<=, )so(?! that\b)|^so(?=[ ,])|"
    r"поэтому|следовательно|значит|таким образом|в результате|отсюда(?: следует)?|стало быть|выходит(?=, )|"
    r"(?:а |и )?потому(?! что)|из этого следует|это означает|итак"
)
_BECAUSE = (
    r"because(?: of)?|since(?! \d| then|\b\s+(?:january|february|march|april|may|june|july|august|september|october|"
    r"november|december|yesterday|last))|given that|due to|owing to|"
    r"потому что|так как|поскольку|ибо|из-за того,? что|оттого,? что|ввиду того,? что|благодаря тому,? что|ведь"
)
_CONDITION = re.compile(
    r"^\s*(?:if|when|unless|если|когда|раз)\s+(?P<premise>[^,]{3,}?),\s*(?:then\s+|то\s+|тогда\s+)?(?P<conclusion>.{3,})$"
    r"|^\s*(?:if|если)\s+(?P<premise2>.{3,}?)\s(?:then|то|тогда)\s+(?P<conclusion2>.{3,})$",
    re.IGNORECASE | re.DOTALL,
)
_HENCE = re.compile(rf"(?:^|[,;:—–-]\s*|\s)(?P<word>{_THEREFORE})\b[\s,]*(?:что\s)?", re.IGNORECASE)
_FOR = re.compile(rf"(?:^|[,;:—–-]\s*|\s)(?P<word>{_BECAUSE})\b[\s,]*", re.IGNORECASE)
_EDGES = " \t\n,;:—–-.!…"
_SHORTEST = 3
_LONGEST = 2_000  # characters of a sentence that are read
_POINTING_BACK = frozenset({"это", "и", "а", "this", "that", "it", "and", "all this", "всё это", "все это"})


@dataclass(frozen=True, slots=True)
class Argument:
    """What one sentence concludes, and from what.

    Attributes:
        conclusion: The part that is concluded.
        premises: The parts it is concluded from, as far as the sentence names them.
        leans_back: The sentence starts with "therefore": its premise is what came before.
        is_condition: It says "if"; the premise itself is not claimed.
    """

    conclusion: str
    premises: tuple[str, ...] = ()
    leans_back: bool = False
    is_condition: bool = False


def argument_in(sentence: str) -> Argument | None:
    """Return the argument a sentence makes; ``None`` where it joins nothing."""
    text = sentence[:_LONGEST].strip()
    if text.endswith("?"):
        return None
    if found := _CONDITION.match(text):
        premise = found["premise"] or found["premise2"]
        conclusion = found["conclusion"] or found["conclusion2"]
        return Argument(conclusion.strip(_EDGES), (premise.strip(_EDGES),), is_condition=True)
    if found := _FOR.search(text):
        before, after = text[: found.start()].strip(_EDGES), text[found.end() :].strip(_EDGES)
        if not before:  # "Because A, B"
            premise, _, conclusion = after.partition(", ")
            return _argument(premise, conclusion)
        return _argument(after, before)
    if found := _HENCE.search(text):
        before, after = text[: found.start()].strip(_EDGES), text[found.end() :].strip(_EDGES)
        if len(before) < _SHORTEST or before.lower() in _POINTING_BACK:
            return Argument(after, leans_back=True) if len(after) >= _SHORTEST else None
        return _argument(before, after)
    return None


def _argument(premise: str, conclusion: str) -> Argument | None:
    if min(len(premise), len(conclusion)) < _SHORTEST:
        return None
    return Argument(conclusion, (premise,))
