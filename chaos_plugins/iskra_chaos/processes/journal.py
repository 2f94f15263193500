"""Keeps processes: every step is written before it counts, and a restart finds what it interrupted."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime

from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_sdk.errors import NotFoundError
from iskra_sdk.plugin_context import KeyValueState

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

    async def load(self) -> list[ChaosProcess]:
        """Read what is kept; what ran when the server stopped has lost its lease and is aborted.

        Returns:
            The aborted ones.
        """
        found = []
        for key in await self._state.keys(_PREFIX):
            kept = await self._state.get(key)
            if isinstance(kept, dict):
                found.append(ChaosProcess.model_validate(kept))
        interrupted = []
        for process in sorted(found, key=lambda each: each.start_time):
            self._processes[process.id] = process
            if process.is_running:
                await self.move(process, ProcessStatus.ABORTED, "the server was restarted")
                interrupted.append(process)
        return interrupted

    async def add(self, process: ChaosProcess) -> None:
        """Keep a new process."""
        self._processes[process.id] = process
        await self.write(process)
        await self._forget_oldest()

    async def move(self, process: ChaosProcess, status: ProcessStatus, reason: str = "") -> None:
        """Let a process take a step; written when it returns."""
        process.move(status, self._now(), reason)
        await self.write(process)

    async def write(self, process: ChaosProcess) -> None:
        """Write a process as it is now."""
        await self._state.put(f"{_PREFIX}{process.id}", process.model_dump(mode="json"))

    async def _forget_oldest(self) -> None:
        for process in list(self._processes.values()):
            if len(self._processes) <= _KEPT:
                return
            if not process.is_running:
                del self._processes[process.id]
                await self._state.put(f"{_PREFIX}{process.id}", None)

    async def forget_session(self, session_id: str) -> None:
        """Forget the processes of a session that is gone."""
        for process in [each for each in self._processes.values() if each.session_id == session_id]:
            del self._processes[process.id]
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

    def all(self) -> Iterable[ChaosProcess]:
        """Return all processes, oldest first."""
        return tuple(self._processes.values())

    def of_session(self, session_id: str) -> list[ChaosProcess]:
        """Return the processes of a session, oldest first."""
        return [process for process in self._processes.values() if process.session_id == session_id]
