"""Keeps the garbage collector away from what stays for good.

A full collection looks at every object there is, most of which the start left behind, and holds up all streams for a
tenth of a second. ``gc.freeze`` takes them out of its sight. A plugin that is reloaded leaves objects behind that must
be collected, so around a change the collector sees everything again.

Turns and requests free themselves when they end: to look for garbage whenever there are 700 objects more, as Python
usually does, costs some percent of the time and finds none.
"""

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iskra.plugin_host import Catalog
    from iskra_sdk.clock import Clock

logger = logging.getLogger(__name__)

QUIET_SECONDS = 30.0
"""After so long without a change of plugins everything that is there counts as there for good."""

_USUAL = gc.get_threshold()
_AT_START = (20_000, 50, 100)
_WHILE_SERVING = (10_000, *_USUAL[1:])


def collect_seldom() -> None:
    """Have little collected while the server starts: nearly all that imports make is there for good.

    A :class:`GarbageKeeper` that runs has the young ones looked at more often again.
    """
    gc.set_threshold(*_AT_START)


class ChangingPlugins(Protocol):
    """What tells of changes."""

    @property
    def is_draining(self) -> bool: ...

    def on_swap(self, callback: "Callable[[Catalog], None]") -> None: ...


class GarbageKeeper:
    """Freezes what is there for good, and thaws it while plugins change.

    Args:
        plugins: Whose changes count.
        clock: For pauses.
    """

    def __init__(self, plugins: ChangingPlugins, clock: "Clock") -> None:
        self._plugins = plugins
        self._clock = clock
        self._changed = asyncio.Event()
        plugins.on_swap(self._thaw)

    def _thaw(self, _catalog: "Catalog") -> None:
        gc.unfreeze()
        self._changed.set()

    async def run(self) -> None:
        """Keep it so until cancelled; then the collector sees everything again."""
        gc.freeze()
        gc.set_threshold(*_WHILE_SERVING)
        try:
            while True:
                await self._changed.wait()
                while self._changed.is_set() or self._plugins.is_draining:
                    self._changed.clear()
                    await self._clock.sleep(QUIET_SECONDS)
                gc.collect()
                gc.freeze()
                logger.debug("garbage collected after a change of plugins")
        finally:
            gc.set_threshold(*_USUAL)
            gc.unfreeze()
