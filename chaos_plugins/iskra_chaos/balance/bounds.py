"""What the controller may do in a session now: the safety envelope, drawn tighter by circumstances and never wider.

Doses, stop lines and warning lines are the published ones; how circumstances tighten the rest is this project's choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Literal

from iskra_chaos.balance.controller import DEAD_ZONE

STALE, HALF_STALE = 0.55, 0.35
DWELL = 3
"""Turns from the start of one operation to the start of the next."""

STOP_LINES: Mapping[str, float] = {"cognitive": 0.7, "emotional": 0.5, "structural": 0.6, "overall": 0.8}
WARN_AT, CAUTION_AT, LAST_CALL_AT = 0.6, 0.8, 0.95
"""Shares of a stop line."""
READY_FROM = 0.3
MOST_POSTPONEMENTS = 2

_SENSITIVE = 0.5
_SENSITIVE_DAMPING = 0.7
_BELOW_LEVEL_3, _BELOW_LEVEL_2 = 0.69, 0.39
_SOUND, _LEAST_HEALTH = 0.9, 0.5
_STRICTER = 0.10
"""What is added to the staleness that opens the gate where one has to be careful."""

LoadWarning = Literal["none", "watch", "caution", "last_call", "stop"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What may tighten the bounds. What is no number counts as the worst there is.

    Attributes:
        sensitivity: How much harm unsettling could do, in [0, 1].
        pain: In [0, 1], as are the next three.
        clarity: Of the answers.
        stability: Of the conversation.
        chaos: Of the conversation.
        health: Of the service: its error budget and its circuit breakers, in [0, 1].
        is_experimenting: Faults are at work.
        is_quiet_hour: It is a time at which the admin wants little to happen.
    """

    sensitivity: float = 0.0
    pain: float = 0.0
    clarity: float = 1.0
    stability: float = 1.0
    chaos: float = 0.0
    health: float = 1.0
    is_experimenting: bool = False
    is_quiet_hour: bool = False

    @property
    def loads(self) -> dict[str, float]:
        """How near each load is to its stop line: 1 is at the line."""
        loads = {
            "cognitive": 1.0 - _share(self.clarity, worst=0.0),
            "emotional": _share(self.pain, worst=1.0),
            "structural": 1.0 - _share(self.stability, worst=0.0),
            "overall": _share(self.chaos, worst=1.0),
        }
        return {name: round(load / STOP_LINES[name], 6) for name, load in loads.items()}

    @property
    def highest_load(self) -> float:
        """The load that is nearest to its line, or farthest beyond."""
        return max(self.loads.values())

    @property
    def warning(self) -> LoadWarning:
        """The highest load in a word."""
        load = self.highest_load
        if load >= 1.0:
            return "stop"
        if load >= LAST_CALL_AT:
            return "last_call"
        return "caution" if load >= CAUTION_AT else "watch" if load >= WARN_AT else "none"

    @property
    def readiness(self) -> float:
        """How ready the session is, in [0, 1]: the mean room below its stop lines, times the health of the service."""
        room = [max(0.0, 1.0 - load) for load in self.loads.values()]
        return sum(room) / len(room) * _share(self.health, worst=0.0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the controller may do; as it is made without arguments it is the safety envelope.

    Attributes:
        may_start: A creative operation may start at all.
        most_intensity: The strongest one.
        damping: Factor on what the controller asks for.
        half_stale: Staleness that is a cause for a nudge.
        stale: Staleness that is a cause for breaking the pattern.
        dwell: Turns between the starts of two operations.
        reasons: Why they are tighter than the envelope, in words.
    """

    may_start: bool = True
    most_intensity: float = 1.0
    damping: float = 1.0
    half_stale: float = HALF_STALE
    stale: float = STALE
    dwell: int = DWELL
    reasons: tuple[str, ...] = ()

    def is_within(self, other: "Bounds") -> bool:
        """Return whether nothing is allowed here that is not allowed there."""
        return (
            self.may_start <= other.may_start
            and self.most_intensity <= other.most_intensity
            and self.damping <= other.damping
            and self.half_stale >= other.half_stale
            and self.stale >= other.stale
            and self.dwell >= other.dwell
        )

    def dose(self, wanted: float) -> float:
        """Return the intensity that is left of what is wanted; 0 where nothing may start or too little is left."""
        dose = min(wanted * min(1.0, self.damping), self.most_intensity)
        return dose if self.may_start and dose >= DEAD_ZONE else 0.0


ENVELOPE = Bounds()


def bounds_in(surroundings: Surroundings) -> Bounds:
    """Return the bounds for a session as it stands: the tightest that any circumstance asks for."""
    s = surroundings
    health = _share(s.health, worst=0.0)
    load = s.highest_load
    may_start, most, damping, stricter, dwell = True, 1.0, 1.0, 0.0, DWELL
    reasons = []
    if s.is_experimenting:
        may_start = False
        reasons.append("a fault experiment is running")
    if load >= 1.0:
        may_start, most = False, DEAD_ZONE
        reached = ", ".join(name for name, each in s.loads.items() if each >= 1.0)
        reasons.append(f"stop line reached: {reached}")
    elif load >= WARN_AT:
        level = DEAD_ZONE if load >= LAST_CALL_AT else _BELOW_LEVEL_2 if load >= CAUTION_AT else _BELOW_LEVEL_3
        most = min(most, level)
        reasons.append(f"load at {load:.2f} of a stop line")
    if _share(s.sensitivity, worst=1.0) >= _SENSITIVE:
        damping, stricter = _SENSITIVE_DAMPING, _STRICTER
        reasons.append("the subject is sensitive")
    if health < _SOUND:
        may_start = may_start and health >= _LEAST_HEALTH
        most, stricter, dwell = min(most, health), _STRICTER, 2 * DWELL
        reasons.append(f"health of the service is {health:.2f}")
    if s.is_quiet_hour:
        most, stricter, dwell = min(most, _BELOW_LEVEL_2), _STRICTER, 2 * DWELL
        reasons.append("these are quiet hours")
    return Bounds(may_start, most, damping, HALF_STALE + stricter, STALE + stricter, dwell, tuple(reasons))


class Postponing:
    """Puts off what a session is not ready for, twice in a row at most; then it is given up."""

    def __init__(self) -> None:
        self.times = 0

    def decide(self, readiness: float) -> Literal["start", "postpone", "give_up"]:
        """Return what becomes of an operation that is wanted now."""
        if readiness >= READY_FROM:
            self.times = 0
            return "start"
        if self.times < MOST_POSTPONEMENTS:
            self.times += 1
            return "postpone"
        self.times = 0
        return "give_up"


def is_within_hours(hours: str, now: time) -> bool:
    """Return whether a time lies within hours such as ``22:00-07:00``, the end not included; empty hours hold none."""
    if not hours:
        return False
    begin, end = (time.fromisoformat(part) for part in hours.split("-"))
    return begin <= now < end if begin <= end else now >= begin or now < end


def _share(value: float, *, worst: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else worst
