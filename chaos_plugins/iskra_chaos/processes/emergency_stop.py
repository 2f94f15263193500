"""The emergency stop of everything: at once, or in steps; nothing starts until somebody releases it."""

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.fault import Fault
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConflictError
from iskra_sdk.plugin_context import KeyValueState

logger = logging.getLogger(__name__)

STEPS = 3
"""Halvings of what the faults do, one a second, before everything is cleared."""
_STEP = 1.0
_KEY = "emergency_stop"


@dataclass(frozen=True, slots=True)
class Stopped:
    """What an emergency stop concerns."""

    processes: list[ChaosProcess]
    faults: list[Fault]


class EmergencyStop:
    """Stops operations and faults together.

    The lock outlives a restart: what somebody stopped is not set free by a reload.

    Args:
        board: The faults.
        engine: The creative operations.
        clock: Paces the steps.
        state: Where the lock is kept.
        later: Runs a job in a task of the plugin.
    """

    def __init__(
        self,
        board: FaultBoard,
        engine: ChaosEngine,
        *,
        clock: Clock,
        state: KeyValueState,
        later: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._board = board
        self._engine = engine
        self._clock = clock
        self._state = state
        self._later = later
        self._reason = ""

    @property
    def is_locked(self) -> bool:
        """Whether nothing may start."""
        return bool(self._reason)

    async def load(self) -> None:
        """Lock again what was locked before a restart."""
        kept = await self._state.get(_KEY)
        if isinstance(kept, Mapping):
            self.at_once(str(kept.get("reason") or "emergency stop"))

    def at_once(self, reason: str) -> Stopped:
        """Stop everything; when this returns nothing acts any more. :meth:`keep` keeps the lock."""
        self._lock(reason)
        return Stopped(self._engine.stop_all(self._reason), list(self._board.clear_all(self._reason)))

    async def gradually(self, reason: str) -> Stopped:
        """Lock at once, let operations settle and faults fade for some seconds, then stop everything.

        With each second faults hit half as many calls and do half as much to them: delays, fields and the like fade.
        """
        self._lock(reason)
        processes = [session.process for session in self._engine.sessions.values()]
        faults = [fault for fault in self._board.faults() if fault.lease.is_active]
        self._later(self._fade)
        for process in processes:
            await self._engine.settle(process, self._reason)
        return Stopped(processes, faults)

    async def _fade(self) -> None:
        for _ in range(STEPS):
            for fault in self._board.faults():
                if fault.lease.is_active:
                    fault.fade(0.5)
            await self._clock.sleep(_STEP)
            if not self._reason:
                return  # released meanwhile
        self.at_once(self._reason)

    async def keep(self) -> None:
        """Write the lock down; where that fails it holds all the same, until a restart."""
        try:
            await self._state.put(_KEY, {"reason": self._reason} if self._reason else None)
        except Exception:
            logger.warning("emergency stop was not kept", exc_info=True)

    async def release(self) -> None:
        """Let operations and faults start again."""
        self._reason = ""
        self._engine.in_force.stopped_because = ""
        self._board.release()
        await self.keep()

    def require_released(self) -> None:
        """Do nothing unless everything is stopped.

        Raises:
            ConflictError: It is.
        """
        if self._reason:
            raise ConflictError(
                f"Nothing is let loose now: {self._reason}.",
                mend="An admin releases it: POST /api/v1/control/release.",
            )

    def _lock(self, reason: str) -> None:
        self._reason = reason or "emergency stop"
        self._engine.in_force.stopped_because = self._reason
