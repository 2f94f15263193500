"""Follows changes in the plugin folder."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, awatch

from iskra.plugin_host.discovery import is_temporary

logger = logging.getLogger(__name__)

_QUIET_MS = 50  # a change is passed on when nothing more has changed for so long
_LONGEST_MS = 400  # or after so long, where changes do not end
_LOOK_UP_MS = 500  # how often to see whether the folder is still there
_REST = 1.0  # seconds before a folder that cannot be watched is tried again


async def watch_folder(folder: Path, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yield each time something in the folder may have changed, and once soon after it is watched.

    Ends when ``stop`` is set.

    The folder is made if it is missing, also when it is removed meanwhile.
    """
    while not stop.is_set():
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            is_new = True
            async for changes in awatch(
                folder,
                watch_filter=lambda change, path: _matters(folder, change, path),
                debounce=_LONGEST_MS,
                step=_QUIET_MS,
                rust_timeout=_LOOK_UP_MS,
                yield_on_timeout=True,
                stop_event=stop,
                recursive=True,
            ):
                if changes or is_new:  # what came before the folder was watched is not among the changes
                    is_new = False
                    yield
                if not await asyncio.to_thread(folder.is_dir):
                    break
        except OSError as exc:
            logger.warning("the plugin folder cannot be watched", extra={"folder": str(folder), "reason": str(exc)})
            if await _wait(stop, _REST):
                return


def _matters(folder: Path, change: Change, path: str) -> bool:
    try:
        parts = Path(path).relative_to(folder).parts
    except ValueError:
        return True
    return not any(is_temporary(part) and part != "__init__.py" for part in parts) and not path.endswith(".pyc")


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
