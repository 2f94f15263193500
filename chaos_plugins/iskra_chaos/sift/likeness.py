"""How alike two short statements are."""

import re
from collections.abc import Iterable

from iskra_metrics.text import stems

SAME = 0.6
"""Likeness from which two statements are taken to say the same thing."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def stem_set(text: str) -> frozenset[str]:
    """Return the stems of the content words of a text."""
    return frozenset(stems(text))


def numbers_in(text: str) -> frozenset[str]:
    """Return the numbers of a text, with a point for the decimal mark."""
    return frozenset(number.replace(",", ".") for number in _NUMBER.findall(text))


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Return shared stems over those of the shorter statement, in [0, 1]; 0 where one is empty."""
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return shared stems over all stems, in [0, 1]; 0 where both are empty."""
    return len(a & b) / len(a | b) if a or b else 0.0


def is_told_by(statement: str, source: str) -> bool:
    """Tell whether a source says a statement: word for word, or with all of its numbers and most of its words.

    A statement needs two content stems or more to be recognised by its words, and four in five of them in one source.
    """
    bare = " ".join(statement.lower().split()).strip(" .!…\"'«»")
    if len(bare) >= 8 and bare in " ".join(source.lower().split()):
        return True
    wanted = stem_set(statement)
    if len(wanted) < 2 or not numbers_in(statement) <= numbers_in(source):
        return False
    return len(wanted & stem_set(source)) >= 0.8 * len(wanted)


def farthest_first(sets: list[frozenset[str]], wanted: int, start: int = 0) -> list[int]:
    """Choose positions so that each is as unlike those chosen before as can be (Gonzalez 1985, greedy k-centre)."""
    if not sets:
        return []
    chosen = [start % len(sets)]
    nearest = [jaccard(each, sets[chosen[0]]) for each in sets]
    while len(chosen) < min(wanted, len(sets)):
        best = min((position for position in range(len(sets)) if position not in chosen), key=nearest.__getitem__)
        chosen.append(best)
        nearest = [max(old, jaccard(each, sets[best])) for old, each in zip(nearest, sets, strict=True)]
    return chosen


def union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return all stems of several statements."""
    return frozenset().union(*sets)
