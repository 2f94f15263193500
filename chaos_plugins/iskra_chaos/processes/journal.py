"""Keeps processes: one that is not written never acts, and a restart finds what it interrupted."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import ValidationError

from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_sdk.errors import NotFoundError
from iskra_sdk.plugin_context import KeyValueState

logger = logging.getLogger(__name__)

_PREFIX = "process/"
_KEPT = 500
"""Processes that are remembered; the oldest finished ones go first."""


class ProcessJournal:
    """The processes of this server.

    Args:
        state: Where they are written.
        now: The wall clock.
    """

    def __init__(self, state: KeyValueState, now: Callable[[], datetime]) -> None:
        self._state = state
        self._now = now
        self._processes: OrderedDict[str, ChaosProcess] = OrderedDict()
        self._unwritten: set[str] = set()

    async def load(self) -> list[ChaosProcess]:
        """Read what is kept; what ran when the server stopped has lost its lease and is aborted.

        Returns:
            The aborted ones.
        """
        found = []
        for key in await self._state.keys(_PREFIX):
            kept = await self._state.get(key)
            try:
                found.append(ChaosProcess.model_validate(kept))
            except ValidationError:
                logger.warning("chaos process cannot be read", extra={"key": key})
        interrupted = []
        for process in sorted(found, key=lambda each: each.start_time):
            self._processes[process.id] = process
            if process.is_running:
                process.move(ProcessStatus.ABORTED, self._now(), "the server was restarted")
                await self.record(process)
                interrupted.append(process)
        return interrupted

    async def add(self, process: ChaosProcess) -> None:
        """Keep a new process; written when it returns.

        Raises:
            StoreError: It could not be written, and is not kept.
        """
        await self.write(process)
        self._processes[process.id] = process
        await self._forget_oldest()

    async def write(self, process: ChaosProcess) -> None:
        """Write a process as it is now.

        Raises:
            StoreError: It could not be written.
        """
        await self._state.put(f"{_PREFIX}{process.id}", process.model_dump(mode="json"))

    async def record(self, process: ChaosProcess) -> None:
        """Write what became of a process; where that fails it is written later, by :meth:`write_late`."""
        if process.id not in self._processes:
            return  # its session was deleted meanwhile
        try:
            await self.write(process)
        except Exception:
            logger.warning("chaos process was not written", extra={"process_id": process.id}, exc_info=True)
            self._unwritten.add(process.id)
            return
        self._unwritten.discard(process.id)
        if process.id not in self._processes:
            await self._state.put(f"{_PREFIX}{process.id}", None)

    async def write_late(self) -> None:
        """Try again to write what could not be written."""
        for process_id in list(self._unwritten):
            process = self._processes.get(process_id)
            if process is None:
                self._unwritten.discard(process_id)
                continue
            await self.record(process)
            if process_id in self._unwritten:
                return  # the store is still away

    async def _forget_oldest(self) -> None:
        surplus = len(self._processes) - _KEPT
        if surplus <= 0:
            return
        ended = [process for process in self._processes.values() if not process.is_running]
        for process in ended[:surplus]:
            await self._forget(process)

    async def forget_session(self, session_id: str) -> None:
        """Forget the processes of a session that is gone."""
        for process in self.of_session(session_id):
            await self._forget(process)

    async def _forget(self, process: ChaosProcess) -> None:
        self._processes.pop(process.id, None)
        await self._state.put(f"{_PREFIX}{process.id}", None)

    def get(self, process_id: str) -> ChaosProcess:
        """Return a process.

        Raises:
            NotFoundError: There is none of this id.
        """
        process = self._processes.get(process_id)
        if process is None:
            raise NotFoundError(
                f"There is no chaos process {process_id[:100]!r}.", mend="List them: GET /api/v1/chaos/status."
            )
        return process

    def all(self) -> Sequence[ChaosProcess]:
        """Return all processes, oldest first."""
        return tuple(self._processes.values())

    def of_session(self, session_id: str) -> list[ChaosProcess]:
        """Return the processes of a session, oldest first."""
        return [process for process in self._processes.values() if process.session_id == session_id]
