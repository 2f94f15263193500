"""``/api/v1/control``: the emergency stop, for everybody's own sessions and, for operators, for all."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Header, Request

from iskra_chaos.api.access import caller, has_level, require_level
from iskra_chaos.api.bodies import EmergencyStopRequest, EmergencyStopResponse
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.errors import BadInputError, NotFoundError
from iskra_sdk.ids import SessionId

_SessionHeader = Annotated[str, Header(alias="X-Session-ID", max_length=200)]
_GRADUAL_STEPS = 3
"""Halvings of a fault's chance, one a second, before it is cleared."""


def control_app(parts: ChaosParts) -> FastAPI:
    """Return the application; stopping one's own needs no more than a login."""
    app = FastAPI(title="Emergency stop", openapi_url=None, docs_url=None, redoc_url=None)
    engine = parts.engine

    @app.post("/emergency_stop", tags=["chaos"])
    async def emergency_stop(
        request: Request, body: EmergencyStopRequest, session_header: _SessionHeader = ""
    ) -> EmergencyStopResponse:
        """Stop operations: at once, or gently. `all` also ends every fault and locks the server until released."""
        principal = caller(request)
        reason = body.emergency_reason or "emergency stop"
        if body.stop_scope == "all":
            require_level(principal, "advanced", second_factor=parts.settings.second_factor)
            faults = parts.board.clear_all(reason)
            stopped = await engine.stop_all(reason)
            await parts.context.audit(
                "emergency_stop", principal=principal, target="all", data={"reason": reason, "faults": len(faults)}
            )
            await parts.tell_stopped(reason)
            return EmergencyStopResponse(
                stopped_processes=stopped,
                stopped_faults=[fault.id for fault in faults],
                stabilization_mode="immediate",
                is_locked=True,
            )
        processes = await _named(body, session_header, request)
        for process in processes:
            if body.stabilization_mode == "immediate":
                await engine.abort(process, reason)
            else:
                await engine.settle(process, reason)
        await parts.context.audit(
            "emergency_stop", principal=principal, target=body.stop_scope, data={"processes": len(processes)}
        )
        return EmergencyStopResponse(
            stopped_processes=processes,
            stopped_faults=[],
            stabilization_mode=body.stabilization_mode,
            is_locked=False,
        )

    async def _named(body: EmergencyStopRequest, session_header: str, request: Request) -> list[ChaosProcess]:
        principal = caller(request)
        if body.stop_scope == "specific_process":
            process = engine.journal.get(body.process_id)
            if process.owner != principal.id and not has_level(principal, "advanced"):
                raise NotFoundError(f"There is no chaos process {body.process_id[:100]!r}.")
            return [process] if process.is_running else []
        session_id = body.session_id or session_header
        if not session_id:
            raise BadInputError(
                "Which session?", mend="Send `session_id` or the header X-Session-ID, or use another `stop_scope`."
            )
        if not has_level(principal, "advanced"):
            await parts.context.sessions.session(principal, SessionId(session_id))
        session = engine.sessions.get(session_id)
        return [session.process] if session is not None else []

    @app.post("/release", tags=["chaos"])
    async def release(request: Request) -> dict[str, bool]:
        """Take back an emergency stop of everything."""
        principal = caller(request)
        require_level(principal, "admin", second_factor=parts.settings.second_factor)
        parts.board.release()
        engine.is_stopped = False
        await parts.context.audit("release", principal=principal)
        await asyncio.sleep(0)
        return {"is_locked": False}

    return app
