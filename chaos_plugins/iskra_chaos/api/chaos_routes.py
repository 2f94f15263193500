"""``/api/v1/chaos``: start operations, look at them, take them back."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Header, Path, Request
from pydantic import BaseModel, ConfigDict

from iskra_chaos.api.access import AccessLevel, caller, has_level, require_level
from iskra_chaos.api.bodies import (
    ActiveChaosProcess,
    AsyncAccepted,
    ChaosResponse,
    OperationStatus,
    SessionChoicesBody,
    TriggerRequest,
)
from iskra_chaos.balance.wire import BalanceMetrics, CalibrationResult, SystemState, TargetBalance
from iskra_chaos.ethics.operation import InjectionType, OperationType
from iskra_chaos.operations.intensity import pick
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_chaos.sift.injection import inject
from iskra_sdk.errors import BadInputError, NotFoundError, PermissionDeniedError
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal

_Id = Annotated[str, Path(max_length=100)]
_SessionHeader = Annotated[str, Header(alias="X-Session-ID", max_length=200)]

_INJECTIONS: Mapping[OperationType, InjectionType] = {
    "micro_disturbance": "uncertainty_zones",
    "pattern_break": "perspective_shifts",
    "paradox_generation": "paradox_seeds",
    "quantum_flux": "perspective_shifts",
    "emergent_stimulation": "emergence_triggers",
}
"""What an operation means for a single block; ``fire_reset`` means nothing there."""


class CalibrateRequest(BaseModel):
    """The body of ``/chaos/calibrate``; without a state, the server's present one is taken for a healthy one."""

    model_config = ConfigDict(extra="forbid")

    current_state: SystemState | None = None
    target_balance: TargetBalance = TargetBalance()


class ChaosStatus(BaseModel):
    """The answer to ``GET /chaos/status``.

    Attributes:
        system_chaos_level: Mean chaos of the sessions measured last, in [0, 1]; 0 where none was.
    """

    active_processes: list[ActiveChaosProcess]
    recent_processes: list[ChaosProcess]
    system_chaos_level: float
    balance_metrics: BalanceMetrics


def chaos_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``, each route for what it needs beyond that."""
    app = FastAPI(title="Chaos operations", openapi_url=None, docs_url=None, redoc_url=None)
    engine = parts.engine

    async def started(request: Request, body: TriggerRequest, session_header: str) -> ChaosProcess:
        principal = caller(request)
        level: AccessLevel = "basic" if body.operation_type == "micro_disturbance" else "intermediate"
        require_level(principal, level)
        if not parts.settings.creative:
            raise PermissionDeniedError(
                "Creative operations are switched off here.", mend="Set `creative = true` for the plugin `chaos`."
            )
        session_id = body.context.session_id or session_header
        if not session_id:
            raise BadInputError(
                "An operation needs a session or a SIFT block to act on.",
                mend="Name the session: `context.session_id` or the header X-Session-ID; or send `context.sift_block`.",
            )
        return await engine.start(
            principal,
            session_id,
            body.operation_type,
            body.intensity,
            request=body.context.request,
            seed=body.seed,
            accept_modifications=body.accept_modifications,
        )

    @app.post("/trigger", tags=["chaos"], response_model_exclude_none=True)
    async def trigger(request: Request, body: TriggerRequest, session_header: _SessionHeader = "") -> ChaosResponse:
        """Start an operation in a session of yours, or unsettle a SIFT block."""
        if body.context.sift_block is not None and not (body.context.session_id or session_header):
            return await _unsettled_block(parts, caller(request), body)
        process = await started(request, body, session_header)
        return _response(process)

    @app.post("/async", tags=["chaos"], status_code=202)
    async def trigger_async(
        request: Request, body: TriggerRequest, session_header: _SessionHeader = ""
    ) -> AsyncAccepted:
        """Start an operation and follow it by its status: it lasts several answers."""
        process = await started(request, body, session_header)
        return AsyncAccepted(
            operation_id=process.id,
            estimated_completion=_completion(process),
            status_endpoint=f"/api/v1/chaos/status/{process.id}",
        )

    @app.get("/status", tags=["chaos"])
    async def status(request: Request, process_id: str = "") -> ChaosStatus:
        """See operations in force and those before: your own, or all of them with `chaos:advanced`."""
        principal = caller(request)
        seen = [each for each in engine.journal.all() if _may_see(principal, each)]
        if process_id:
            seen = [each for each in seen if each.id == process_id]
            if not seen:
                raise NotFoundError(f"There is no chaos process {process_id[:100]!r}.", mend="Leave `process_id` out.")
        active = [
            ActiveChaosProcess(
                process=session.process, turns_left=session.turns_left, lease_seconds=parts.lease_seconds(session)
            )
            for session in engine.sessions.values()
            if session.process in seen
        ]
        return ChaosStatus(
            active_processes=active,
            recent_processes=[each for each in seen if not each.is_running][-50:],
            system_chaos_level=parts.overview.chaos_level,
            balance_metrics=parts.overview.balance(),
        )

    @app.get("/status/{process_id}", tags=["chaos"])
    async def one_status(request: Request, process_id: _Id) -> OperationStatus:
        """See how far an operation is."""
        process = _visible(parts, caller(request), process_id)
        session = engine.sessions.get(process.session_id)
        left = session.turns_left if session is not None and session.process is process else 0
        given = len(session.turns_seen) if session is not None and session.process is process else 0
        progress = given / (given + left) if process.is_running and given + left else float(not process.is_running)
        return OperationStatus(
            operation_id=process.id,
            status=process.status,
            progress=progress,
            current_phase=process.status,
            estimated_completion=_completion(process),
            intermediate_results=process.intermediate_results,
            quality_metrics=process.chaos_metrics,
            process=process,
        )

    @app.post("/status/{process_id}/revert", tags=["chaos"])
    async def revert(request: Request, process_id: _Id) -> ChaosProcess:
        """Take back what an operation changed; done twice it changes nothing."""
        process = _visible(parts, caller(request), process_id)
        return await engine.roll_back(process, f"taken back by {caller(request).id}")

    @app.post("/calibrate", tags=["chaos"])
    async def calibrate(request: Request, body: CalibrateRequest) -> CalibrationResult:
        """Set your offset so that a healthy state reads the tension aimed at."""
        principal = caller(request)
        require_level(principal, "advanced", second_factor=parts.settings.second_factor)
        state = body.current_state or SystemState(
            chaos_level=parts.overview.chaos_level, stability_level=parts.overview.stability_level
        )
        result = parts.balancing.calibration.calibrate(principal.id, state, body.target_balance)
        await parts.balancing.keep()
        parts.balancing.forget_tenant()
        await parts.context.audit("calibrate", principal=principal, data={"offset": result.offset})
        return result

    @app.get("/sessions/{session_id}", tags=["chaos"])
    async def read_choices(request: Request, session_id: _Id) -> dict[str, object]:
        """See what a session's owner has chosen."""
        await parts.context.sessions.session(caller(request), SessionId(session_id))
        return await parts.choices_of(session_id)

    @app.put("/sessions/{session_id}", tags=["chaos"])
    async def choose(request: Request, session_id: _Id, body: SessionChoicesBody) -> dict[str, object]:
        """Say whether operations are welcome in a session of yours, and whether they may come by themselves."""
        principal = caller(request)
        await parts.context.sessions.session(principal, SessionId(session_id))
        changes = body.model_dump(exclude_none=True)
        if "sandbox" in changes:
            require_level(principal, "admin", second_factor=parts.settings.second_factor)
            await parts.context.audit("sandbox", principal=principal, target=session_id, data=changes)
        await engine.choices.change(session_id, **changes)
        return await parts.choices_of(session_id)

    return app


async def _unsettled_block(parts: ChaosParts, principal: Principal, body: TriggerRequest) -> ChaosResponse:
    """Inject into a block what the operation means for it; the block goes back, nothing is kept but the process."""
    require_level(principal, "basic" if body.operation_type == "micro_disturbance" else "intermediate")
    block = body.context.sift_block
    injection = _INJECTIONS.get(body.operation_type)
    if block is None or injection is None:
        raise BadInputError(
            f"{body.operation_type} acts on a conversation, not on a single block.", mend="Name a session."
        )
    now = parts.context.clock.now()
    seed = body.seed if body.seed is not None else pick(uuid.uuid4().int, "seed", 2**62)
    await parts.clear_injection(principal, block, injection, body.intensity, session_id="")
    done = inject(block, injection, body.intensity, seed=seed, at=now, actor=principal.id)
    process = ChaosProcess(
        id=f"chaos_{uuid.uuid4().hex}",
        type=body.operation_type,
        intensity=body.intensity,
        status=ProcessStatus.INITIATED,
        owner=principal.id,
        initiator=principal.id,
        seed=seed,
        start_time=now,
        affected_components=[f"sift/{block.id}"],
        requested=1,
        applied=1,
        observed=1,
        changes=[f"{injection}: {step.path}" for step in done.intervention.forward],
        intermediate_results=[{"intervention_id": done.intervention.id}],
    )
    await parts.engine.journal.add(process)
    for status in (ProcessStatus.ACTIVE, ProcessStatus.STABILIZING, ProcessStatus.COMPLETED):
        process.move(status, parts.context.clock.now())
    await parts.engine.journal.write(process)
    return _response(process).model_copy(update={"sift_block": done.block})


def _response(process: ChaosProcess) -> ChaosResponse:
    endpoint = f"/api/v1/chaos/status/{process.id}"
    return ChaosResponse(process=process, status_endpoint=endpoint, revert_endpoint=f"{endpoint}/revert")


def _completion(process: ChaosProcess) -> str:
    return (process.start_time + timedelta(seconds=process.estimated_duration)).isoformat()


def _may_see(principal: Principal, process: ChaosProcess) -> bool:
    return process.owner == principal.id or has_level(principal, "advanced")


def _visible(parts: ChaosParts, principal: Principal, process_id: str) -> ChaosProcess:
    process = parts.engine.journal.get(process_id)
    if not _may_see(principal, process):
        raise NotFoundError(
            f"There is no chaos process {process_id[:100]!r}.", mend="List them: GET /api/v1/chaos/status."
        )
    return process
