"""The lock on experiments: after a rollback that failed nothing is broken on purpose until an admin has looked."""

import logging
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field, ValidationError

from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.processes.telling import Telling
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BadInputError, ConflictError
from iskra_sdk.event import Severity
from iskra_sdk.plugin_context import KeyValueState

logger = logging.getLogger(__name__)

_KEY = "experiments_lock"
_MOST_KEPT = 20
"""Failed rollbacks that are remembered, the latest."""
UNLOCK = "An admin makes sure that the server is well, then runs `iskra chaos unlock --reason TEXT`."
"""How to go on."""


class FailedRollback(BaseModel):
    """What could not be taken back.

    Attributes:
        title: Of the experiment.
        experiment: Its id; what is left of its faults is ended.
        reasons: What went wrong, a sentence each.
        at: When it was reported.
    """

    title: str = Field(max_length=300)
    experiment: str = Field(default="", max_length=100)
    reasons: list[str] = Field(min_length=1, max_length=50)
    at: datetime | None = None

    @property
    def text(self) -> str:
        """What happened, in one line."""
        return f"the rollback of {self.title!r} failed: {self.reasons[0]}"


class ExperimentLock:
    """Refuses new faults after a failed rollback. The lock outlives a restart.

    Conversations and creative operations go on: they change nothing that a rollback would have to take back.

    Args:
        board: What is left of the experiment's faults is ended there.
        telling: Publishes the alert.
        clock: Dates it.
        state: Where the lock is kept.
    """

    def __init__(self, board: FaultBoard, telling: Telling, clock: Clock, state: KeyValueState) -> None:
        self._board = board
        self._telling = telling
        self._clock = clock
        self._state = state
        self.failed: list[FailedRollback] = []
        """The rollbacks that hold the lock, oldest first; empty while it is open."""

    @property
    def is_locked(self) -> bool:
        """Whether no experiment may start."""
        return bool(self.failed)

    async def load(self) -> None:
        """Lock again what was locked before a restart; what cannot be read locks too, since it was a lock."""
        kept = await self._state.get(_KEY)
        if not kept:
            return
        try:
            self.failed = [FailedRollback.model_validate(each) for each in kept]
        except (ValidationError, TypeError):
            logger.warning("lock on experiments cannot be read")
            self.failed = [FailedRollback(title="an experiment", reasons=["its record cannot be read"])]

    async def lock(self, failed: FailedRollback) -> Sequence[str]:
        """Let no experiment start any more, end what is left of this one, and raise the alarm.

        Returns:
            The ids of the faults that were ended.
        """
        failed.at = self._clock.now()
        self.failed = [*self.failed, failed][-_MOST_KEPT:]
        left = [
            fault.id
            for fault in self._board.faults()
            if failed.experiment and fault.experiment == failed.experiment and fault.lease.is_active
        ]
        for fault_id in left:
            self._board.clear(fault_id, "its experiment's rollback failed")
        logger.critical("experiments are locked", extra={"experiment": failed.experiment, "faults_left": len(left)})
        await self._keep()
        await self._telling.tell(
            "system_state",
            {
                "state": "experiments_locked",
                "experiment": failed.experiment,
                "title": failed.title,
                "reasons": failed.reasons,
                "faults_ended": len(left),
                "mend": UNLOCK,
            },
            severity=Severity.CRITICAL,
            source="experiments",
        )
        return left

    async def unlock(self, reason: str) -> int:
        """Let experiments start again; return how many failed rollbacks were held against them.

        Raises:
            BadInputError: No reason is given.
            StoreError: It could not be written down, and so the lock stays.
        """
        if not reason.strip():
            raise BadInputError("Unlocking needs a reason.", mend="Say what was found and mended.")
        if not self.failed:
            return 0
        await self._state.put(_KEY, None)
        released, self.failed = len(self.failed), []
        await self._telling.tell(
            "system_state", {"state": "experiments_unlocked", "reason": reason}, source="experiments"
        )
        return released

    def require_unlocked(self) -> None:
        """Do nothing unless experiments are locked.

        Raises:
            ConflictError: They are.
        """
        if self.failed:
            first = self.failed[0]
            since = f" since {first.at:%Y-%m-%d %H:%M} UTC" if first.at is not None else ""
            raise ConflictError(
                f"Experiments are locked{since}: {first.text}",
                mend=UNLOCK,
                facts={"experiment": first.experiment, "failed_rollbacks": len(self.failed)},
            )

    async def _keep(self) -> None:
        """Write the lock down; where that fails it holds all the same, until a restart."""
        try:
            await self._state.put(_KEY, [each.model_dump(mode="json") for each in self.failed])
        except Exception:
            logger.warning("lock on experiments was not kept", exc_info=True)
