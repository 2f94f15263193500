"""Runs a plugin's synchronous code in a thread of its own, with a time limit."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from iskra.thread_interruption import interrupt

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What the call returned or raised; ``SystemExit`` must not travel through the event loop."""

    value: T
    error: BaseException | None = None


async def run_in_thread(call: Callable[[], T], *, timeout: float, name: str) -> T:
    """Return what ``call`` returns; what it raises is raised here, ``SystemExit`` included.

    The thread is a daemon: code that never ends does not keep the process from ending.

    Raises:
        TimeoutError: The time is over; the thread is asked to stop at its next Python instruction.
    """
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[None] = loop.create_future()
    outcome: _Outcome[T] = _Outcome()

    def finish() -> None:
        if not finished.done():
            finished.set_result(None)

    def main() -> None:
        try:
            outcome.value = call()
        except BaseException as exc:
            outcome.error = exc
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(finish)

    thread = threading.Thread(target=main, name=name, daemon=True)
    thread.start()
    try:
        async with asyncio.timeout(timeout):
            await finished
    finally:
        if not finished.done() or finished.cancelled():
            interrupt(thread)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
