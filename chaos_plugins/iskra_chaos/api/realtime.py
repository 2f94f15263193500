"""``/api/v1/realtime``: the specification's WebSocket messages, a view of the plugins' events."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from iskra_chaos.api.access import has_level, level_for, require_level
from iskra_chaos.api.bodies import TriggerContext, TriggerRequest
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.preparing import Wish
from iskra_sdk.errors import IskraError, NotFoundError
from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal
from iskra_sdk.routes import ASGIApp

_PRIORITY: Mapping[Severity, str] = {
    Severity.DEBUG: "low",
    Severity.INFO: "normal",
    Severity.WARNING: "high",
    Severity.ERROR: "high",
    Severity.CRITICAL: "critical",
}
_LONGEST_MESSAGE = 100_000
_MEND = 'Send {"message_type": "chaos_event", "session_id": …, "data": {"event_type": …, "intensity": …}}.'
_REMEMBERED = 1_000
"""Sessions whose owner a connection remembers."""


def realtime_app(parts: ChaosParts) -> ASGIApp:
    """Return the application."""
    import anyio

    async def realtime(socket: WebSocket) -> None:
        principal: Principal = socket.scope["state"]["principal"]
        await socket.accept()
        with suppress(WebSocketDisconnect):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_send, socket, parts, principal)
                await _receive(socket, parts, principal)
                tasks.cancel_scope.cancel()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await realtime(WebSocket(scope, receive, send))
        else:
            needs = JSONResponse({"detail": "Open a WebSocket here."}, 426, {"Upgrade": "websocket"})
            await needs(scope, receive, send)

    return app


async def _send(socket: WebSocket, parts: ChaosParts, principal: Principal) -> None:
    """Send what one principal may see; events of other sessions and of all that streams are never looked up."""
    import anyio

    audience = _Audience(parts, principal)

    async def send(pattern: str) -> None:
        async with parts.context.events.subscribe(pattern, buffer=512) as events:
            async for event in events:
                if await audience.may_see(event):
                    await socket.send_text(json.dumps(message_of(event), default=str, ensure_ascii=False))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, "chaos.*")
        tasks.start_soon(send, "voices.*")


class _Audience:
    """Which sessions' events one listener may see, each looked up once: a session keeps its owner."""

    def __init__(self, parts: ChaosParts, principal: Principal) -> None:
        self._parts = parts
        self._principal = principal
        self._known: dict[SessionId, bool] = {}

    async def may_see(self, event: Event) -> bool:
        if event.session_id is None:
            return has_level(self._principal, "advanced")
        if event.session_id not in self._known:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[event.session_id] = await self._owns(event.session_id)
        return self._known[event.session_id]

    async def _owns(self, session_id: SessionId) -> bool:
        try:
            await self._parts.context.sessions.session(self._principal, session_id)
        except NotFoundError:
            return False
        return True


def message_of(event: Event) -> dict[str, object]:
    """Return an event as a message of the specification."""
    if event.type == "chaos.ethical_concern":
        message_type = "ethical_alert"
    elif event.type == "chaos.system_state":
        message_type = "system_state"
    else:
        message_type = "voice_coordination" if event.type.startswith("voices.") else "chaos_event"
    return {
        "session_id": event.session_id or "",
        "message_type": message_type,
        "timestamp": event.at.isoformat(),
        "data": dict(event.data),
        "priority": _PRIORITY[event.severity],
        "encryption_level": "standard",
    }


async def _receive(socket: WebSocket, parts: ChaosParts, principal: Principal) -> None:
    """Take messages of the client; ``chaos_event`` asks for an operation."""
    while True:
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        text = received.get("text") or ""
        if len(text) > _LONGEST_MESSAGE:
            await socket.close(1009, "the message is too big")
            return
        try:
            answer = await _answer(text, parts, principal)
        except IskraError as error:
            answer = {
                "message_type": "error",
                "data": {"code": error.code, "message": error.message, "mend": error.mend},
            }
        except (ValueError, RecursionError) as error:
            answer = {"message_type": "error", "data": {"code": "bad_input", "message": _said(error), "mend": _MEND}}
        await socket.send_text(json.dumps(answer, default=str, ensure_ascii=False))


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)[:500]
    return "The message does not fit." if isinstance(error, RecursionError) else str(error)[:500]


async def _answer(text: str, parts: ChaosParts, principal: Principal) -> dict[str, Any]:
    message = json.loads(text)
    if not isinstance(message, dict) or message.get("message_type") != "chaos_event":
        raise ValueError("The message is no `chaos_event`.")
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    session_id = str(message.get("session_id") or "")[:200]
    wanted = TriggerRequest.model_validate(
        {
            "operation_type": data.get("event_type"),
            "intensity": data.get("intensity"),
            "context": TriggerContext(session_id=session_id),
        }
    )
    require_level(principal, level_for(wanted.operation_type))
    process = await parts.engine.start(principal, session_id, Wish(wanted.operation_type, wanted.intensity))
    return {
        "session_id": session_id,
        "message_type": "chaos_event",
        "timestamp": process.start_time.isoformat(),
        "data": process.model_dump(mode="json"),
        "priority": "normal",
        "encryption_level": "standard",
    }
