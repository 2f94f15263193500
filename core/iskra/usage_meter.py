"""Counts model usage and writes the sums now and then, off the path of the answers."""

import asyncio
import logging
from datetime import datetime

from iskra_sdk.clock import Clock
from iskra_sdk.errors import StoreError
from iskra_sdk.llm import Caller, Usage
from iskra_sdk.session_store import AddUsage, SessionStore

logger = logging.getLogger(__name__)

WRITE_EVERY = 1.0  # seconds; what a crash may lose


class UsageMeter:
    """Sums tokens per day, principal, agent and target.

    Args:
        store: Where the sums go.
        clock: For the day, in UTC.
    """

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sums: dict[tuple[str, str, str, str], tuple[Usage, int]] = {}
        self._is_dirty = asyncio.Event()

    def record(self, caller: Caller, target: str, usage: Usage) -> None:
        """Count one call."""
        day = _day(self._clock.now())
        key = (day, caller.principal_id, caller.agent, target)
        known, calls = self._sums.get(key, (Usage(), 0))
        self._sums[key] = (known + usage, calls + 1)
        self._is_dirty.set()

    async def run(self) -> None:
        """Write the sums as they come in; runs until cancelled."""
        while True:
            await self._is_dirty.wait()
            await self._clock.sleep(WRITE_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what has come in since the last time; what cannot be written is kept for the next."""
        self._is_dirty.clear()
        sums, self._sums = self._sums, {}
        try:
            await self._store.apply([AddUsage(*key, usage, calls) for key, (usage, calls) in sums.items()])
        except StoreError as exc:
            logger.warning("usage not written yet", extra={"error": exc.code})
            for key, (usage, calls) in sums.items():
                known, known_calls = self._sums.get(key, (Usage(), 0))
                self._sums[key] = (known + usage, known_calls + calls)
            self._is_dirty.set()


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
