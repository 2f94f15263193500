"""The session store contract: what is kept, and the one way to change it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from iskra_sdk.approval import ApprovalRequest, ApprovalState
from iskra_sdk.event import Event
from iskra_sdk.ids import ApprovalId, EffectId, MessageId, SessionId, TurnId
from iskra_sdk.llm import Usage
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation and its owner.

    Attributes:
        agent: Model id its turns use unless they name another, e.g. ``agent:coder``.
        reserved_seq: Highest event number that may have been handed out; a restarted server goes on above it.
        contexts: Structured context per agent, JSON-able.
    """

    id: SessionId
    principal_id: str
    created_at: datetime
    updated_at: datetime
    title: str = ""
    agent: str = "iskra"
    metadata: Mapping[str, object] = field(default_factory=dict)
    contexts: Mapping[str, object] = field(default_factory=dict)
    reserved_seq: int = 0


class TurnState(StrEnum):
    """Where a turn stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    WAITING_ANSWER = "waiting_answer"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = frozenset({TurnState.QUEUED, TurnState.RUNNING, TurnState.WAITING_APPROVAL, TurnState.WAITING_ANSWER})
"""States a crash recovery goes on from."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn as stored.

    Attributes:
        number: Order within the session, from 1.
        model: The model id the client asked for.
        first_seq: Number of its first event.
        idempotency_key: The client's key; unique per session where not empty.
        request_hash: SHA-256 of the request, to tell a repetition from another request with the same key.
        options: JSON-able parameters from the client, e.g. ``{"parameters": {"temperature": 0}}``.
        error: ``{"code", "message", "mend"}`` of a failed turn.
        usage: Tokens of all its model calls.
    """

    id: TurnId
    session_id: SessionId
    principal_id: str
    number: int
    model: str
    state: TurnState
    input: Message
    created_at: datetime
    agent: str = ""
    first_seq: int = 0
    ended_at: datetime | None = None
    idempotency_key: str = ""
    request_hash: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    error: Mapping[str, object] | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def labels(self) -> frozenset[str]:
        """Labels that the client gave the request; see :class:`~iskra_sdk.llm.Caller`."""
        given = self.options.get("labels")
        return frozenset(map(str, given)) if isinstance(given, list) else frozenset()


class StepKind(StrEnum):
    """What a step of a turn's journal records."""

    MODEL = "model"
    TOOL = "tool"
    TEXT = "text"
    QUESTION = "question"
    HANDOFF = "handoff"


class StepState(StrEnum):
    """Where a step stands.

    A tool step is ``waiting`` for a decision, then ``started`` (written before the effect), then ``done``.
    ``unknown`` is a started call with a side effect that a crash left without an outcome; a person decides.
    """

    WAITING = "waiting"
    STARTED = "started"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One entry of a turn's journal.

    Attributes:
        index: Position in the journal, from 0.
        name: Tool or agent name, where the kind has one.
        data: JSON-able; for a tool ``{"call", "arguments", "approval_id", "result"}``, for a model ``{"answer", …}``.
        effect_id: Of a tool call; stable through crashes.
    """

    turn_id: TurnId
    index: int
    kind: StepKind
    state: StepState
    started_at: datetime
    name: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    effect_id: EffectId = EffectId("")
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a session.

    Attributes:
        position: Order within the conversation, strictly increasing, with gaps: a message that waited while another
            turn ran still comes after that turn's messages.
    """

    id: MessageId
    session_id: SessionId
    position: int
    message: Message
    created_at: datetime
    turn_id: TurnId | None = None
    agent: str = ""


def message_position(turn_number: int, index: int) -> int:
    """Return the position of the ``index``-th message (from 0, below 65,536) of a turn."""
    return turn_number << 16 | index


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something privileged that was done or refused; never changed afterwards.

    Attributes:
        action: Dotted verb, e.g. ``plugin.reload``, ``approval.approve``, ``login.failed``.
        target: What it was done to.
        data: JSON-able facts; no secrets, no contents of messages.
    """

    at: datetime
    principal_id: str
    action: str
    target: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """A bearer of rights that is kept hashed: a login of the console, later an API key.

    Attributes:
        digest: SHA-256 (hex) of the secret.
    """

    digest: str
    principal_id: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What is remembered of a plugin between starts."""

    name: str
    is_enabled: bool = True
    settings: Mapping[str, object] = field(default_factory=dict)
    failed_starts: int = 0
    quarantined_because: str = ""


# Changes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateSession:
    """Add a session; ``ConflictError`` if the id exists."""

    session: Session


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """Change the given fields of a session; ``None`` leaves a field as it is."""

    session_id: SessionId
    updated_at: datetime
    title: str | None = None
    agent: str | None = None
    metadata: Mapping[str, object] | None = None
    contexts: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ReserveSeq:
    """Raise a session's reserved event number."""

    session_id: SessionId
    reserved_seq: int


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """Remove a session with everything in it. Its audit entries stay."""

    session_id: SessionId


@dataclass(frozen=True, slots=True)
class CreateTurn:
    """Add a turn; ``ConflictError`` if its number or its idempotency key is taken in the session."""

    turn: TurnRecord


@dataclass(frozen=True, slots=True)
class UpdateTurn:
    """Move a turn to another state; ``TurnStateError`` if it is not in one of ``expected``."""

    turn_id: TurnId
    state: TurnState
    expected: frozenset[TurnState] = UNFINISHED
    agent: str | None = None
    first_seq: int | None = None
    ended_at: datetime | None = None
    error: Mapping[str, object] | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """Add a message to a session."""

    message: StoredMessage


@dataclass(frozen=True, slots=True)
class PutStep:
    """Write a step, or replace it by its next state; ``ConflictError`` if ``expected`` is not its present state.

    ``expected=None`` means the step must not exist yet.
    """

    step: StepRecord
    expected: StepState | None = None


@dataclass(frozen=True, slots=True)
class AppendEvent:
    """Add a durable event to a session's log; ``ConflictError`` if its number is taken."""

    event: Event


@dataclass(frozen=True, slots=True)
class CreateApproval:
    """Add an approval request."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class CloseApproval:
    """Give an open request its final state; ``ApprovalClosedError`` if it is not open any more."""

    approval_id: ApprovalId
    state: ApprovalState
    decided_by: str
    decided_at: datetime
    remark: str = ""
    arguments: str | None = None
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Add an audit entry."""

    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class PutTranscript:
    """Remember that a conversation with this digest stands at this point of a session.

    This is how a stateless chat client's history finds its session again.

    Attributes:
        digest: Digest of everything said so far, with the principal and model in it.
        position: Position of the last message it covers.
    """

    digest: str
    session_id: SessionId
    position: int


@dataclass(frozen=True, slots=True)
class PutCredential:
    """Add a credential."""

    credential: Credential


@dataclass(frozen=True, slots=True)
class DeleteCredentials:
    """Remove one credential by digest, or all of a principal."""

    digest: str = ""
    principal_id: str = ""


@dataclass(frozen=True, slots=True)
class PutPlugin:
    """Write what is remembered of a plugin."""

    plugin: PluginRecord


@dataclass(frozen=True, slots=True)
class PutPluginValue:
    """Write a value of a plugin's key-value state; ``None`` removes it."""

    plugin: str
    key: str
    value: object


@dataclass(frozen=True, slots=True)
class AddUsage:
    """Count a model call; the store sums per day, principal, agent and target."""

    day: str
    principal_id: str
    agent: str
    target: str
    usage: Usage
    calls: int = 1


Change = (
    CreateSession
    | UpdateSession
    | ReserveSeq
    | DeleteSession
    | CreateTurn
    | UpdateTurn
    | AppendMessage
    | PutStep
    | AppendEvent
    | CreateApproval
    | CloseApproval
    | AppendAudit
    | PutTranscript
    | PutCredential
    | DeleteCredentials
    | PutPlugin
    | PutPluginValue
    | AddUsage
)


# Contract --------------------------------------------------------------------------------------------------------


class SessionReader(Protocol):
    """Reads what a principal may see. What belongs to others looks as if it did not exist; an admin sees all."""

    async def session(self, principal: Principal, session_id: SessionId) -> Session:
        """Return a session.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """

    async def sessions(
        self, principal: Principal, *, limit: int = 50, before: SessionId | None = None
    ) -> Sequence[Session]:
        """Return sessions, newest first, at most ``limit`` (1–200), after the one with the id ``before``.

        Raises:
            SessionNotFoundError: There is no session ``before`` for this principal.
        """

    async def messages(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredMessage]:
        """Return messages with a position above ``after``, oldest first.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """

    async def events(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Event]:
        """Return durable events with a number above ``after``, oldest first.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """

    async def turn(self, principal: Principal, turn_id: TurnId) -> TurnRecord:
        """Return a turn.

        Raises:
            TurnNotFoundError: No such turn for this principal.
        """

    async def turns(
        self, principal: Principal, session_id: SessionId, *, limit: int = 100, before: int | None = None
    ) -> Sequence[TurnRecord]:
        """Return a session's turns, newest first, those with a number below ``before``.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """

    async def steps(self, principal: Principal, turn_id: TurnId) -> Sequence[StepRecord]:
        """Return a turn's journal in order.

        Raises:
            TurnNotFoundError: No such turn for this principal.
        """

    async def approvals(
        self,
        principal: Principal,
        *,
        state: ApprovalState | None = None,
        session_id: SessionId | None = None,
        limit: int = 100,
    ) -> Sequence[ApprovalRequest]:
        """Return approval requests, newest first."""

    async def approval(self, principal: Principal, approval_id: ApprovalId) -> ApprovalRequest:
        """Return an approval request.

        Raises:
            ApprovalNotFoundError: No such request for this principal.
        """


class SessionStore(SessionReader, Protocol):
    """Keeps everything durable. Reads see every acknowledged change.

    All methods may raise :class:`~iskra_sdk.errors.StoreUnavailableError`.
    """

    async def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order, or none.

        When it returns, they are committed to stable storage. If it is cancelled, they may or may not be made.

        Raises:
            ConflictError: A condition of a change does not hold; the subclass says which. Where something is taken
                already, ``facts["taken"]`` names it: ``id``, ``number``, ``idempotency_key``, ``code``, ``position``,
                ``seq`` or ``digest``.
            NotFoundError: A change is about a session, turn or approval that does not exist.
            StorageFullError: No space; reading still works.
            StoreUnavailableError: The database cannot be reached.
        """

    async def unfinished_turns(self) -> Sequence[TurnRecord]:
        """Return all turns that are not in a final state, by session and number."""

    async def turn_by_key(self, principal: Principal, session_id: SessionId, key: str) -> TurnRecord | None:
        """Return the session's turn with this idempotency key."""

    async def approval_by_code(self, principal: Principal, code: str) -> ApprovalRequest | None:
        """Return the principal's newest request with this code, whatever its state."""

    async def transcript(self, digest: str) -> tuple[SessionId, int] | None:
        """Return the session and position a transcript digest stands for; the newest if there are several."""

    async def credential(self, digest: str) -> Credential | None:
        """Return a credential that has not expired, by its digest."""

    async def plugins(self) -> Sequence[PluginRecord]:
        """Return what is remembered of plugins."""

    async def plugin_value(self, plugin: str, key: str) -> object:
        """Return a value of a plugin's key-value state, or ``None``."""

    async def plugin_keys(self, plugin: str, prefix: str = "") -> Sequence[str]:
        """Return the sorted keys of a plugin's state that begin with ``prefix``."""

    async def audit(
        self, *, limit: int = 100, before: int | None = None, action: str = ""
    ) -> Sequence[tuple[int, AuditEntry]]:
        """Return numbered audit entries, newest first, of actions matching the glob ``action``."""

    async def usage(self, principal: Principal, *, since_day: str = "") -> Sequence[AddUsage]:
        """Return usage sums per day, principal, agent and target, newest day first."""

    async def check(self) -> None:
        """Raise ``StoreUnavailableError`` or ``StorageFullError`` unless a write would work now."""

    async def close(self) -> None:
        """Finish pending changes and let go of the database."""
