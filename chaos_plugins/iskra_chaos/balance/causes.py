"""The cause gate: which operation for which cause, and none without one.

Tension alone is never a reason: a healthy conversation reads about chaos .40 and stability .85 without being stale.
"""

from dataclasses import dataclass
from typing import Literal

from iskra_chaos.balance.bounds import DWELL, ENVELOPE, HALF_STALE, STALE, Bounds
from iskra_chaos.balance.controller import Intensity

CreativeOperation = Literal["micro_disturbance", "pattern_break", "paradox_generation"]
Stabiliser = Literal["voice_sam", "voice_anhantha", "retune", "lower_temperature", "pin_context", "cooldown"]
Cause = Literal["loop", "stale", "contradiction", "poor_sources", "half_stale", "user_request"]

STEADY_DRIFT = 0.30
POOR_SOURCES = 0.55
"""Reliability below which a source may be recorded only as "X claims Y"."""
MANY_BRANCHES = 3

RETUNE_SHARE = 0.30
TEMPERATURE_STEP = 0.2

# From the mildest to the strongest; the weaker ones go on when stronger ones are added.
_STABILISERS: tuple[tuple[float, Stabiliser], ...] = (
    (0.1, "voice_sam"),
    (0.2, "lower_temperature"),
    (0.3, "retune"),
    (0.5, "pin_context"),
    (0.7, "cooldown"),
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What speaks for or against an operation now.

    Attributes:
        staleness: In [0, 1].
        drift: In [0, 1].
        contradictions: Between the user's or the agent's own claims.
        has_loop: An agent repeats one call with one result.
        user_asked: The user asked for a perturbation.
        source_reliability: Mean of the sources used, in [0, 1]; ``None`` where none are.
        open_branches: Alternatives that are held open already.
    """

    staleness: float = 0.0
    drift: float = 0.0
    contradictions: int = 0
    has_loop: bool = False
    user_asked: bool = False
    source_reliability: float | None = None
    open_branches: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """An operation, how strong, and why."""

    operation: CreativeOperation
    intensity: float
    cause: Cause


def opens_gate(circumstances: Circumstances, bounds: Bounds = ENVELOPE) -> bool:
    """Return whether anything but tension calls for a creative operation."""
    return (
        circumstances.staleness >= max(HALF_STALE, bounds.half_stale)
        or circumstances.contradictions > 0
        or circumstances.has_loop
        or circumstances.user_asked
    )


def fitting(circumstances: Circumstances, bounds: Bounds = ENVELOPE) -> tuple[CreativeOperation, Cause] | None:
    """Return the operation that fits the most pressing cause, or ``None``.

    Poor sources alone open no gate; they only choose the operation once something else has opened it.
    """
    c = circumstances
    if not opens_gate(c, bounds) or c.open_branches >= MANY_BRANCHES:
        return None
    if c.has_loop:
        return "pattern_break", "loop"
    if c.staleness >= max(STALE, bounds.stale):
        return "pattern_break", "stale"
    if c.contradictions > 0:
        return "paradox_generation", "contradiction"
    if c.source_reliability is not None and c.source_reliability < POOR_SOURCES:
        return "paradox_generation", "poor_sources"
    if c.staleness >= max(HALF_STALE, bounds.half_stale) and c.drift <= STEADY_DRIFT:
        return "micro_disturbance", "half_stale"
    return ("micro_disturbance", "user_request") if c.user_asked else None


def stabilisers(strength: float) -> tuple[Stabiliser, ...]:
    """Return what to do about too little tension: more the stronger the controller asks."""
    return tuple(name for least, name in _STABILISERS if strength >= least)


class CauseGate:
    """Chooses a session's operations one after the other, and starts none too soon after the last.

    Args:
        turns_since_start: Turns since the last operation started; ``None`` if there was none.
    """

    def __init__(self, turns_since_start: int | None = None) -> None:
        self.turns_since_start = turns_since_start

    def choose(
        self, wanted: Intensity, circumstances: Circumstances, bounds: Bounds = ENVELOPE, *, is_free: bool = True
    ) -> Choice | None:
        """Return the operation to start this turn, or ``None``. Call it once per turn.

        Args:
            wanted: What the controller asks for.
            circumstances: What speaks for an operation.
            bounds: What is allowed now; wider ones than the envelope count as the envelope.
            is_free: No other operation holds the session's place.
        """
        if self.turns_since_start is not None:
            self.turns_since_start += 1
        if wanted.phase == "frozen" or not is_free:
            return None
        dose = bounds.dose(wanted.creative)
        if dose == 0.0:
            return None
        if self.turns_since_start is not None and self.turns_since_start < max(DWELL, bounds.dwell):
            return None
        fit = fitting(circumstances, bounds)
        if fit is None:
            return None
        self.turns_since_start = 0
        operation, cause = fit
        return Choice(operation, dose, cause)
