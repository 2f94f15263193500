"""How sure a choice is."""

from enum import StrEnum


class Level(StrEnum):
    """How sure a choice is, and so what follows from it."""

    HIGH = "high"
    """It stands."""
    MEDIUM = "medium"
    """It stands if another layer agrees."""
    LOW = "low"
    """The user is asked."""


HIGH_FROM = 0.88
MEDIUM_FROM = 0.7
"""Chosen by leaving out one author after another (``routing_training/cross_validation.py``) as the lowest at which
97.5 % of what is not asked about goes right, however the author writes. A quarter is asked about there; the authors
include some who are hard to understand. At .8, 96.6 % go right and a sixth is asked about."""


def level_of(probability: float) -> Level:
    """Return the level of a probability."""
    if probability >= HIGH_FROM:
        return Level.HIGH
    return Level.MEDIUM if probability >= MEDIUM_FROM else Level.LOW
