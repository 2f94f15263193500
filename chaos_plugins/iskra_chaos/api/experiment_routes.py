"""``/api/v1/chaos/experiments``: whether experiments may start, and the lock after a rollback that failed."""

from typing import Annotated

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.api.access import caller, require_level
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.experiment_lock import UNLOCK, FailedRollback


class FailedRollbackReport(BaseModel):
    """The body of ``/experiments/lock``: what a runner could not take back."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=300)]
    experiment: Annotated[str, Field(max_length=100)] = ""
    reasons: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(min_length=1, max_length=50)]


class UnlockRequest(BaseModel):
    """The body of ``/experiments/unlock``."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class ExperimentLockStatus(BaseModel):
    """Whether experiments may start.

    Attributes:
        is_locked: A rollback failed, and nobody has looked since.
        failed: The rollbacks that failed, oldest first.
        mend: How to unlock; empty while it is open.
        faults_enabled: Faults are switched on at all.
        is_stopped: An emergency stop is in force.
        active_faults: Faults at work now.
    """

    is_locked: bool
    failed: list[FailedRollback]
    mend: str
    faults_enabled: bool
    is_stopped: bool
    active_faults: int


def experiment_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``, each route for what it needs beyond that."""
    app = FastAPI(title="Experiments", openapi_url=None, docs_url=None, redoc_url=None)
    lock = parts.experiment_lock

    def status() -> ExperimentLockStatus:
        return ExperimentLockStatus(
            is_locked=lock.is_locked,
            failed=lock.failed,
            mend=UNLOCK if lock.is_locked else "",
            faults_enabled=parts.settings.faults,
            is_stopped=parts.stop.is_locked,
            active_faults=sum(fault.lease.is_active for fault in parts.board.faults()),
        )

    @app.get("", tags=["chaos"])
    async def experiments(request: Request) -> ExperimentLockStatus:
        """See whether experiments may start, and why not."""
        require_level(caller(request), "advanced", second_factor=parts.settings.second_factor)
        return status()

    @app.post("/lock", tags=["chaos"], status_code=201)
    async def lock_experiments(request: Request, body: FailedRollbackReport) -> ExperimentLockStatus:
        """Report a rollback that failed: what is left of its faults ends, and no experiment starts until unlocked."""
        principal = caller(request)
        require_level(principal, "advanced", second_factor=parts.settings.second_factor)
        ended = await lock.lock(FailedRollback(title=body.title, experiment=body.experiment, reasons=body.reasons))
        await parts.refresh.in_place()
        await parts.context.audit(
            "experiments_locked",
            principal=principal,
            target=body.experiment or body.title,
            data={"title": body.title, "reasons": len(body.reasons), "faults_ended": len(ended)},
        )
        return status()

    @app.post("/unlock", tags=["chaos"])
    async def unlock_experiments(request: Request, body: UnlockRequest) -> ExperimentLockStatus:
        """Let experiments start again after a failed rollback; the reason is kept in the audit log."""
        principal = caller(request)
        require_level(principal, "admin", second_factor=parts.settings.second_factor)
        released = await lock.unlock(body.reason)
        await parts.context.audit(
            "experiments_unlocked", principal=principal, data={"reason": body.reason, "failed_rollbacks": released}
        )
        return status()

    return app
