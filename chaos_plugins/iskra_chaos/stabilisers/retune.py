"""Retune: the smoothed metrics, as the controller takes them, go a share of the way to published targets.

An exponential average forgets a shift as it forgets readings, so shifting it once and adding a shift that fades are the
same; the second leaves the averages themselves alone. The ethics check, alerts and stop lines see those.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from iskra_chaos.balance.causes import RETUNE_SHARE

_TARGETS: Mapping[str, tuple[float, float]] = {
    "trust": (0.75, 0.85),
    "clarity": (0.70, 0.65),
    "pain": (0.20, 0.95),
    "drift": (0.10, 0.70),
    "chaos": (0.20, 0.70),
    "silence": (0.30, 0.80),
}
"""Metric → target, and the share of a shift that its average keeps in a turn. Staleness is of the moment."""


@dataclass(frozen=True, slots=True)
class Retune:
    """A shift of metrics that fades.

    Attributes:
        shifts: Metric → what is added in the first turn.
        turns: Turns since.
    """

    shifts: Mapping[str, float]
    turns: int = 0

    @classmethod
    def of(cls, readings: Mapping[str, float]) -> "Retune":
        """Return the shift for a session that reads so."""
        shifts = {
            name: round(RETUNE_SHARE * (target - readings[name]), 6)
            for name, (target, _) in _TARGETS.items()
            if name in readings
        }
        return cls(shifts)

    def applied(self, readings: Mapping[str, float]) -> dict[str, float]:
        """Return readings with what is left of the shift; each stays in [0, 1]."""
        shifted = dict(readings)
        for name, shift in self.shifts.items():
            if name in shifted:
                left = shift * _TARGETS[name][1] ** self.turns
                shifted[name] = min(max(shifted[name] + left, 0.0), 1.0)
        return shifted
