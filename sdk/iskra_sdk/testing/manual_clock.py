"""A clock that tests turn by hand."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta


class ManualClock:
    """A :class:`~iskra_sdk.clock.Clock` that stands still until it is told to go on.

    Args:
        start: Wall-clock time at the beginning.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that went by since the clock was made."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        self._slept.set()
        await woken

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock now."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def until_sleeping(self, sleepers: int = 1, *, timeout: float = 5.0) -> None:
        """Wait until at least so many tasks sleep, so that the next :meth:`advance` finds them.

        Raises:
            TimeoutError: It did not happen within ``timeout`` real seconds.
        """
        async with asyncio.timeout(timeout):
            while self.sleepers < sleepers:
                self._slept.clear()
                await self._slept.wait()

    def advance(self, seconds: float) -> None:
        """Let time go by and wake, in order, whoever slept until then; they run at the next chance they get."""
        if seconds < 0:
            raise ValueError("time does not go back; use set_now() to move the wall clock")
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def set_now(self, now: datetime) -> None:
        """Move the wall clock alone, as when an administrator corrects it."""
        self._now = now
