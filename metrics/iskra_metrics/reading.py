"""One value of one metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

TURNS_FOR_FULL_CONFIDENCE = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric with what it was made of.

    Attributes:
        value: In [0, 1].
        n_turns: Utterances the value stands on.
        confidence: ``min(1, n_turns / 6)``.
        parts: The components by name; each metric's docstring names them.
    """

    value: float
    n_turns: int
    confidence: float
    parts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def reading(value: float, n_turns: int, parts: Mapping[str, float] | None = None) -> Reading:
    """Return a reading with ``value`` clamped to [0, 1] and the confidence that ``n_turns`` gives."""
    return Reading(
        value=clamp(value),
        n_turns=n_turns,
        confidence=min(1.0, n_turns / TURNS_FOR_FULL_CONFIDENCE),
        parts=MappingProxyType(dict(parts or {})),
    )


def clamp(value: float) -> float:
    """Return ``value`` moved into [0, 1]."""
    return max(0.0, min(1.0, value))
