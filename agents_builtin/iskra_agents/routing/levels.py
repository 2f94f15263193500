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


HIGH_FROM = 0.8
MEDIUM_FROM = 0.7
"""Chosen by cross-validation (``routing_training/cross_validation.py``) as a trade: higher ones send fewer messages
astray and ask about more. At .9 and .88, 97 % of what is not asked about goes right, and a third is asked about."""


def level_of(probability: float) -> Level:
    """Return the level of a probability."""
    if probability >= HIGH_FROM:
        return Level.HIGH
    return Level.MEDIUM if probability >= MEDIUM_FROM else Level.LOW
