"""Has the plugin's interceptors taken again when faults, operations or stabilisers come and go."""

import asyncio
import logging

from iskra_sdk.errors import IskraError
from iskra_sdk.plugin_context import PluginContext

logger = logging.getLogger(__name__)

_PATIENCE = 2.0
"""Seconds that a start waits for its interceptors; they follow later where the host is busy."""


class InterceptorRefresh:
    """Keeps the interceptors that the host knows up to what acts; several changes are taken together.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._changes = self._followed = 0
        self._following = asyncio.Lock()
        self._is_closed = False

    def changed(self) -> None:
        """Have the interceptors taken again, soon: faults and operations come and go outside requests too."""
        self._changes += 1
        if self._is_closed:
            return  # the interceptors go with the plugin
        self._context.tasks.start(self._follow_soon, name="chaos interceptors")

    async def in_place(self) -> None:
        """Wait until the interceptors are those of now, but not for ever: another plugin may be loading.

        Raises:
            IskraError: The host cannot take them.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._follow()
        except TimeoutError:
            logger.warning("interceptors are late: the host is busy with other plugins")

    def close(self) -> None:
        """Follow no further changes, since the plugin ends."""
        self._is_closed = True

    async def _follow_soon(self) -> None:
        try:
            await self._follow()
        except IskraError:
            logger.warning("interceptors were not taken again", exc_info=True)

    async def _follow(self) -> None:
        """Have the interceptors taken again if they are not those of now; when this returns they are."""
        wanted = self._changes
        async with self._following:
            if self._followed < wanted:
                taken = self._changes
                await self._context.refresh()
                self._followed = taken
