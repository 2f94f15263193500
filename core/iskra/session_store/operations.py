"""Turns the changes of the store contract into SQL statements with parameters."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
from pydantic_core import PydanticSerializationError, to_json

from iskra_sdk.approval import ApprovalRequest
from iskra_sdk.errors import (
    ApprovalClosedError,
    ApprovalNotFoundError,
    ConflictError,
    IskraError,
    SessionNotFoundError,
    TurnNotFoundError,
    TurnStateError,
)
from iskra_sdk.message import Message, clean_text
from iskra_sdk.session_store import (
    AddUsage,
    AppendAudit,
    AppendEvent,
    AppendMessage,
    Change,
    CloseApproval,
    CreateApproval,
    CreateSession,
    CreateTurn,
    DeleteCredentials,
    DeleteSession,
    PutCredential,
    PutPlugin,
    PutPluginValue,
    PutStep,
    PutTranscript,
    ReserveSeq,
    UpdateSession,
    UpdateTurn,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES_IN_SQL = 7

_CHECKED = frozenset(
    {"update_session", "reserve_seq", "delete_session", "update_turn", "update_step", "close_approval"}
)
_APPENDS = frozenset({"insert_message", "insert_event", "insert_step", "insert_audit", "insert_transcript"})

# What a statement may change for appended rows: whether they find what they belong to.
_FLUSHES = {"insert_session": _APPENDS, "delete_session": _APPENDS, "insert_turn": frozenset({"insert_step"})}

_PLACEHOLDERS = re.compile(r" VALUES (\([?, ]+\))$")


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One SQL statement.

    Attributes:
        is_checked: It must touch exactly one row; otherwise the condition of its change does not hold.
        is_append: It only adds a row that no other statement of a batch looks at, so within a batch such rows may be
            gathered and added together; see :func:`arranged`.
        flushes: Names of the appends that must not be put off beyond this statement.
        row: The placeholders of one row, if the statement can add several at once; empty otherwise.
    """

    name: str
    sql: str
    is_checked: bool
    is_append: bool
    flushes: frozenset[str]
    row: str


class Operation(NamedTuple):
    """A statement, its parameters, and the change it makes."""

    statement: Statement
    params: tuple[Any, ...]
    change: Change


class Rows(NamedTuple):
    """Rows of several operations that one statement appends."""

    statement: Statement
    params: list[tuple[Any, ...]]


def arranged(operations: Iterable[Operation]) -> Iterator[Operation | Rows]:
    """Put operations in an order that comes to the same and gathers rows to append, which saves statements.

    What comes to the same is a success. A refused operation may be another than in the given order, so who gets a
    refusal must run the operations again as they were given.
    """
    gathered: dict[Statement, list[tuple[Any, ...]]] = {}
    for operation in operations:
        statement = operation.statement
        if statement.is_append:
            gathered.setdefault(statement, []).append(operation.params)
            continue
        if statement.flushes and gathered:
            for append in [append for append in gathered if append.name in statement.flushes]:
                yield Rows(append, gathered.pop(append))
        yield operation
    for append, params in gathered.items():
        yield Rows(append, params)


def load_statements(database: Literal["sqlite", "postgresql"]) -> dict[str, Statement]:
    """Read the SQL that :mod:`iskra.session_store.statements` has written."""
    file = Path(__file__).parent / "sql" / f"{database}.json"
    texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return {name: _statement(name, sql) for name, sql in texts.items()}


def _statement(name: str, sql: str) -> Statement:
    found = _PLACEHOLDERS.search(sql)
    row = found.group(1) if found else ""
    return Statement(name, sql, name in _CHECKED, name in _APPENDS, _FLUSHES.get(name, frozenset()), row)


# Values ----------------------------------------------------------------------------------------------------------


def microseconds(at: datetime) -> int:
    """Return a time as stored."""
    return round(at.timestamp() * 1_000_000)


def time_of(stored: int) -> datetime:
    """Return a stored time."""
    return _EPOCH + timedelta(microseconds=stored)


def _optional_microseconds(at: datetime | None) -> int | None:
    return None if at is None else microseconds(at)


def storable_text(value: str) -> str:
    """Return a text that every database takes: without NUL and lone surrogates."""
    return value if value.isascii() and "\0" not in value else clean_text(value)


def encode_json(value: object) -> str:
    """Return a value as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # lone surrogates, integers over 64 bits, keys that are no text
        return _encode_unusual(value)


def _encode_unusual(value: object) -> str:
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        return to_json(_cleaned(value)).decode()


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value


def _encode_mapping(value: Mapping[str, object]) -> str:
    return encode_json(value) if value else "{}"


def _optional_mapping(value: Mapping[str, object] | None) -> str | None:
    return None if value is None else _encode_mapping(value)


def _encode_message(message: Message) -> str:
    try:
        return message.encoded.decode()
    except PydanticSerializationError:
        return _encode_unusual(message.wire)


# Changes ---------------------------------------------------------------------------------------------------------


class Planner:
    """Makes operations of changes, with the statements of one database."""

    def __init__(self, statements: Mapping[str, Statement]) -> None:
        self._statements = statements
        self._insert_message = statements["insert_message"]
        self._insert_event = statements["insert_event"]
        self._insert_step = statements["insert_step"]
        self._update_step = statements["update_step"]
        self._update_turn = statements["update_turn"]
        self._expected_states: dict[frozenset[Any], tuple[str, ...]] = {}
        self._makers: dict[type, Callable[[Any], Operation]] = {
            CreateSession: self._create_session,
            UpdateSession: self._update_session,
            ReserveSeq: self._reserve_seq,
            DeleteSession: self._delete_session,
            CreateTurn: self._create_turn,
            UpdateTurn: self._change_turn,
            AppendMessage: self._append_message,
            PutStep: self._put_step,
            AppendEvent: self._append_event,
            CreateApproval: self._create_approval,
            CloseApproval: self._close_approval,
            AppendAudit: self._append_audit,
            PutTranscript: self._put_transcript,
            PutCredential: self._put_credential,
            DeleteCredentials: self._delete_credentials,
            PutPlugin: self._put_plugin,
            PutPluginValue: self._put_plugin_value,
            AddUsage: self._add_usage,
        }

    def plan(self, changes: Sequence[Change]) -> list[Operation]:
        """Return one operation per change, in order."""
        makers = self._makers
        return [makers[type(change)](change) for change in changes]

    def _create_session(self, change: CreateSession) -> Operation:
        session = change.session
        params = (
            session.id,
            session.principal_id,
            microseconds(session.created_at),
            microseconds(session.updated_at),
            storable_text(session.title),
            storable_text(session.agent),
            _encode_mapping(session.metadata),
            _encode_mapping(session.contexts),
            session.reserved_seq,
        )
        return Operation(self._statements["insert_session"], params, change)

    def _update_session(self, change: UpdateSession) -> Operation:
        params = (
            microseconds(change.updated_at),
            None if change.title is None else storable_text(change.title),
            None if change.agent is None else storable_text(change.agent),
            _optional_mapping(change.metadata),
            _optional_mapping(change.contexts),
            storable_text(change.session_id),
        )
        return Operation(self._statements["update_session"], params, change)

    def _reserve_seq(self, change: ReserveSeq) -> Operation:
        params = (change.reserved_seq, change.reserved_seq, storable_text(change.session_id))
        return Operation(self._statements["reserve_seq"], params, change)

    def _delete_session(self, change: DeleteSession) -> Operation:
        return Operation(self._statements["delete_session"], (storable_text(change.session_id),), change)

    def _create_turn(self, change: CreateTurn) -> Operation:
        turn = change.turn
        params = (
            turn.id,
            turn.session_id,
            turn.principal_id,
            turn.number,
            storable_text(turn.model),
            turn.state.value,
            _encode_message(turn.input),
            microseconds(turn.created_at),
            storable_text(turn.agent),
            turn.first_seq,
            _optional_microseconds(turn.ended_at),
            storable_text(turn.idempotency_key),
            turn.request_hash,
            _encode_mapping(turn.options),
            _optional_mapping(turn.error),
            turn.usage.prompt_tokens,
            turn.usage.completion_tokens,
        )
        return Operation(self._statements["insert_turn"], params, change)

    def _change_turn(self, change: UpdateTurn) -> Operation:
        usage = change.usage
        params = (
            change.state.value,
            None if change.agent is None else storable_text(change.agent),
            change.first_seq,
            _optional_microseconds(change.ended_at),
            _optional_mapping(change.error),
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.completion_tokens,
            storable_text(change.turn_id),
            *self._expected(change.expected),
        )
        return Operation(self._update_turn, params, change)

    def _expected(self, states: frozenset[Any]) -> tuple[str, ...]:
        found = self._expected_states.get(states)
        if found is None:
            names = tuple(sorted(state.value for state in states))
            found = names + ("",) * (_STATES_IN_SQL - len(names))  # no state has an empty name
            self._expected_states[states] = found
        return found

    def _append_message(self, change: AppendMessage) -> Operation:
        message = change.message
        params = (
            message.session_id,
            message.position,
            message.id,
            message.turn_id,
            message.agent,
            round(message.created_at.timestamp() * 1_000_000),
            _encode_message(message.message),
        )
        return Operation(self._insert_message, params, change)

    def _put_step(self, change: PutStep) -> Operation:
        step = change.step
        kind, state, started_at = step.kind.value, step.state.value, microseconds(step.started_at)
        data, ended_at = _encode_mapping(step.data), _optional_microseconds(step.ended_at)
        name = storable_text(step.name)
        if change.expected is None:
            params: tuple[Any, ...] = (
                step.turn_id,
                step.index,
                kind,
                state,
                started_at,
                name,
                data,
                step.effect_id,
                ended_at,
            )
            return Operation(self._insert_step, params, change)
        params = (
            kind,
            state,
            started_at,
            name,
            data,
            step.effect_id,
            ended_at,
            step.turn_id,
            step.index,
            change.expected.value,
        )
        return Operation(self._update_step, params, change)

    def _append_event(self, change: AppendEvent) -> Operation:
        event = change.event
        if event.session_id is None or not event.is_durable:
            raise ValueError(f"an event of the type {event.type!r} has no place in a session's log")
        params = (
            event.session_id,
            event.seq,
            event.type,
            event.turn_id,
            microseconds(event.at),
            event.source,
            event.severity.value,
            storable_text(event.correlation_id),
            _encode_mapping(event.data),
        )
        return Operation(self._insert_event, params, change)

    def _create_approval(self, change: CreateApproval) -> Operation:
        request = change.request
        params = (
            request.id,
            request.session_id,
            request.turn_id,
            storable_text(request.tool_call_id),
            request.principal_id,
            storable_text(request.agent),
            storable_text(request.tool),
            request.plugin,
            request.risk.value,
            storable_text(request.arguments),
            request.hash,
            storable_text(request.preview),
            request.code,
            storable_text(request.rule),
            microseconds(request.created_at),
            _optional_microseconds(request.expires_at),
            request.on_timeout.value,
            storable_text(request.reason),
            request.state.value,
            storable_text(request.decided_by),
            _optional_microseconds(request.decided_at),
            storable_text(request.remark),
        )
        return Operation(self._statements["insert_approval"], params, change)

    def _close_approval(self, change: CloseApproval) -> Operation:
        params = (
            change.state.value,
            storable_text(change.decided_by),
            microseconds(change.decided_at),
            storable_text(change.remark),
            None if change.arguments is None else storable_text(change.arguments),
            change.hash,
            storable_text(change.approval_id),
        )
        return Operation(self._statements["close_approval"], params, change)

    def _append_audit(self, change: AppendAudit) -> Operation:
        entry = change.entry
        params = (
            microseconds(entry.at),
            storable_text(entry.principal_id),
            storable_text(entry.action),
            storable_text(entry.target),
            _encode_mapping(entry.data),
            storable_text(entry.correlation_id),
        )
        return Operation(self._statements["insert_audit"], params, change)

    def _put_transcript(self, change: PutTranscript) -> Operation:
        params = (change.digest, change.session_id, change.position)
        return Operation(self._statements["insert_transcript"], params, change)

    def _put_credential(self, change: PutCredential) -> Operation:
        credential = change.credential
        params = (
            credential.digest,
            storable_text(credential.principal_id),
            microseconds(credential.created_at),
            microseconds(credential.expires_at),
        )
        return Operation(self._statements["insert_credential"], params, change)

    def _delete_credentials(self, change: DeleteCredentials) -> Operation:
        if bool(change.digest) == bool(change.principal_id):
            raise ValueError("give either the digest of a credential or the principal whose credentials go")
        if change.digest:
            return Operation(self._statements["delete_credential"], (storable_text(change.digest),), change)
        params = (storable_text(change.principal_id),)
        return Operation(self._statements["delete_credentials_of"], params, change)

    def _put_plugin(self, change: PutPlugin) -> Operation:
        plugin = change.plugin
        params = (
            storable_text(plugin.name),
            int(plugin.is_enabled),
            _encode_mapping(plugin.settings),
            plugin.failed_starts,
            storable_text(plugin.quarantined_because),
        )
        return Operation(self._statements["put_plugin"], params, change)

    def _put_plugin_value(self, change: PutPluginValue) -> Operation:
        key = (storable_text(change.plugin), storable_text(change.key))
        if change.value is None:
            return Operation(self._statements["delete_plugin_value"], key, change)
        return Operation(self._statements["put_plugin_value"], (*key, encode_json(change.value)), change)

    def _add_usage(self, change: AddUsage) -> Operation:
        params = (
            storable_text(change.principal_id),
            change.day,
            storable_text(change.agent),
            storable_text(change.target),
            change.usage.prompt_tokens,
            change.usage.completion_tokens,
            change.calls,
        )
        return Operation(self._statements["add_usage"], params, change)


# Conditions that do not hold -------------------------------------------------------------------------------------


class Lookup(NamedTuple):
    """A question to the database whose answer tells two reasons for a refused change apart."""

    statement: str
    params: tuple[Any, ...]


def lookup_after(change: Change) -> Lookup | None:
    """Return what to ask about a refused change, before :func:`refusal` can tell why."""
    match change:
        case UpdateTurn():
            return Lookup("turn_state", (storable_text(change.turn_id),))
        case PutStep():
            return Lookup("turn_state", (storable_text(change.step.turn_id),))
        case CloseApproval():
            return Lookup("approval_state", (storable_text(change.approval_id),))
        case CreateApproval(request=ApprovalRequest() as request):
            return Lookup("approval_open_code", (request.principal_id, request.code))
        case CreateTurn() if change.turn.idempotency_key:
            key = storable_text(change.turn.idempotency_key)
            return Lookup("turn_by_key", (change.turn.session_id, key))
    return None


def refusal(change: Change, found: Sequence[Any] | None, *, is_orphan: bool) -> IskraError:
    """Return the error for a refused change.

    Args:
        change: The change.
        found: The row that its :func:`lookup_after` found, if any.
        is_orphan: It was refused because what it belongs to does not exist.
    """
    match change:
        case UpdateTurn() if found:
            wanted = ", ".join(sorted(change.expected))
            return TurnStateError(
                f"The turn is {found[0]}, not {wanted}.", facts={"turn_id": change.turn_id, "state": str(found[0])}
            )
        case UpdateTurn():
            return no_turn(change.turn_id)
        case PutStep() if found:
            expected = "absent" if change.expected is None else change.expected.value
            return ConflictError(
                f"Step {change.step.index} of the turn is not {expected} any more.",
                facts={"turn_id": change.step.turn_id, "step": change.step.index},
            )
        case PutStep():
            return no_turn(change.step.turn_id)
        case CloseApproval() if found:
            return ApprovalClosedError(
                f"The approval request is {found[0]} already.",
                facts={"approval_id": change.approval_id, "state": str(found[0])},
            )
        case CloseApproval():
            return ApprovalNotFoundError(
                "There is no such approval request.", facts={"approval_id": change.approval_id}
            )
        case UpdateSession() | ReserveSeq() | DeleteSession():
            return no_session(change.session_id)
        case CreateTurn() if is_orphan:
            return no_session(change.turn.session_id)
        case CreateTurn():
            taken = "number" if found is None else "idempotency_key"
            return ConflictError(f"The session has a turn with this {taken} already.", facts={"taken": taken})
        case CreateApproval() if is_orphan:
            return no_session(change.request.session_id)
        case CreateApproval():
            taken = "id" if found is None else "code"
            return ConflictError(f"There is an approval request with this {taken} already.", facts={"taken": taken})
        case AppendMessage() if is_orphan:
            return no_session(change.message.session_id)
        case AppendMessage():
            return ConflictError("There is a message at this position already.", facts={"taken": "position"})
        case AppendEvent() if is_orphan:
            return no_session(str(change.event.session_id))
        case AppendEvent():
            return ConflictError("There is an event with this number already.", facts={"taken": "seq"})
        case PutTranscript():
            return no_session(change.session_id)
        case CreateSession():
            return ConflictError("There is a session with this id already.", facts={"taken": "id"})
        case PutCredential():
            return ConflictError("There is such a credential already.", facts={"taken": "digest"})
    return ConflictError(f"The database refused a change: {type(change).__name__}.")


def no_session(session_id: str) -> SessionNotFoundError:
    """Return what is raised where a principal has no such session."""
    return SessionNotFoundError(
        "There is no such session.", mend="`GET /api/v1/sessions` lists yours.", facts={"session_id": session_id}
    )


def no_turn(turn_id: str) -> TurnNotFoundError:
    """Return what is raised where a principal has no such turn."""
    return TurnNotFoundError(
        "There is no such turn.",
        mend="`GET /api/v1/sessions/{id}/turns` lists a session's.",
        facts={"turn_id": turn_id},
    )
