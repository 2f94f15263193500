"""Who of those that wait goes next: the higher priority first, and nobody for ever last."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iskra_sdk.clock import Clock
from iskra_sdk.errors import QueueFullError

HEAD_START = 120.0
"""Seconds of waiting that the highest priority is worth; this is how long anybody can be overtaken by newcomers."""
MOST_WAITING = 100


class WaitingRoom:
    """A number of places, and an order among those who wait for one.

    A priority is a head start: who has it counts as having come earlier, by up to :data:`HEAD_START` seconds. So a
    higher priority goes first, equals go in the order in which they came, and who has waited so long that the head
    start of a newcomer does not make up for it goes before any newcomer.

    Args:
        places: How many may be in at once, at least 1.
        clock: Measures waiting.
    """

    def __init__(self, places: int, clock: Clock) -> None:
        if places < 1:
            raise ValueError(f"there must be a place at least, not {places}")
        self._free = places
        self._clock = clock
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not future.done() for _, _, future in self._waiting)

    @asynccontextmanager
    async def place(self, priority: float) -> AsyncIterator[float]:
        """Hold a place for the length of the block; yield the seconds that were waited for it.

        Args:
            priority: 0 or more.

        Raises:
            QueueFullError: :data:`MOST_WAITING` wait already.
        """
        came = self._clock.monotonic()
        await self._enter(came - head_start(priority))
        try:
            yield self._clock.monotonic() - came
        finally:
            self._leave()

    async def _enter(self, key: float) -> None:
        if self._free:
            self._free -= 1
            return
        if self.waiting >= MOST_WAITING:
            raise QueueFullError(
                f"{MOST_WAITING} collaborations wait already.", mend="Try again in a minute.", facts={}
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (key, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was given to somebody who has gone
            raise

    def _leave(self) -> None:
        """Give a place to whoever is next; nobody who comes now can get it before."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def head_start(priority: float) -> float:
    """Return the seconds that a priority is worth: none for 0, ever less more for higher ones, never all of them."""
    return HEAD_START * (1.0 - 1.0 / (1.0 + priority))
