"""``/api/v1/chaos``: start operations, look at them, take them back."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from iskra_chaos.api.access import caller, has_level, level_for, require_level, shown
from iskra_chaos.api.bodies import (
    ActiveChaosProcess,
    AsyncAccepted,
    BranchChoice,
    ChaosResponse,
    OperationStatus,
    SessionBalanceView,
    SessionChoicesBody,
    TriggerRequest,
)
from iskra_chaos.api.refusal import REFUSED
from iskra_chaos.api.unsettling import unsettled_block
from iskra_chaos.api.voice_target import voice_target
from iskra_chaos.balance.wire import BalanceMetrics, CalibrationResult, SystemState, TargetBalance
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.preparing import Wish
from iskra_chaos.processes.process import ChaosProcess
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.stabilisers.lease import StabiliserLease
from iskra_sdk.errors import BadInputError, NotFoundError
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal

_Id = Annotated[str, Path(max_length=100)]
_ProcessQuery = Annotated[str, Query(max_length=100)]
_SessionHeader = Annotated[str, Header(alias="X-Session-ID", max_length=200)]


class CalibrateRequest(BaseModel):
    """The body of ``/chaos/calibrate``; without a state, that of the caller's sessions is taken for a healthy one."""

    model_config = ConfigDict(extra="forbid")

    current_state: SystemState | None = None
    target_balance: TargetBalance = TargetBalance()


class ChaosStatus(BaseModel):
    """The answer to ``GET /chaos/status``.

    Attributes:
        active_stabilisers: What calms sessions down, of those that the caller may see.
        active_count: All that are in force, also those beyond the limit.
        system_chaos_level: Mean chaos of the sessions measured within the hour, in [0, 1]; ``None`` where none was.
    """

    active_processes: list[ActiveChaosProcess]
    active_count: int
    active_stabilisers: list[StabiliserLease]
    recent_processes: list[ChaosProcess]
    system_chaos_level: float | None
    balance_metrics: BalanceMetrics


def chaos_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``, each route for what it needs beyond that."""
    app = FastAPI(title="Chaos operations", openapi_url=None, docs_url=None, redoc_url=None)
    engine = parts.engine

    async def started(request: Request, body: TriggerRequest, session_header: str) -> ChaosProcess:
        principal = caller(request)
        require_level(principal, level_for(body.operation_type))
        session_id = body.context.session_id or session_header
        if not session_id:
            raise BadInputError(
                "An operation needs a session or a SIFT block to act on.",
                mend="Name the session: `context.session_id` or the header X-Session-ID; or send `context.sift_block`.",
            )
        return await engine.start(principal, session_id, wish_of(parts, body))

    @app.post("/trigger", tags=["chaos"], response_model_exclude_none=True, responses=REFUSED)
    async def trigger(request: Request, body: TriggerRequest, session_header: _SessionHeader = "") -> ChaosResponse:
        """Start an operation in a session of yours, or unsettle a SIFT block."""
        if body.context.sift_block is not None and not (body.context.session_id or session_header):
            return response_with_block(*await unsettled_block(parts, caller(request), body))
        return response_of(await started(request, body, session_header))

    @app.post("/async", tags=["chaos"], status_code=202, responses=REFUSED)
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
    async def status(
        request: Request, process_id: _ProcessQuery = "", limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> ChaosStatus:
        """See operations in force and those before: your own, or all of them with `chaos:advanced`.

        At most `limit` of each kind, the newest; others' processes come without what quotes their conversations.
        """
        principal = caller(request)
        if process_id:
            seen = [shown(principal, engine.journal.get(process_id))]
        else:
            sees_all = has_level(principal, "advanced")
            seen = [each for each in engine.journal.all() if sees_all or each.owner == principal.id]
        sessions = engine.sessions
        active = [each for each in seen if each.is_running and each.session_id in sessions]
        ended = [each for each in seen if not each.is_running]
        return ChaosStatus(
            active_processes=[_active(parts, principal, each) for each in active[-limit:]],
            active_count=len(active),
            active_stabilisers=_stabilisers(parts, principal)[-limit:],
            recent_processes=[shown(principal, each) for each in ended[-limit:]],
            system_chaos_level=parts.overview.chaos_level,
            balance_metrics=parts.overview.balance(),
        )

    @app.get("/status/{process_id}", tags=["chaos"])
    async def one_status(request: Request, process_id: _Id) -> OperationStatus:
        """See how far an operation is."""
        process = shown(caller(request), engine.journal.get(process_id))
        session = engine.sessions.get(process.session_id)
        is_held = session is not None and session.process.id == process.id
        left = session.turns_left if session is not None and is_held else 0
        given = len(session.turns_seen) if session is not None and is_held else 0
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
        principal = caller(request)
        process = engine.journal.get(process_id)
        shown(principal, process)
        return shown(principal, await engine.roll_back(process, f"taken back by {principal.id}"))

    @app.post("/status/{process_id}/choose", tags=["chaos"])
    async def choose_branch(request: Request, process_id: _Id, body: BranchChoice) -> ChaosProcess:
        """Take another of the ways to answer that were tried; the next answer goes on from it."""
        process = engine.journal.get(process_id)
        if process.owner != caller(request).id:
            raise NotFoundError(
                f"There is no chaos process {process_id!r}.", mend="List them: GET /api/v1/chaos/status."
            )
        await engine.choose_branch(process, body.branch)
        return process

    @app.post("/stabilisers/{lease_id}/revert", tags=["chaos"])
    async def revert_stabiliser(request: Request, lease_id: _Id) -> StabiliserLease:
        """Take a stabiliser back; it is not begun again for twenty turns."""
        principal = caller(request)
        lease = parts.stabilising.get(lease_id)
        if lease.owner != principal.id and not has_level(principal, "advanced"):
            raise NotFoundError(
                f"There is no stabiliser {lease_id[:100]!r}.", mend="List them: GET /api/v1/chaos/status."
            )
        return await parts.stabilising.revert(lease, f"taken back by {principal.id}")

    @app.get("/sessions/{session_id}/balance", tags=["chaos"])
    async def balance_of(request: Request, session_id: _Id) -> SessionBalanceView:
        """See how the controller sees a session of yours: tension, bounds, and what calms it down."""
        await parts.context.sessions.session(caller(request), SessionId(session_id))
        return _balance(parts, session_id)

    @app.post("/calibrate", tags=["chaos"])
    async def calibrate(request: Request, body: CalibrateRequest) -> CalibrationResult:
        """Set your offset so that a healthy state reads the tension aimed at."""
        principal = caller(request)
        require_level(principal, "advanced", second_factor=parts.settings.second_factor)
        state = body.current_state or parts.balancing.state_of(principal.id)
        if state is None:
            raise BadInputError(
                "None of your sessions has been measured, so there is no state to calibrate by.",
                mend="Send `current_state`, or talk on in a session where operations are welcome.",
                facts={"field": "current_state"},
            )
        result = parts.balancing.calibration.calibrate(principal.id, state, body.target_balance)
        await parts.balancing.keep()
        parts.balancing.forget_tenant(principal.id)
        await parts.context.audit("calibrate", principal=principal, data={"offset": result.offset})
        return result

    @app.get("/sessions/{session_id}", tags=["chaos"])
    async def read_choices(request: Request, session_id: _Id) -> dict[str, object]:
        """See what a session's owner has chosen."""
        await parts.context.sessions.session(caller(request), SessionId(session_id))
        return {"session_id": session_id, **engine.choices.of(session_id).wire}

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
        return {"session_id": session_id, **engine.choices.of(session_id).wire}

    return app


def wish_of(parts: ChaosParts, body: TriggerRequest) -> Wish:
    """Return what a request asks for.

    Raises:
        BadInputError: It names a voice that nobody offers.
    """
    return Wish(
        body.operation_type,
        body.intensity,
        request=body.context.request,
        seed=body.seed,
        accept_modifications=body.accept_modifications,
        voice=voice_target(parts.context, body.context.voice_target),
        trigger_conditions=body.trigger_conditions.model_dump(exclude_defaults=True),
    )


def response_of(process: ChaosProcess) -> ChaosResponse:
    """Return the answer to a start."""
    endpoint = f"/api/v1/chaos/status/{process.id}"
    advised = process.recommended_operation
    return ChaosResponse(
        process=process,
        recommended_operation=advised if advised != process.type else None,
        status_endpoint=endpoint,
        revert_endpoint=f"{endpoint}/revert",
    )


def response_with_block(process: ChaosProcess, block: SIFTBlock) -> ChaosResponse:
    """Return the answer to a start on a block."""
    return response_of(process).model_copy(update={"sift_block": block})


def _active(parts: ChaosParts, principal: Principal, process: ChaosProcess) -> ActiveChaosProcess:
    session = parts.engine.sessions[process.session_id]
    lease = max(0.0, session.expires - parts.context.clock.monotonic())
    return ActiveChaosProcess(
        process=shown(principal, process), turns_left=session.turns_left, lease_seconds=round(lease, 3)
    )


def _stabilisers(parts: ChaosParts, principal: Principal) -> list[StabiliserLease]:
    sees_all = has_level(principal, "advanced")
    leases = parts.stabilising.leases()
    return [each for each in leases if each.status == "active" and (sees_all or each.owner == principal.id)]


def _balance(parts: ChaosParts, session_id: str) -> SessionBalanceView:
    leases = [each for each in parts.stabilising.leases() if each.session_id == session_id]
    balance = parts.balancing.sessions.get(session_id)
    if balance is None:
        return SessionBalanceView(session_id=session_id, stabilisers=leases)
    readings = parts.measuring.last_of(session_id)
    return SessionBalanceView(
        session_id=session_id,
        tension=balance.tension,
        set_point=balance.set_point,
        output=balance.wanted.value,
        phase=balance.wanted.phase,
        frozen_because=balance.frozen_because,
        loads=balance.surroundings.loads,
        warning=balance.surroundings.warning,
        readiness=balance.surroundings.readiness,
        may_start=balance.bounds.may_start,
        most_intensity=balance.bounds.dose(1.0),
        bounded_because=list(balance.bounds.reasons),
        interventions=parts.balancing.learned.of(balance.tenant).interventions,
        metrics_taken=dict(parts.stabilising.retuned(session_id, readings)),
        stabilisers=leases,
    )


def _completion(process: ChaosProcess) -> str:
    return (process.start_time + timedelta(seconds=process.estimated_duration)).isoformat()
