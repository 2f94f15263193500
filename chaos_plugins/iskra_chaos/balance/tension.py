"""Tension: how far stability is above chaos, and in which state that leaves a conversation.

It has a sign. The published rule takes the absolute difference; where chaos exceeds stability that turns a correction
into its opposite, and the loop runs away (tests/chaos/balance shows it).
"""

import math
from typing import Literal

BalanceStatus = Literal["low_tension", "optimal", "high_tension", "critical"]

SET_POINT = 0.30
BAND = (0.25, 0.35)
SMOOTHING = 0.35
"""Weight of the newest reading in the exponential average."""


def tension(chaos: float, stability: float) -> float:
    """Return stability minus chaos, in [-1, 1] for readings in [0, 1]; more is more rigid, below 0 chaos prevails.

    Raises:
        ValueError: A reading is no number in [0, 1].
    """
    for name, value in (("chaos", chaos), ("stability", stability)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is a number in [0, 1], not {value}")
    return stability - chaos


def status_of(value: float, band: tuple[float, float] = BAND) -> BalanceStatus:
    """Return the word for a tension: too loose, good, too rigid, or chaos above stability."""
    if value < 0.0:
        return "critical"
    low, high = band
    return "low_tension" if value < low else "high_tension" if value > high else "optimal"


class TensionAverage:
    """The exponential average of a session's tension.

    Args:
        offset: Added to every reading: a tenant's calibration.
        value: The average so far; ``None`` before the first reading, which is taken as it is.
    """

    def __init__(self, offset: float = 0.0, value: float | None = None) -> None:
        if not math.isfinite(offset):
            raise ValueError(f"an offset is a finite number, not {offset}")
        self.offset = offset
        self.value = value

    def update(self, chaos: float, stability: float) -> float:
        """Take in a turn's readings and return the new average."""
        reading = tension(chaos, stability) + self.offset
        self.value = reading if self.value is None else self.value + SMOOTHING * (reading - self.value)
        return self.value
