"""A session store in memory, for tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from iskra_sdk.approval import ApprovalRequest, ApprovalState
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.errors import (
    ApprovalClosedError,
    ApprovalNotFoundError,
    ConflictError,
    SessionNotFoundError,
    StoreUnavailableError,
    TurnNotFoundError,
    TurnStateError,
)
from iskra_sdk.event import Event
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.message import clean_text
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    AddUsage,
    AppendAudit,
    AppendEvent,
    AppendMessage,
    AuditEntry,
    Change,
    CloseApproval,
    CreateApproval,
    CreateSession,
    CreateTurn,
    Credential,
    DeleteCredentials,
    DeleteSession,
    PluginRecord,
    PutCredential,
    PutPlugin,
    PutPluginValue,
    PutStep,
    PutTranscript,
    ReserveSeq,
    Session,
    StepRecord,
    StoredMessage,
    TurnRecord,
    UpdateSession,
    UpdateTurn,
)

K = TypeVar("K")
V = TypeVar("V")

_MOST_SESSIONS = 200


class MemoryStore:
    """A real session store that forgets everything when it goes; it keeps every promise but the durable one.

    Args:
        clock: Tells when credentials expire.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._sessions: dict[str, Session] = {}
        self._turns: dict[str, TurnRecord] = {}
        self._steps: dict[tuple[str, int], StepRecord] = {}
        self._messages: dict[tuple[str, int], StoredMessage] = {}
        self._events: dict[tuple[str, int], Event] = {}
        self._approvals: dict[str, ApprovalRequest] = {}
        self._transcripts: dict[int, tuple[str, SessionId, int]] = {}
        self._credentials: dict[str, Credential] = {}
        self._plugins: dict[str, PluginRecord] = {}
        self._values: dict[tuple[str, str], bytes] = {}
        self._audit: dict[int, AuditEntry] = {}
        self._usage: dict[tuple[str, str, str, str], AddUsage] = {}
        self._undo: list[Callable[[], object]] = []
        self._is_closed = False
        self._makers: dict[type, Callable[[Any], None]] = {
            CreateSession: self._create_session,
            UpdateSession: self._update_session,
            ReserveSeq: self._reserve_seq,
            DeleteSession: self._delete_session,
            CreateTurn: self._create_turn,
            UpdateTurn: self._update_turn,
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

    # Changes ----------------------------------------------------------------------------------------------------

    async def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order, or none."""
        self._require_open()
        try:
            for change in changes:
                self._makers[type(change)](change)
        except BaseException:
            for step in reversed(self._undo):
                step()
            raise
        finally:
            self._undo.clear()

    def _put(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def _remove(self, table: dict[K, V], key: K) -> None:
        # The order of a table means nothing; reads sort.
        if key in table:
            before = table.pop(key)
            self._undo.append(lambda: table.__setitem__(key, before))

    def _create_session(self, change: CreateSession) -> None:
        session = change.session
        _refuse(session.id in self._sessions, "There is a session with this id already.", "id")
        session = replace(
            session,
            title=clean_text(session.title),
            agent=clean_text(session.agent),
            metadata=_json_copy(session.metadata),
            contexts=_json_copy(session.contexts),
        )
        self._put(self._sessions, session.id, session)

    def _update_session(self, change: UpdateSession) -> None:
        session = self._existing_session(change.session_id)
        session = replace(
            session,
            updated_at=change.updated_at,
            title=session.title if change.title is None else clean_text(change.title),
            agent=session.agent if change.agent is None else clean_text(change.agent),
            metadata=session.metadata if change.metadata is None else _json_copy(change.metadata),
            contexts=session.contexts if change.contexts is None else _json_copy(change.contexts),
        )
        self._put(self._sessions, session.id, session)

    def _reserve_seq(self, change: ReserveSeq) -> None:
        session = self._existing_session(change.session_id)
        session = replace(session, reserved_seq=max(session.reserved_seq, change.reserved_seq))
        self._put(self._sessions, session.id, session)

    def _delete_session(self, change: DeleteSession) -> None:
        session_id = self._existing_session(change.session_id).id
        turns = {turn.id for turn in self._turns.values() if turn.session_id == session_id}
        for step in [key for key in self._steps if key[0] in turns]:
            self._remove(self._steps, step)
        for turn_id in turns:
            self._remove(self._turns, turn_id)
        for position in [key for key in self._messages if key[0] == session_id]:
            self._remove(self._messages, position)
        for seq in [key for key in self._events if key[0] == session_id]:
            self._remove(self._events, seq)
        for request in [key for key, value in self._approvals.items() if value.session_id == session_id]:
            self._remove(self._approvals, request)
        for number in [key for key, value in self._transcripts.items() if value[1] == session_id]:
            self._remove(self._transcripts, number)
        self._remove(self._sessions, session_id)

    def _create_turn(self, change: CreateTurn) -> None:
        turn = change.turn
        self._existing_session(turn.session_id)
        key = clean_text(turn.idempotency_key)
        siblings = [other for other in self._turns.values() if other.session_id == turn.session_id]
        _refuse(
            key != "" and any(other.idempotency_key == key for other in siblings),
            "The session has a turn with this idempotency_key already.",
            "idempotency_key",
        )
        _refuse(
            turn.id in self._turns or any(other.number == turn.number for other in siblings),
            "The session has a turn with this number already.",
            "number",
        )
        turn = replace(
            turn,
            idempotency_key=key,
            options=_json_copy(turn.options),
            error=None if turn.error is None else _json_copy(turn.error),
        )
        self._put(self._turns, turn.id, turn)

    def _update_turn(self, change: UpdateTurn) -> None:
        turn = self._turns.get(change.turn_id)
        if turn is None:
            raise _no_turn(change.turn_id)
        if turn.state not in change.expected:
            wanted = ", ".join(sorted(change.expected))
            raise TurnStateError(
                f"The turn is {turn.state}, not {wanted}.",
                facts={"turn_id": change.turn_id, "state": turn.state.value},
            )
        turn = replace(
            turn,
            state=change.state,
            agent=turn.agent if change.agent is None else clean_text(change.agent),
            first_seq=turn.first_seq if change.first_seq is None else change.first_seq,
            ended_at=turn.ended_at if change.ended_at is None else change.ended_at,
            error=turn.error if change.error is None else _json_copy(change.error),
            usage=turn.usage if change.usage is None else change.usage,
        )
        self._put(self._turns, turn.id, turn)

    def _append_message(self, change: AppendMessage) -> None:
        message = change.message
        self._existing_session(message.session_id)
        key = (message.session_id, message.position)
        _refuse(key in self._messages, "There is a message at this position already.", "position")
        self._put(self._messages, key, message)

    def _put_step(self, change: PutStep) -> None:
        step = change.step
        if step.turn_id not in self._turns:
            raise _no_turn(step.turn_id)
        key = (step.turn_id, step.index)
        present = self._steps.get(key)
        if (None if present is None else present.state) is not change.expected:
            expected = "absent" if change.expected is None else change.expected.value
            raise ConflictError(
                f"Step {step.index} of the turn is not {expected} any more.",
                facts={"turn_id": step.turn_id, "step": step.index},
            )
        self._put(self._steps, key, replace(step, data=_json_copy(step.data)))

    def _append_event(self, change: AppendEvent) -> None:
        event = change.event
        if event.session_id is None or not event.is_durable:
            raise ValueError(f"an event of the type {event.type!r} has no place in a session's log")
        self._existing_session(event.session_id)
        key = (event.session_id, event.seq)
        _refuse(key in self._events, "There is an event with this number already.", "seq")
        self._put(self._events, key, replace(event, data=_json_copy(event.data)))

    def _create_approval(self, change: CreateApproval) -> None:
        request = change.request
        self._existing_session(request.session_id)
        is_code_taken = request.state is ApprovalState.OPEN and any(
            other.principal_id == request.principal_id
            and other.code == request.code
            and other.state is ApprovalState.OPEN
            for other in self._approvals.values()
        )
        _refuse(is_code_taken, "There is an approval request with this code already.", "code")
        _refuse(request.id in self._approvals, "There is an approval request with this id already.", "id")
        request = replace(
            request,
            arguments=clean_text(request.arguments),
            preview=clean_text(request.preview),
            reason=clean_text(request.reason),
            remark=clean_text(request.remark),
        )
        self._put(self._approvals, request.id, request)

    def _close_approval(self, change: CloseApproval) -> None:
        request = self._approvals.get(change.approval_id)
        if request is None:
            raise _no_approval(change.approval_id)
        if request.state is not ApprovalState.OPEN:
            raise ApprovalClosedError(
                f"The approval request is {request.state} already.",
                facts={"approval_id": request.id, "state": request.state.value},
            )
        request = replace(
            request,
            state=change.state,
            decided_by=clean_text(change.decided_by),
            decided_at=change.decided_at,
            remark=clean_text(change.remark),
            arguments=request.arguments if change.arguments is None else clean_text(change.arguments),
            hash=request.hash if change.hash is None else change.hash,
        )
        self._put(self._approvals, request.id, request)

    def _append_audit(self, change: AppendAudit) -> None:
        entry = change.entry
        entry = replace(entry, target=clean_text(entry.target), data=_json_copy(entry.data))
        self._put(self._audit, len(self._audit) + 1, entry)

    def _put_transcript(self, change: PutTranscript) -> None:
        self._existing_session(change.session_id)
        number = max(self._transcripts, default=0) + 1
        self._put(self._transcripts, number, (change.digest, change.session_id, change.position))

    def _put_credential(self, change: PutCredential) -> None:
        credential = change.credential
        _refuse(credential.digest in self._credentials, "There is such a credential already.", "digest")
        self._put(self._credentials, credential.digest, credential)

    def _delete_credentials(self, change: DeleteCredentials) -> None:
        if bool(change.digest) == bool(change.principal_id):
            raise ValueError("give either the digest of a credential or the principal whose credentials go")
        for credential in list(self._credentials.values()):
            if change.digest == credential.digest or change.principal_id == credential.principal_id:
                self._remove(self._credentials, credential.digest)

    def _put_plugin(self, change: PutPlugin) -> None:
        plugin = replace(
            change.plugin,
            settings=_json_copy(change.plugin.settings),
            quarantined_because=clean_text(change.plugin.quarantined_because),
        )
        self._put(self._plugins, plugin.name, plugin)

    def _put_plugin_value(self, change: PutPluginValue) -> None:
        key = (clean_text(change.plugin), clean_text(change.key))
        if change.value is None:
            self._remove(self._values, key)
        else:
            self._put(self._values, key, to_json(_cleaned(change.value)))

    def _add_usage(self, change: AddUsage) -> None:
        key = (change.principal_id, change.day, change.agent, change.target)
        before = self._usage.get(key)
        if before is not None:
            change = replace(change, usage=before.usage + change.usage, calls=before.calls + change.calls)
        self._put(self._usage, key, change)

    def _existing_session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise _no_session(session_id)
        return session

    # Reads ------------------------------------------------------------------------------------------------------

    async def session(self, principal: Principal, session_id: SessionId) -> Session:
        """Return a session."""
        self._require_open()
        session = self._sessions.get(session_id)
        if session is None or not _may_see(principal, session.principal_id):
            raise _no_session(session_id)
        return session

    async def sessions(
        self, principal: Principal, *, limit: int = 50, before: SessionId | None = None
    ) -> Sequence[Session]:
        """Return sessions, newest first."""
        self._require_open()
        found = [session for session in self._sessions.values() if _may_see(principal, session.principal_id)]
        if before is not None:
            cursor = await self.session(principal, before)
            found = [session for session in found if _age(session) < _age(cursor)]
        found.sort(key=_age, reverse=True)
        return found[: max(1, min(limit, _MOST_SESSIONS))]

    async def messages(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredMessage]:
        """Return messages with a position above ``after``, oldest first."""
        await self.session(principal, session_id)
        return _numbered(self._messages, session_id, after)[: max(0, limit)]

    async def events(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Event]:
        """Return durable events with a number above ``after``, oldest first."""
        await self.session(principal, session_id)
        return _numbered(self._events, session_id, after)[: max(0, limit)]

    async def turn(self, principal: Principal, turn_id: TurnId) -> TurnRecord:
        """Return a turn."""
        self._require_open()
        turn = self._turns.get(turn_id)
        if turn is None or not _may_see(principal, self._sessions[turn.session_id].principal_id):
            raise _no_turn(turn_id)
        return turn

    async def turns(
        self, principal: Principal, session_id: SessionId, *, limit: int = 100, before: int | None = None
    ) -> Sequence[TurnRecord]:
        """Return a session's turns, newest first."""
        await self.session(principal, session_id)
        found = [
            turn
            for turn in self._turns.values()
            if turn.session_id == session_id and (before is None or turn.number < before)
        ]
        found.sort(key=lambda turn: turn.number, reverse=True)
        return found[: max(0, limit)]

    async def steps(self, principal: Principal, turn_id: TurnId) -> Sequence[StepRecord]:
        """Return a turn's journal in order."""
        await self.turn(principal, turn_id)
        return _numbered(self._steps, turn_id, -1)

    async def approvals(
        self,
        principal: Principal,
        *,
        state: ApprovalState | None = None,
        session_id: SessionId | None = None,
        limit: int = 100,
    ) -> Sequence[ApprovalRequest]:
        """Return approval requests, newest first."""
        self._require_open()
        found = [
            request
            for request in self._approvals.values()
            if _may_see(principal, request.principal_id)
            and state in (None, request.state)
            and session_id in (None, request.session_id)
        ]
        found.sort(key=_request_age, reverse=True)
        return found[: max(0, limit)]

    async def approval(self, principal: Principal, approval_id: ApprovalId) -> ApprovalRequest:
        """Return an approval request."""
        self._require_open()
        request = self._approvals.get(approval_id)
        if request is None or not _may_see(principal, request.principal_id):
            raise _no_approval(approval_id)
        return request

    async def unfinished_turns(self) -> Sequence[TurnRecord]:
        """Return all turns that are not in a final state, by session and number."""
        self._require_open()
        found = [turn for turn in self._turns.values() if turn.state in UNFINISHED]
        return sorted(found, key=lambda turn: (turn.session_id, turn.number))

    async def turn_by_key(self, principal: Principal, session_id: SessionId, key: str) -> TurnRecord | None:
        """Return the session's turn with this idempotency key."""
        self._require_open()
        session, key = self._sessions.get(session_id), clean_text(key)
        if session is None or not _may_see(principal, session.principal_id) or not key:
            return None
        return next((t for t in self._turns.values() if t.session_id == session_id and t.idempotency_key == key), None)

    async def approval_by_code(self, principal: Principal, code: str) -> ApprovalRequest | None:
        """Return the principal's newest request with this code, whatever its state."""
        self._require_open()
        found = [r for r in self._approvals.values() if r.principal_id == principal.id and r.code == code]
        return max(found, key=_request_age, default=None)

    async def transcript(self, digest: str) -> tuple[SessionId, int] | None:
        """Return the session and position a transcript digest stands for."""
        self._require_open()
        found = [number for number, value in self._transcripts.items() if value[0] == digest]
        return self._transcripts[max(found)][1:] if found else None

    async def credential(self, digest: str) -> Credential | None:
        """Return a credential that has not expired, by its digest."""
        self._require_open()
        found = self._credentials.get(digest)
        return found if found is not None and found.expires_at > self._clock.now() else None

    async def plugins(self) -> Sequence[PluginRecord]:
        """Return what is remembered of plugins."""
        self._require_open()
        return [self._plugins[name] for name in sorted(self._plugins)]

    async def plugin_value(self, plugin: str, key: str) -> object:
        """Return a value of a plugin's key-value state, or ``None``."""
        self._require_open()
        found = self._values.get((clean_text(plugin), clean_text(key)))
        return None if found is None else from_json(found)

    async def plugin_keys(self, plugin: str, prefix: str = "") -> Sequence[str]:
        """Return the sorted keys of a plugin's state that begin with ``prefix``."""
        self._require_open()
        return sorted(key for owner, key in self._values if owner == plugin and key.startswith(prefix))

    async def audit(
        self, *, limit: int = 100, before: int | None = None, action: str = ""
    ) -> Sequence[tuple[int, AuditEntry]]:
        """Return numbered audit entries, newest first, of actions matching the glob ``action``."""
        self._require_open()
        found = [
            (number, entry)
            for number, entry in sorted(self._audit.items(), reverse=True)
            if (before is None or number < before) and fnmatchcase(entry.action, action or "*")
        ]
        return found[: max(0, limit)]

    async def usage(self, principal: Principal, *, since_day: str = "") -> Sequence[AddUsage]:
        """Return usage sums per day, principal, agent and target, newest day first."""
        self._require_open()
        found = [
            sums for sums in self._usage.values() if sums.day >= since_day and _may_see(principal, sums.principal_id)
        ]
        found.sort(key=lambda sums: (sums.principal_id, sums.agent, sums.target))
        return sorted(found, key=lambda sums: sums.day, reverse=True)

    async def check(self) -> None:
        """Raise if the store was closed."""
        self._require_open()

    async def close(self) -> None:
        """Refuse everything from now on."""
        self._is_closed = True

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")


def _refuse(is_taken: bool, message: str, field: str) -> None:
    if is_taken:
        raise ConflictError(message, facts={"taken": field})


def _may_see(principal: Principal, owner: str) -> bool:
    return owner == principal.id or principal.is_admin


def _numbered(table: Mapping[tuple[str, int], V], owner: str, after: int) -> list[V]:
    keys: Iterable[tuple[str, int]] = (key for key in table if key[0] == owner and key[1] > after)
    return [table[key] for key in sorted(keys)]


def _age(session: Session) -> tuple[float, str]:
    return session.created_at.timestamp(), session.id


def _request_age(request: ApprovalRequest) -> tuple[float, str]:
    return request.created_at.timestamp(), request.id


def _json_copy(value: Mapping[str, object]) -> dict[str, object]:
    """Return what a database would give back: a copy, as JSON has it."""
    copy: dict[str, object] = from_json(to_json(_cleaned(value)))
    return copy


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value) if not value.isascii() else value
    if isinstance(value, Mapping):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value


def _no_session(session_id: str) -> SessionNotFoundError:
    return SessionNotFoundError(
        "There is no such session.",
        mend="`GET /api/v1/sessions` lists yours.",
        facts={"session_id": session_id},
    )


def _no_turn(turn_id: str) -> TurnNotFoundError:
    return TurnNotFoundError(
        "There is no such turn.",
        mend="`GET /api/v1/sessions/{id}/turns` lists a session's.",
        facts={"turn_id": turn_id},
    )


def _no_approval(approval_id: str) -> ApprovalNotFoundError:
    return ApprovalNotFoundError("There is no such approval request.", facts={"approval_id": approval_id})
