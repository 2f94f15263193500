"""How alike two short statements are."""

import re

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


def is_same(a: frozenset[str], b: frozenset[str]) -> bool:
    """Tell whether two statements, given by their stems, speak of the same thing."""
    return len(a & b) >= min(2, len(a), len(b)) and overlap(a, b) >= SAME


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
