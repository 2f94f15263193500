"""What has been done and has to be taken back, whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any


@dataclass(slots=True)
class UndoRecord:
    """How taking back one thing went."""

    name: str
    succeeded: bool
    duration: float
    error: str = ""

    def summary(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {
            "name": self.name,
            "status": "succeeded" if self.succeeded else "failed",
            "duration": self.duration,
            "exception": self.error,
        }


class UndoStack:
    """Takes things back in reverse order.

    Each entry runs once, and one that fails does not keep the others from running.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, Callable[[], Awaitable[object]], float]] = []

    def push(self, name: str, undo: Callable[[], Awaitable[object]], *, timeout: float = 30.0) -> None:
        """Remember how to take something back; call this before doing it, since it may be done half.

        Args:
            name: What people call it.
            undo: Takes it back; must not mind if nothing was done.
            timeout: Seconds it may take.
        """
        self._entries.append((name, undo, timeout))

    async def unwind(self, on_done: Callable[[UndoRecord], Awaitable[None]] | None = None) -> list[UndoRecord]:
        """Take everything back, the latest first. A second call finds nothing left to do.

        Args:
            on_done: Told of each entry as soon as it has run.
        """
        records: list[UndoRecord] = []
        while self._entries:
            name, undo, timeout = self._entries.pop()
            started, error = monotonic(), ""
            try:
                async with asyncio.timeout(timeout):
                    await undo()
            except TimeoutError:
                error = f"took longer than {timeout:g} s"
            except Exception as exc:
                # Code of an experiment: whatever it raises, the other entries have their turn.
                error = str(exc) or type(exc).__name__
            record = UndoRecord(name, not error, monotonic() - started, error)
            records.append(record)
            if on_done is not None:
                await on_done(record)
        return records


async def to_the_end(work: Awaitable[object]) -> bool:
    """Await something that must not be cut short, and return whether somebody tried to cancel it meanwhile.

    The caller has to pass a cancellation on once its own clean-up is done.
    """
    task = asyncio.ensure_future(work)
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            was_cancelled = True
        except Exception:
            break
    task.result()
    return was_cancelled
