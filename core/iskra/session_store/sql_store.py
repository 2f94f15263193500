"""What the SQLite and the PostgreSQL store have in common: the contract, written as statements and rows."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast

from pydantic_core import from_json

from iskra.interceptors import Points
from iskra.session_store.operations import (
    Operation,
    Planner,
    load_statements,
    microseconds,
    no_session,
    no_turn,
    storable_text,
    time_of,
)
from iskra_sdk.approval import ApprovalRequest, ApprovalState, TimeoutAction
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ApprovalNotFoundError
from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import ApprovalId, EffectId, MessageId, SessionId, TurnId
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import Usage
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    AddUsage,
    AuditEntry,
    Change,
    Credential,
    PluginRecord,
    Session,
    StepKind,
    StepRecord,
    StepState,
    StoredMessage,
    TurnRecord,
    TurnState,
)
from iskra_sdk.tool import Risk

T = TypeVar("T")

Row = Sequence[Any]
Decode = Callable[[Row], T]

_MOST_SESSIONS = 200
_HIGHEST = 2**63 - 1


class Guard:
    """Lets a principal see what belongs to a session or turn.

    Attributes:
        query: Name of the query that tells the owner.
        params: Its parameters.
    """

    __slots__ = ("_principal", "params", "query")

    def __init__(self, query: str, key: str, principal: Principal) -> None:
        self.query = query
        self.params = (storable_text(key),)
        self._principal = principal

    def admits(self, row: Row | None) -> bool:
        """Return whether the principal may see what has this owner; ``None`` for what does not exist."""
        return row is not None and _may_see(self._principal, row[0])


class SQLStore(ABC):
    """A session store on a SQL database; backends say how statements are run."""

    def __init__(self, database: Literal["sqlite", "postgresql"], *, points: Points | None, clock: Clock) -> None:
        self._statements = load_statements(database)
        self._planner = Planner(self._statements)
        self._clock = clock
        points = points or Points()
        self._reads = points.slot(Point.STORE_READ)
        self._writes = points.slot(Point.STORE_WRITE)

    # What a backend does ----------------------------------------------------------------------------------------

    @abstractmethod
    def _commit(self, operations: list[Operation]) -> Awaitable[None]:
        """Run all operations in one transaction; what is returned is done when they are on stable storage."""

    @abstractmethod
    async def _fetch(self, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T]:
        """Run a query and decode its rows."""

    @abstractmethod
    async def _fetch_owned(self, guard: Guard, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T] | None:
        """Run a query and decode its rows, or return ``None`` if the guard does not let it."""

    # Changes ----------------------------------------------------------------------------------------------------

    async def apply(self, changes: Sequence[Change]) -> None:
        chain = self._writes.chain
        if chain is None:
            await self._commit(self._planner.plan(changes))
        else:
            await chain(changes, self._apply)

    async def _apply(self, changes: Sequence[Change]) -> None:
        await self._commit(self._planner.plan(changes))

    async def check(self) -> None:
        params = (1, microseconds(self._clock.now()))
        await self._commit([Operation(self._statements["put_write_check"], params, cast("Change", None))])

    async def _forget_expired_credentials(self) -> None:
        params = (microseconds(self._clock.now()),)
        await self._commit([Operation(self._statements["delete_expired_credentials"], params, cast("Change", None))])

    # Reads ------------------------------------------------------------------------------------------------------

    async def _read(self, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T]:
        chain = self._reads.chain
        if chain is None:
            return await self._fetch(name, params, decode)
        rows: list[T] = await chain(name, lambda _: self._fetch(name, params, decode))
        return rows

    async def _read_owned(self, guard: Guard, name: str, params: tuple[Any, ...], decode: Decode[T]) -> list[T] | None:
        chain = self._reads.chain
        if chain is None:
            return await self._fetch_owned(guard, name, params, decode)
        rows: list[T] | None = await chain(name, lambda _: self._fetch_owned(guard, name, params, decode))
        return rows

    async def _of_session(
        self,
        principal: Principal,
        session_id: SessionId,
        name: str,
        params: tuple[Any, ...],
        decode: Decode[T],
    ) -> list[T]:
        rows = await self._read_owned(Guard("session_owner", session_id, principal), name, params, decode)
        if rows is None:
            raise no_session(session_id)
        return rows

    async def _of_turn(self, principal: Principal, turn_id: TurnId, name: str, decode: Decode[T]) -> list[T]:
        guard = Guard("turn_owner", turn_id, principal)
        rows = await self._read_owned(guard, name, (storable_text(turn_id),), decode)
        if rows is None:
            raise no_turn(turn_id)
        return rows

    async def session(self, principal: Principal, session_id: SessionId) -> Session:
        rows = await self._read("session", (storable_text(session_id),), _session)
        if not rows or not _may_see(principal, rows[0].principal_id):
            raise no_session(session_id)
        return rows[0]

    async def sessions(
        self, principal: Principal, *, limit: int = 50, before: SessionId | None = None
    ) -> Sequence[Session]:
        limit = max(1, min(limit, _MOST_SESSIONS))
        whose: tuple[Any, ...] = () if principal.is_admin else (principal.id,)
        suffix = "_of_all" if principal.is_admin else ""
        if before is None:
            return await self._read(f"sessions{suffix}", (*whose, limit), _session)
        cursor = await self.session(principal, before)
        params = (*whose, microseconds(cursor.created_at), cursor.id, limit)
        return await self._read(f"sessions_before{suffix}", params, _session)

    async def messages(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredMessage]:
        params = (storable_text(session_id), _number(after), _limit(limit))
        return await self._of_session(principal, session_id, "messages", params, _message)

    async def events(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Event]:
        params = (storable_text(session_id), _number(after), _limit(limit))
        return await self._of_session(principal, session_id, "events", params, _event)

    async def turn(self, principal: Principal, turn_id: TurnId) -> TurnRecord:
        rows = await self._of_turn(principal, turn_id, "turn", _turn)
        if not rows:  # deleted between the two queries
            raise no_turn(turn_id)
        return rows[0]

    async def turns(
        self, principal: Principal, session_id: SessionId, *, limit: int = 100, before: int | None = None
    ) -> Sequence[TurnRecord]:
        params = (storable_text(session_id), _HIGHEST if before is None else _number(before), _limit(limit))
        return await self._of_session(principal, session_id, "turns", params, _turn)

    async def steps(self, principal: Principal, turn_id: TurnId) -> Sequence[StepRecord]:
        return await self._of_turn(principal, turn_id, "steps", _step)

    async def approvals(
        self,
        principal: Principal,
        *,
        state: ApprovalState | None = None,
        session_id: SessionId | None = None,
        limit: int = 100,
    ) -> Sequence[ApprovalRequest]:
        filters = {} if principal.is_admin else {"principal_id": principal.id}
        if state is not None:
            filters["state"] = state.value
        if session_id is not None:
            filters["session_id"] = storable_text(session_id)
        params = (*filters.values(), _limit(limit))
        return await self._read("_".join(("approvals", *filters)), params, _approval)

    async def approval(self, principal: Principal, approval_id: ApprovalId) -> ApprovalRequest:
        rows = await self._read("approval", (storable_text(approval_id),), _approval)
        if not rows or not _may_see(principal, rows[0].principal_id):
            raise ApprovalNotFoundError("There is no such approval request.", facts={"approval_id": approval_id})
        return rows[0]

    async def approval_by_code(self, principal: Principal, code: str) -> ApprovalRequest | None:
        return _first(await self._read("approval_by_code", (principal.id, storable_text(code)), _approval))

    async def unfinished_turns(self) -> Sequence[TurnRecord]:
        return await self._read("unfinished_turns", (), _turn)

    async def turn_by_key(self, principal: Principal, session_id: SessionId, key: str) -> TurnRecord | None:
        guard = Guard("session_owner", session_id, principal)
        params = (storable_text(session_id), storable_text(key))
        return _first(await self._read_owned(guard, "turn_by_key", params, _turn) or ())

    async def transcript(self, digest: str) -> tuple[SessionId, int] | None:
        return _first(await self._read("transcript", (storable_text(digest),), _transcript))

    async def credential(self, digest: str) -> Credential | None:
        found = _first(await self._read("credential", (storable_text(digest),), _credential))
        return found if found is not None and found.expires_at > self._clock.now() else None

    async def plugins(self) -> Sequence[PluginRecord]:
        return await self._read("plugins", (), _plugin)

    async def plugin_value(self, plugin: str, key: str) -> object:
        return _first(await self._read("plugin_value", (storable_text(plugin), storable_text(key)), _json_value))

    async def plugin_keys(self, plugin: str, prefix: str = "") -> Sequence[str]:
        beginning = storable_text(prefix)
        params = (storable_text(plugin), len(beginning), beginning)
        return sorted(await self._read("plugin_keys", params, _first_column))

    async def audit(
        self, *, limit: int = 100, before: int | None = None, action: str = ""
    ) -> Sequence[tuple[int, AuditEntry]]:
        page = (_HIGHEST if before is None else _number(before), _limit(limit))
        action = storable_text(action)
        if action in ("", "*"):
            return await self._read("audit", page, _audit)
        if not re.search(r"[*?\[]", action):
            return await self._read("audit_of_action", (action, *page), _audit)
        return await self._read("audit_of_actions", (self._glob(action), *page), _audit)

    @staticmethod
    @abstractmethod
    def _glob(pattern: str) -> str:
        """Return a glob as this database's pattern."""

    async def usage(self, principal: Principal, *, since_day: str = "") -> Sequence[AddUsage]:
        since = storable_text(since_day)
        if principal.is_admin:
            return await self._read("usage_of_all", (since,), _usage)
        return await self._read("usage", (principal.id, since), _usage)


def _may_see(principal: Principal, owner: str) -> bool:
    return owner == principal.id or principal.is_admin


def _number(value: int) -> int:
    """Return a number from outside within what a column can be compared with."""
    return max(-_HIGHEST, min(value, _HIGHEST))


def _limit(value: int) -> int:
    return max(0, min(value, 2**31 - 1))


def _first(rows: Iterable[T]) -> T | None:
    return next(iter(rows), None)


# Rows ------------------------------------------------------------------------------------------------------------


def _session(row: Row) -> Session:
    return Session(
        id=SessionId(row[0]),
        principal_id=row[1],
        created_at=time_of(row[2]),
        updated_at=time_of(row[3]),
        title=row[4],
        agent=row[5],
        metadata=_mapping(row[6]),
        contexts=_mapping(row[7]),
        reserved_seq=row[8],
    )


def _turn(row: Row) -> TurnRecord:
    return TurnRecord(
        id=TurnId(row[0]),
        session_id=SessionId(row[1]),
        principal_id=row[2],
        number=row[3],
        model=row[4],
        state=TurnState(row[5]),
        input=Message(encoded=row[6].encode()),
        created_at=time_of(row[7]),
        agent=row[8],
        first_seq=row[9],
        ended_at=None if row[10] is None else time_of(row[10]),
        idempotency_key=row[11],
        request_hash=row[12],
        options=_mapping(row[13]),
        error=None if row[14] is None else _mapping(row[14]),
        usage=Usage(row[15], row[16]),
    )


def _step(row: Row) -> StepRecord:
    return StepRecord(
        turn_id=TurnId(row[0]),
        index=row[1],
        kind=StepKind(row[2]),
        state=StepState(row[3]),
        started_at=time_of(row[4]),
        name=row[5],
        data=_mapping(row[6]),
        effect_id=EffectId(row[7]),
        ended_at=None if row[8] is None else time_of(row[8]),
    )


def _message(row: Row) -> StoredMessage:
    return StoredMessage(
        id=MessageId(row[2]),
        session_id=SessionId(row[0]),
        position=row[1],
        message=Message(encoded=row[6].encode()),
        created_at=time_of(row[5]),
        turn_id=row[3],
        agent=row[4],
    )


def _event(row: Row) -> Event:
    return Event(
        type=row[2],
        data=_mapping(row[8]),
        session_id=SessionId(row[0]),
        turn_id=row[3],
        seq=row[1],
        at=time_of(row[4]),
        source=row[5],
        severity=Severity(row[6]),
        correlation_id=row[7],
    )


def _approval(row: Row) -> ApprovalRequest:
    return ApprovalRequest(
        id=ApprovalId(row[0]),
        session_id=SessionId(row[1]),
        turn_id=TurnId(row[2]),
        tool_call_id=row[3],
        principal_id=row[4],
        agent=row[5],
        tool=row[6],
        plugin=row[7],
        risk=Risk(row[8]),
        arguments=row[9],
        hash=row[10],
        preview=row[11],
        code=row[12],
        rule=row[13],
        created_at=time_of(row[14]),
        expires_at=None if row[15] is None else time_of(row[15]),
        on_timeout=TimeoutAction(row[16]),
        reason=row[17],
        state=ApprovalState(row[18]),
        decided_by=row[19],
        decided_at=None if row[20] is None else time_of(row[20]),
        remark=row[21],
    )


def _transcript(row: Row) -> tuple[SessionId, int]:
    return SessionId(row[0]), row[1]


def _credential(row: Row) -> Credential:
    return Credential(digest=row[0], principal_id=row[1], created_at=time_of(row[2]), expires_at=time_of(row[3]))


def _plugin(row: Row) -> PluginRecord:
    return PluginRecord(
        name=row[0],
        is_enabled=bool(row[1]),
        settings=_mapping(row[2]),
        failed_starts=row[3],
        quarantined_because=row[4],
    )


def _audit(row: Row) -> tuple[int, AuditEntry]:
    entry = AuditEntry(
        at=time_of(row[1]),
        principal_id=row[2],
        action=row[3],
        target=row[4],
        data=_mapping(row[5]),
        correlation_id=row[6],
    )
    return row[0], entry


def _usage(row: Row) -> AddUsage:
    return AddUsage(
        day=row[1], principal_id=row[0], agent=row[2], target=row[3], usage=Usage(row[4], row[5]), calls=row[6]
    )


def _first_column(row: Row) -> str:
    return str(row[0])


def _json_value(row: Row) -> object:
    return from_json(row[0])


def _mapping(text: str) -> dict[str, object]:
    # Not orjson: it reads an integer over 64 bits as an inexact float.
    return cast("dict[str, object]", from_json(text)) if text != "{}" else {}
