"""Holds a plugin's lifespan open in one task, so that it is entered and left in the same one."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

_PATIENCE_AFTER_CANCEL = 2.0  # seconds


class LifespanTask:
    """A lifespan and the task that holds it.

    Args:
        manager: The plugin's context manager.
        name: For the task.
        on_crash: Called with the error if the lifespan ends by itself.
    """

    def __init__(
        self, manager: AbstractAsyncContextManager[Any], *, name: str, on_crash: Callable[[BaseException], None]
    ) -> None:
        self._manager = manager
        self._name = name
        self._on_crash = on_crash
        self._stop = asyncio.Event()
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._is_open = False

    async def enter(self, timeout: float) -> None:
        """Enter the lifespan.

        Raises:
            TimeoutError: It took too long and was cancelled.
            BaseException: Whatever the plugin raised.
        """
        self._task = asyncio.create_task(self._run(), name=self._name)
        try:
            async with asyncio.timeout(timeout):
                await self._entered
        except BaseException:
            await self._cancel()
            raise
        if self._error is not None:
            raise self._error
        self._is_open = True

    async def leave(self, timeout: float) -> None:
        """Leave the lifespan.

        Raises:
            TimeoutError: It took too long and was cancelled.
            BaseException: Whatever the plugin raised on its way out.
        """
        if self._task is None or not self._is_open:
            return
        self._is_open = False
        self._stop.set()
        done, _ = await asyncio.wait([self._task], timeout=timeout)
        if not done:
            await self._cancel()
            raise TimeoutError
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        try:
            async with self._manager:
                if not self._entered.done():
                    self._entered.set_result(None)
                await self._stop.wait()
        except asyncio.CancelledError as exc:
            self._error = exc
        except BaseException as exc:
            self._error = exc
        finally:
            was_entered = self._entered.done() and not self._entered.cancelled()
            if not self._entered.done():
                self._entered.set_result(None)
            if was_entered and not self._stop.is_set() and self._error is not None:
                self._on_crash(self._error)

    async def _cancel(self) -> None:
        if self._task is None or self._task.done():
            return
        self._task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait([self._task], timeout=_PATIENCE_AFTER_CANCEL)
