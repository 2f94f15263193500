"""How much of something may be done at once and in the long run."""

import time
from collections.abc import Callable


class Allowance:
    """A token bucket: full at first, one goes with each use, and they come back at a steady rate.

    Args:
        per_second: How many come back in a second.
        burst: How many there are at most.
        monotonic: Tells the time; tests pass their own.
    """

    __slots__ = ("_burst", "_counted_at", "_left", "_monotonic", "_per_second")

    def __init__(self, per_second: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._left = burst
        self._counted_at = monotonic()

    def take(self) -> bool:
        """Use one up; return whether there was one."""
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
