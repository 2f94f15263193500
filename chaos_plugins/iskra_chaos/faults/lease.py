"""A fault's right to act: it runs out by itself unless somebody keeps asking for more."""

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum

from iskra_sdk.clock import Clock

HEARTBEAT = 3.0
"""Seconds that a heartbeat gives, from the moment it comes: a runner that dies takes its faults along in this time."""
LONGEST = 600.0
"""Seconds after which a fault ends, however many heartbeats come."""
_ROUNDING = 1e-9
"""Seconds; a deadline closer than this has come, whatever the last bit of a float says."""


class LeaseState(StrEnum):
    """What has become of a fault; it leaves ``ACTIVE`` once, for good."""

    ACTIVE = "active"
    CLEARED = "cleared"
    """Ended on request."""
    EXPIRED = "expired"
    """Nobody renewed it in time, or it reached its longest life."""
    KILLED = "killed"
    """Ended by the kill switch."""


class Lease:
    """Says whether a fault may act, and counts what it did.

    All times are measured on the monotonic clock; the wall clock is only asked for what people are shown. Counting is
    safe from any thread, and so is ending.

    Args:
        clock: Measures the lease.
        ttl: Seconds the lease lasts if no heartbeat comes; at most ``LONGEST``.
    """

    def __init__(self, clock: Clock, ttl: float) -> None:
        if not 0.0 < ttl <= LONGEST:
            raise ValueError(f"a lease lasts more than 0 and at most {LONGEST:g} s, not {ttl:g}")
        self._clock = clock
        self._began = clock.monotonic()
        self._expires = self._began + ttl
        self._state = LeaseState.ACTIVE
        self._reason = ""
        self._ended_at: datetime | None = None
        self._ended: float | None = None
        self._waits: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()
        self.requested = 0
        """Calls that passed the point while the fault was active and they were in its scope."""
        self.applied = 0
        """Calls that the rule chose."""
        self.observed = 0
        """Calls whose caller was seen to get the effect."""

    @property
    def is_active(self) -> bool:
        """Whether the fault may act now."""
        if self._state is not LeaseState.ACTIVE:
            return False
        if self._clock.monotonic() < self._expires - _ROUNDING:
            return True
        long_lived = self._expires >= self._began + LONGEST
        reason = f"the longest life of a fault, {LONGEST:g} s, is over" if long_lived else "nobody renewed it in time"
        self._end(LeaseState.EXPIRED, reason)
        return False

    @property
    def state(self) -> LeaseState:
        """What has become of it by now."""
        return LeaseState.ACTIVE if self.is_active else self._state

    @property
    def reason(self) -> str:
        """Why it ended; empty while it is active."""
        return self._reason

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return self._clock.monotonic() - self._began

    @property
    def ended_for(self) -> float:
        """Seconds since it ended; 0 while it is active."""
        return 0.0 if self.is_active or self._ended is None else self._clock.monotonic() - self._ended

    @property
    def remaining(self) -> float:
        """Seconds left; 0 when it has ended."""
        return self._expires - self._clock.monotonic() if self.is_active else 0.0

    @property
    def expires_at(self) -> datetime:
        """When it runs out by the wall clock as it stands now; for an ended one, when it ended."""
        remaining = self.remaining
        return self._ended_at if self._ended_at is not None else self._clock.now() + timedelta(seconds=remaining)

    def heartbeat(self) -> bool:
        """Let it last ``HEARTBEAT`` seconds from now on; return whether there was something to renew.

        A first heartbeat arms the dead man's switch: from then on the time given at the start counts no more.
        """
        if not self.is_active:
            return False
        self._expires = min(self._clock.monotonic() + HEARTBEAT, self._began + LONGEST)
        return True

    def clear(self, reason: str = "cleared on request") -> None:
        """End it on request; one that has ended stays as it is."""
        if self.is_active:
            self._end(LeaseState.CLEARED, reason)

    def kill(self, reason: str = "emergency stop") -> None:
        """End it by the kill switch; one that has ended stays as it is."""
        if self.is_active:
            self._end(LeaseState.KILLED, reason)

    def count(self, *, applied: bool) -> None:
        """Count a call that passed the point."""
        with self._lock:
            self.requested += 1
            self.applied += applied

    def count_observed(self) -> None:
        """Count a call whose caller got the effect."""
        with self._lock:
            self.observed += 1

    async def wait(self, seconds: float) -> bool:
        """Wait until ``seconds`` are over, or the lease is; return whether it still holds.

        The end of the lease is noticed at once, however it comes about.
        """
        until = self._clock.monotonic() + seconds
        while self.is_active:
            now = self._clock.monotonic()
            if now >= until - _ROUNDING:
                return True
            await self._sleep_or_end(min(until, self._expires) - now)
        return False

    async def _sleep_or_end(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        sleeping = loop.create_task(self._clock.sleep(seconds), name="wait inside a fault")
        sleeping.add_done_callback(lambda _: _wake((over,)))
        self._waits.add(over)
        try:
            if self._state is LeaseState.ACTIVE:  # it may have been ended from another thread before the line above
                await over
        finally:
            self._waits.discard(over)
            sleeping.cancel()

    def _end(self, state: LeaseState, reason: str) -> None:
        with self._lock:
            if self._state is not LeaseState.ACTIVE:
                return
            self._state = state
            self._reason = reason
            self._ended = self._clock.monotonic()
        self._ended_at = self._clock.now()  # which asks this lease again, where the fault is a wrong clock
        waits = tuple(self._waits)
        for loop in {wait.get_loop() for wait in waits}:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_wake, [wait for wait in waits if wait.get_loop() is loop])


def _wake(waits: Iterable["asyncio.Future[None]"]) -> None:
    for wait in waits:
        if not wait.done():
            wait.set_result(None)
