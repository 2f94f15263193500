"""Whose call it is that passes a point.

Some payloads say so; others, such as the name of what is read from the store, do not. While faults are active at such
points, the turn and the tool call that are under way are remembered in context variables, which tasks inherit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from pydantic_core import from_json

from iskra_chaos.faults.fault import Passage
from iskra_sdk.event import Event
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import ToolResult
from iskra_sdk.session_store import AppendAudit, Change, DeleteCredentials, PutCredential
from iskra_sdk.tool import Risk, ToolInvocation
from iskra_sdk.turn import Turn

_session: ContextVar[str] = ContextVar("iskra_chaos_session", default="")
_labels: ContextVar[frozenset[str]] = ContextVar("iskra_chaos_labels", default=frozenset())
_invocation: ContextVar[ToolInvocation | None] = ContextVar("iskra_chaos_invocation", default=None)

_SPARED_READS = frozenset({"credential"})
_SPARED_CHANGES = (AppendAudit, PutCredential, DeleteCredentials)
"""Signing in and the audit log are never touched: who may stop a fault must always be able to."""
_SPARED_EVENTS = ("chaos.", "ethical")
"""Beginnings of event types that are never touched: what watches over faults must not suffer from them."""
_LONGEST_MESSAGE = 65_536
"""Bytes of a socket's message that is looked into; a longer one belongs to nobody in particular."""


def current_invocation() -> ToolInvocation | None:
    """Return the tool call under way in this task."""
    return _invocation.get()


async def remember_turn(turn: Turn, proceed: Proceed) -> None:
    """Wrap a turn, so that what it reads can be told to be its own."""
    token, labelled = _session.set(turn.session_id), _labels.set(turn.labels)
    try:
        await proceed(turn)
    finally:
        _session.reset(token)
        _labels.reset(labelled)


async def remember_call(invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    """Wrap a tool call; it stays remembered in its task, because its result passes a point of its own afterwards."""
    _session.set(invocation.context.session_id)
    _labels.set(invocation.context.labels)
    _invocation.set(invocation)
    result: ToolResult = await proceed(invocation)
    return result


def _of_model_call(request: LLMRequest) -> Passage:
    caller = request.caller
    return Passage(caller.session_id, labels=caller.labels, turn=caller.turn_id)


def _of_tool_call(invocation: ToolInvocation) -> Passage:
    context = invocation.context
    return Passage(context.session_id, invocation.tool.risk is not Risk.READ, context.labels, context.turn_id)


def _of_tool_result(_result: ToolResult) -> Passage | None:
    invocation = _invocation.get()
    return None if invocation is None else _of_tool_call(invocation)


def _of_event(event: Event) -> Passage | None:
    return None if event.type.startswith(_SPARED_EVENTS) else Passage(event.session_id or "")


def _of_read(name: str) -> Passage | None:
    return None if name in _SPARED_READS else Passage(_session.get(), labels=_labels.get())


def _of_write(changes: Sequence[Change]) -> Passage | None:
    session = ""
    for change in changes:
        if isinstance(change, _SPARED_CHANGES):
            return None
        session = session or _session_of(change)
    return Passage(session or _session.get(), labels=_labels.get())


def _session_of(change: Change) -> str:
    """Return the session a change is about, from wherever the change keeps it."""
    for name in ("session_id", "turn", "message", "event", "request"):
        found: object = getattr(change, name, None)
        session = found if name == "session_id" else getattr(found, "session_id", None)
        if isinstance(session, str):
            return session
    created = getattr(change, "session", None)
    return str(created.id) if created is not None else ""


def _of_cache(_key: str) -> Passage:
    return Passage(_session.get(), labels=_labels.get())


def _of_socket(message: bytes) -> Passage:
    if len(message) > _LONGEST_MESSAGE:
        return Passage("")
    try:
        document = from_json(message)
    except ValueError:
        return Passage("")
    session = document.get("session_id") if isinstance(document, dict) else None
    return Passage(session if isinstance(session, str) else "")


def _of_nobody(_payload: object) -> Passage:
    return Passage("")


PASSAGES: Mapping[Point, Callable[[Any], Passage | None]] = {
    Point.LLM_REQUEST: _of_model_call,
    Point.LLM_STREAM: _of_model_call,
    Point.TOOL_CALL: _of_tool_call,
    Point.TOOL_RESULT: _of_tool_result,
    Point.BUS_PUBLISH: _of_event,
    Point.BUS_DELIVER: _of_event,
    Point.STORE_READ: _of_read,
    Point.STORE_WRITE: _of_write,
    Point.CACHE_GET: _of_cache,
    Point.WS_SEND: _of_socket,
    Point.CLOCK: _of_nobody,
}
"""Point → what a payload says about its call; ``None`` for a call that no fault may touch."""

NEEDS_TURN = frozenset({Point.STORE_READ, Point.STORE_WRITE, Point.CACHE_GET})
NEEDS_CALL = frozenset({Point.TOOL_RESULT, Point.STORE_READ, Point.CACHE_GET})
"""Points whose payloads do not say enough."""
