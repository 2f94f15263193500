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


HIGH_FROM = 0.9
MEDIUM_FROM = 0.88
"""Chosen by cross-validation, so that more than 97 % of the messages that are not asked about reach the right agent."""


def level_of(probability: float) -> Level:
    """Return the level of a probability."""
    if probability >= HIGH_FROM:
        return Level.HIGH
    return Level.MEDIUM if probability >= MEDIUM_FROM else Level.LOW
