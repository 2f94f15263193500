"""Limits how long calls may take, with one timer for all of them."""

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class _Wait:
    """A task that waits for a call."""

    __slots__ = ("cancelling", "due", "is_expired", "task")

    def __init__(self, task: "asyncio.Task[object]", due: float) -> None:
        self.task = task
        self.due = due
        self.is_expired = False
        self.cancelling = 0


class Deadlines:
    """Ends calls that take too long.

    :func:`asyncio.timeout` sets and cancels a timer for each call, which costs as much as the rest of the router.
    Nearly all calls end long before their deadline, so here a call is put on a list and taken off again, and one timer
    looks at the list when the earliest deadline on it may have come. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._waits: set[_Wait] = set()
        self._armed_for = math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, seconds: float, call: Awaitable[T]) -> T:
        """Await ``call``, cancelling it after ``seconds``.

        Raises:
            TimeoutError: It took longer.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline can only be kept by a task")
        wait = _Wait(task, loop.time() + seconds)
        self._waits.add(wait)
        if wait.due < self._armed_for:
            self._arm(loop, wait.due)
        try:
            result = await call
        except BaseException as exc:
            if wait.is_expired and task.uncancel() <= wait.cancelling:
                raise TimeoutError from exc
            raise
        finally:
            self._waits.discard(wait)
        if wait.is_expired and task.uncancel() <= wait.cancelling:
            raise TimeoutError  # the call swallowed the cancellation
        return result

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due
        self._timer = loop.call_at(due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        self._armed_for = math.inf
        earliest = math.inf
        for wait in self._waits:
            if wait.is_expired:
                continue
            if wait.due <= now:
                wait.is_expired = True
                wait.cancelling = wait.task.cancelling()
                wait.task.cancel()
            else:
                earliest = min(earliest, wait.due)
        if earliest < math.inf:
            self._arm(loop, earliest)
