"""The clock that the kernel and its plugins share, with a place for interceptors."""

from datetime import datetime

from iskra.interceptors import Slot
from iskra_sdk.clock import Clock


class InterceptedClock:
    """Tells the time of another clock through the interceptors of ``clock``.

    Only the wall clock is wrapped: what measures durations, and with it every deadline and lease, cannot be skewed.
    """

    __slots__ = ("_clock", "_slot", "monotonic", "sleep")

    def __init__(self, clock: Clock, slot: Slot) -> None:
        self._clock = clock
        self._slot = slot
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        around = self._slot.now
        now = self._clock.now()
        return now if around is None else around(now, _same)


def _same(now: datetime) -> datetime:
    return now
