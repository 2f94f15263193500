"""``/api/v1/control``: the emergency stop, for everybody's own sessions and, for operators, for all."""

import logging
from typing import Annotated

from fastapi import FastAPI, Header, Request

from iskra_chaos.api.access import caller, has_level, require_level, shown
from iskra_chaos.api.bodies import EmergencyStopRequest, EmergencyStopResponse
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.errors import BadInputError, StoreError
from iskra_sdk.event import Severity
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal

logger = logging.getLogger(__name__)

_SessionHeader = Annotated[str, Header(alias="X-Session-ID", max_length=200)]
_SHOWN = 100
"""Stopped processes that are listed."""


def control_app(parts: ChaosParts) -> FastAPI:
    """Return the application; stopping one's own needs no more than a login."""
    app = FastAPI(title="Emergency stop", openapi_url=None, docs_url=None, redoc_url=None)
    engine = parts.engine

    @app.post("/emergency_stop", tags=["chaos"])
    async def emergency_stop(
        request: Request, body: EmergencyStopRequest, session_header: _SessionHeader = ""
    ) -> EmergencyStopResponse:
        """Stop operations: at once, or gently. `all` also ends every fault and locks the server until released.

        Gently, `all` lets operations settle and faults fade for three seconds, and then ends what is left. A stop of a
        session takes its stabilisers back, too, and nothing begins there by itself until its owner chooses so again.
        """
        principal = caller(request)
        if body.stop_scope == "all":
            return await stop_everything(principal, body)
        reason = body.emergency_reason or "emergency stop"
        session_id = body.session_id or session_header
        processes = await _named(parts, principal, body, session_id)
        calmed: list[str] = []
        if body.stop_scope == "current_session":
            engine.in_force.revoke(session_id, reason)
            calmed = await _left_alone(parts, session_id, reason)
        for process in processes:
            if body.stabilization_mode == "immediate":
                await engine.abort(process, reason)
            else:
                await engine.settle(process, reason)
        target = body.process_id if body.stop_scope == "specific_process" else session_id
        await parts.context.audit(
            "emergency_stop",
            principal=principal,
            target=target,
            data={"scope": body.stop_scope, "processes": len(processes), "mode": body.stabilization_mode},
        )
        answer = _response(principal, body, processes, [], is_locked=parts.stop.is_locked)
        return answer.model_copy(update={"stopped_stabilisers": calmed})

    async def stop_everything(principal: Principal, body: EmergencyStopRequest) -> EmergencyStopResponse:
        require_level(principal, "advanced", second_factor=parts.settings.second_factor)
        reason = body.emergency_reason or "emergency stop"
        is_immediate = body.stabilization_mode == "immediate"
        calmed = [each.id for each in parts.stabilising.leases() if each.status == "active"]
        stopped = parts.stop.at_once(reason) if is_immediate else await parts.stop.gradually(reason)
        await parts.stop.keep()
        await parts.context.audit(
            "emergency_stop",
            principal=principal,
            target="all",
            data={
                "reason": reason,
                "mode": body.stabilization_mode,
                "processes": len(stopped.processes),
                "faults": len(stopped.faults),
            },
        )
        await parts.telling.tell(
            "system_state", {"state": "stopped", "reason": reason}, severity=Severity.CRITICAL, source="control"
        )
        faults = [fault.id for fault in stopped.faults]
        answer = _response(principal, body, stopped.processes, faults, is_locked=True)
        return answer.model_copy(update={"stopped_stabilisers": calmed})

    @app.post("/release", tags=["chaos"])
    async def release(request: Request) -> dict[str, bool]:
        """Take back an emergency stop of everything."""
        principal = caller(request)
        require_level(principal, "admin", second_factor=parts.settings.second_factor)
        await parts.stop.release()
        await parts.context.audit("release", principal=principal)
        await parts.telling.tell("system_state", {"state": "released"}, source="control")
        return {"is_locked": parts.stop.is_locked}

    return app


async def _left_alone(parts: ChaosParts, session_id: str, reason: str) -> list[str]:
    """Let nothing act in a session by itself any more; return the ids of the stabilisers that were in force."""
    try:
        await parts.engine.choices.change(session_id, automatic=False)
    except StoreError:  # it counts all the same until a restart
        logger.warning("choice was not written down", extra={"session_id": session_id}, exc_info=True)
    return [lease.id for lease in await parts.stabilising.revert_all(session_id, reason)]


async def _named(
    parts: ChaosParts, principal: Principal, body: EmergencyStopRequest, session_id: str
) -> list[ChaosProcess]:
    """Return the running processes that a stop is about.

    Raises:
        NotFoundError: There is no such process or session for this principal.
        BadInputError: No session is named.
    """
    if body.stop_scope == "specific_process":
        process = parts.journal.get(body.process_id)
        shown(principal, process)
        return [process] if process.is_running else []
    if not session_id:
        raise BadInputError(
            "Which session?", mend="Send `session_id` or the header X-Session-ID, or use another `stop_scope`."
        )
    if not has_level(principal, "advanced"):
        await parts.context.sessions.session(principal, SessionId(session_id))
    session = parts.engine.sessions.get(session_id)
    return [session.process] if session is not None else []


def _response(
    principal: Principal,
    body: EmergencyStopRequest,
    processes: list[ChaosProcess],
    faults: list[str],
    *,
    is_locked: bool,
) -> EmergencyStopResponse:
    return EmergencyStopResponse(
        stopped_processes=[shown(principal, process) for process in processes[-_SHOWN:]],
        stopped_count=len(processes),
        stopped_faults=faults,
        stabilization_mode=body.stabilization_mode,
        is_locked=is_locked,
    )
