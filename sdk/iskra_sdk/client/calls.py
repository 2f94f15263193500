"""The requests of the native API as values, and how to read their answers.

Both clients send the same :class:`Call` objects; they differ only in whether they wait.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client.models import (
    AgentInfo,
    ApprovalInfo,
    ContextInfo,
    HealthInfo,
    MessageInfo,
    ModelInfo,
    PluginInfo,
    ProviderInfo,
    ReceiptInfo,
    ReplayInfo,
    SessionInfo,
    StepInfo,
    ToolInfo,
    TurnInfo,
)
from iskra_sdk.errors import UnexpectedAnswerError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_API = "/api/v1"
_PLUGINS = f"{_API}/admin/plugins"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        parse: Makes the result of the answer's body.
        is_repeatable: Sending it twice does what sending it once does, so a lost answer is asked for again.
        accepts: Failing statuses whose body is an answer all the same.
    """

    method: str
    path: str
    parse: Callable[[bytes], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False
    accepts: frozenset[int] = frozenset()


def _decoded(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as exc:
        raise UnexpectedAnswerError(
            f"The server's answer is no JSON: {body[:200].decode(errors='replace')!r}.",
            mend="Check that the address is that of an Iskra server.",
        ) from exc


def _read(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise UnexpectedAnswerError(
            "The server's answer is not what this version of the client expects: "
            f"{exc.errors(include_url=False)[0]['msg']}.",
            mend="Install the client and the server in the same version.",
        ) from exc


def _one(model: type[M]) -> Callable[[bytes], M]:
    return lambda body: _read(model, _decoded(body))


def _many(model: type[M]) -> Callable[[bytes], list[M]]:
    def parse(body: bytes) -> list[M]:
        document = _decoded(body)
        items = document.get("data") if isinstance(document, dict) else document
        if not isinstance(items, list):
            raise UnexpectedAnswerError("The server's answer holds no list where one was expected.")
        return [_read(model, item) for item in items]

    return parse


def _mapping(body: bytes) -> dict[str, Any]:
    document = _decoded(body)
    if not isinstance(document, dict):
        raise UnexpectedAnswerError("The server's answer holds no object where one was expected.")
    return document


def _nothing(_body: bytes) -> None:
    return None


def _get(path: str, parse: Callable[[bytes], T], **query: str | int | None) -> Call[T]:
    given = {name: value for name, value in query.items() if value is not None}
    return Call("GET", path, parse, query=given, is_repeatable=True)


def _post(path: str, parse: Callable[[bytes], T], **body: object) -> Call[T]:
    return Call("POST", path, parse, body={name: value for name, value in body.items() if value is not None})


def _id(text: str) -> str:
    return quote(text, safe="")


# Sessions and turns ----------------------------------------------------------------------------------------------


def create_session(title: str, agent: str | None, metadata: Mapping[str, object] | None) -> Call[SessionInfo]:
    """Make a session."""
    return _post(f"{_API}/sessions", _one(SessionInfo), title=title or None, agent=agent, metadata=metadata)


def list_sessions(limit: int, before: str | None) -> Call[list[SessionInfo]]:
    """List sessions, newest first."""
    return _get(f"{_API}/sessions", _many(SessionInfo), limit=limit, before=before)


def get_session(session_id: str) -> Call[SessionInfo]:
    """Read one session."""
    return _get(f"{_API}/sessions/{_id(session_id)}", _one(SessionInfo))


def delete_session(session_id: str) -> Call[None]:
    """Remove a session with everything in it."""
    return Call("DELETE", f"{_API}/sessions/{_id(session_id)}", _nothing)


def list_messages(session_id: str, after: int, limit: int) -> Call[list[MessageInfo]]:
    """Read a session's messages, oldest first."""
    return _get(f"{_API}/sessions/{_id(session_id)}/messages", _many(MessageInfo), after=after, limit=limit)


def show_context(session_id: str) -> Call[ContextInfo]:
    """Read what a session's agent would see with the next message."""
    return _get(f"{_API}/sessions/{_id(session_id)}/context", _one(ContextInfo))


def list_steps(turn_id: str) -> Call[list[StepInfo]]:
    """Read a turn's journal."""
    return _get(f"{_API}/turns/{_id(turn_id)}/steps", _many(StepInfo))


def replay_turn(turn_id: str) -> Call[ReplayInfo]:
    """Run a finished turn again."""
    return _post(f"{_API}/turns/{_id(turn_id)}/replay", _one(ReplayInfo))


def start_turn(
    session_id: str, text: str, model: str | None, options: Mapping[str, object] | None, idempotency_key: str
) -> Call[TurnInfo]:
    """Send a message; the key makes repetitions of this call one turn."""
    call = _post(f"{_API}/sessions/{_id(session_id)}/turns", _one(TurnInfo), text=text, model=model, options=options)
    return replace(call, headers={"Idempotency-Key": idempotency_key}, is_repeatable=True)


def list_turns(session_id: str, limit: int, before: int | None) -> Call[list[TurnInfo]]:
    """Read a session's turns with a number below ``before``, newest first."""
    return _get(f"{_API}/sessions/{_id(session_id)}/turns", _many(TurnInfo), limit=limit, before=before)


def get_turn(turn_id: str) -> Call[TurnInfo]:
    """Read one turn."""
    return _get(f"{_API}/turns/{_id(turn_id)}", _one(TurnInfo))


def cancel_turn(turn_id: str, reason: str) -> Call[TurnInfo]:
    """Cancel a turn; one that has finished stays as it is."""
    return replace(
        _post(f"{_API}/turns/{_id(turn_id)}/cancel", _one(TurnInfo), reason=reason or None), is_repeatable=True
    )


def answer_question(session_id: str, text: str) -> Call[TurnInfo]:
    """Answer the question that is open in a session."""
    return _post(f"{_API}/sessions/{_id(session_id)}/answer", _one(TurnInfo), text=text)


# Approvals -------------------------------------------------------------------------------------------------------


def list_approvals(state: ApprovalState | None, limit: int) -> Call[list[ApprovalInfo]]:
    """List approval requests, newest first."""
    return _get(
        f"{_API}/approvals", _many(ApprovalInfo), state=state.value if state is not None else "all", limit=limit
    )


def get_approval(approval_id: str) -> Call[ApprovalInfo]:
    """Read one approval request."""
    return _get(f"{_API}/approvals/{_id(approval_id)}", _one(ApprovalInfo))


def decide_approval(
    approval_id: str,
    *,
    approve: bool,
    remark: str,
    arguments: Mapping[str, object] | None = None,
    remember: bool = False,
) -> Call[ApprovalInfo]:
    """Approve or deny, once."""
    return _post(
        f"{_API}/approvals/{_id(approval_id)}/decision",
        _one(ApprovalInfo),
        decision="approve" if approve else "deny",
        remark=remark or None,
        arguments=arguments,
        remember=remember or None,
    )


def set_log_level(name: str, level: str) -> Call[dict[str, Any]]:
    """Set what a plugin logs."""
    return Call("PUT", f"{_API}/admin/plugins/{_id(name)}/log-level", _mapping, body={"level": level})


def any_route(method: str, path: str, body: Mapping[str, object] | None) -> Call[dict[str, Any]]:
    """Call a route that nothing here knows."""
    return Call(method.upper(), path, _mapping, body=body, is_repeatable=method.upper() == "GET")


# What the server offers ------------------------------------------------------------------------------------------


def list_models() -> Call[list[ModelInfo]]:
    """List everything that answers."""
    return _get("/v1/models", _many(ModelInfo))


def list_agents() -> Call[list[AgentInfo]]:
    """List agents."""
    return _get(f"{_API}/agents", _many(AgentInfo))


def list_tools() -> Call[list[ToolInfo]]:
    """List tools."""
    return _get(f"{_API}/tools", _many(ToolInfo))


def health() -> Call[HealthInfo]:
    """Ask whether the server lives."""
    return _get("/health", _one(HealthInfo))


def ready() -> Call[HealthInfo]:
    """Ask whether the server and what it depends on are ready; "no" is an answer too."""
    return replace(_get("/ready", _one(HealthInfo)), accepts=frozenset({503}))


# Administration --------------------------------------------------------------------------------------------------


def list_plugins() -> Call[list[PluginInfo]]:
    """List plugins, also those that do not run."""
    return _get(_PLUGINS, _many(PluginInfo))


def get_plugin(name: str) -> Call[PluginInfo]:
    """Read one plugin's state."""
    return _get(f"{_PLUGINS}/{_id(name)}", _one(PluginInfo))


def enable_plugin(name: str) -> Call[PluginInfo]:
    """Switch a plugin on, for good; also lifts a quarantine."""
    return _post(f"{_PLUGINS}/{_id(name)}/enable", _one(PluginInfo))


def disable_plugin(name: str) -> Call[PluginInfo]:
    """Switch a plugin off, for good; running turns finish on it."""
    return _post(f"{_PLUGINS}/{_id(name)}/disable", _one(PluginInfo))


def reload_plugin(name: str) -> Call[ReceiptInfo]:
    """Load a plugin's code again; running turns finish on the old one."""
    return _post(f"{_PLUGINS}/{_id(name)}/reload", _one(ReceiptInfo))


def plugin_receipts(name: str) -> Call[list[ReceiptInfo]]:
    """Read what the latest reloads did."""
    return _get(f"{_PLUGINS}/{_id(name)}/receipts", _many(ReceiptInfo))


def plugin_settings(name: str) -> Call[dict[str, Any]]:
    """Read a plugin's settings and their schema; secrets are masked."""
    return _get(f"{_PLUGINS}/{_id(name)}/settings", _mapping)


def configure_plugin(name: str, settings: Mapping[str, object]) -> Call[dict[str, Any]]:
    """Change settings of a plugin; those not given stay."""
    return Call("PUT", f"{_PLUGINS}/{_id(name)}/settings", _mapping, body=settings, is_repeatable=True)


def install_plugin(source: str) -> Call[PluginInfo]:
    """Install a plugin from a path that the server can read."""
    return _post(_PLUGINS, _one(PluginInfo), source=source)


def breakers() -> Call[dict[str, Any]]:
    """Read the state of each target's circuit breaker, and the failures that count or opened it."""
    return _get(f"{_API}/admin/breakers", _mapping)


def list_providers() -> Call[list[ProviderInfo]]:
    """Ask every provider whether it works."""
    return _get(f"{_API}/admin/providers", _many(ProviderInfo))


def login_link() -> Call[dict[str, Any]]:
    """Make a one-time login address for the console."""
    return _post(f"{_API}/login-codes", _mapping)


def endpoints() -> Sequence[tuple[str, str]]:
    """Return method and path of every route the client uses, for tests against the server's OpenAPI document."""
    calls: list[Call[Any]] = [
        create_session("", None, None),
        list_sessions(1, None),
        get_session("S"),
        delete_session("S"),
        list_messages("S", 0, 1),
        start_turn("S", "", None, None, ""),
        list_turns("S", 1, None),
        get_turn("T"),
        cancel_turn("T", ""),
        answer_question("S", ""),
        list_approvals(None, 1),
        get_approval("A"),
        decide_approval("A", approve=True, remark=""),
        list_models(),
        list_agents(),
        list_tools(),
        health(),
        ready(),
        list_plugins(),
        get_plugin("P"),
        enable_plugin("P"),
        disable_plugin("P"),
        reload_plugin("P"),
        plugin_receipts("P"),
        plugin_settings("P"),
        configure_plugin("P", {}),
        install_plugin(""),
        breakers(),
        list_providers(),
        login_link(),
    ]
    return [(call.method, call.path) for call in calls]
