"""Starts, queues, cancels and recovers turns: one at a time per session, independent of who listens."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from iskra.plugin_host.catalog import Catalog
from iskra.session_log import RESERVATION, LiveSession
from iskra.settings import LimitSettings
from iskra.turns.context_view import view_context
from iskra.turns.conversations import Conversations
from iskra.turns.model_ids import DEFAULT_MODEL, ResolvedModel, resolve_model
from iskra.turns.session_lane import LaneServices, Lease, SessionLane, started_event
from iskra.turns.turn_journal import Journal
from iskra.turns.turn_replay import Replay, ReplayedTurn, replay
from iskra.turns.turn_services import TurnServices
from iskra_sdk.errors import (
    BadInputError,
    ConflictError,
    IdempotencyConflictError,
    InputTooLargeError,
    QueueFullError,
    ShuttingDownError,
    TurnError,
    TurnNotFoundError,
)
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import MessageId, SessionId, TurnId, new_id
from iskra_sdk.message import Message, clean_text, is_blank
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    AppendMessage,
    Change,
    CreateSession,
    CreateTurn,
    PutPluginValue,
    Session,
    StoredMessage,
    TurnRecord,
    TurnState,
    UpdateSession,
    message_position,
)

MOST_RECOVERIES = 5
"""Starts of the server that may go on with one turn; a turn that was under way at more crashes is given up."""

_RECOVERIES = "recoveries/"  # key of a turn's count in the kernel's own key-value state
_KERNEL = "kernel"
_LONGEST_TITLE = 80  # characters


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A checked request for a turn."""

    principal: Principal
    message: Message
    model: str
    agent: str
    options: Mapping[str, object]
    key: str

    @property
    def hash(self) -> str:
        """What tells a repetition from another request."""
        return hashlib.sha256(to_json([self.model, self.message.text])).hexdigest()


class TurnRunner:
    """Takes messages, runs their turns, and brings unfinished turns back after a stop.

    Args:
        services: What turns need of the kernel.
        lease: Holds the present catalog for a turn.
        aliases: The router's aliases.
        limits: Bounds.
    """

    def __init__(
        self,
        services: TurnServices,
        lease: Callable[[], AbstractContextManager[Lease]],
        aliases: frozenset[str],
        limits: LimitSettings,
    ) -> None:
        self._services = services
        self._store = services.store
        self._logs = services.logs
        self._clock = services.clock
        self._lease = lease
        self._aliases = aliases
        self._limits = limits
        self._conversations = Conversations(services.store)
        self._lane_services = LaneServices(services, lease, self.resolve_model, self._conversations)
        self._lanes: dict[SessionId, SessionLane] = {}
        self._opening: dict[SessionId, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    @property
    def running(self) -> int:
        """How many turns are under way."""
        return sum(lane.record is not None for lane in self._lanes.values())

    def resolve_model(self, model: str, catalog: Catalog) -> ResolvedModel:
        """Return who answers to a model id.

        Raises:
            UnknownModelError: Nobody does.
        """
        return resolve_model(model, catalog, self._aliases)

    # Starting --------------------------------------------------------------------------------------------------------

    async def start(
        self,
        principal: Principal,
        session_id: SessionId | None,
        text: str | Message,
        *,
        model: str | None = None,
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
        history: Sequence[Message] = (),
        title: str = "",
    ) -> TurnRecord:
        """Commit a message and its turn, and run or queue it.

        Args:
            principal: Whose turn it is.
            session_id: The session; a new one is made for ``None``.
            text: The user's message.
            model: Who shall answer; the session's own choice by default.
            options: ``parameters`` for the model.
            idempotency_key: A repetition with the same key returns the turn that exists.
            history: Conversation a new session begins with.
            title: Title of a new session; made from the message by default.

        Returns:
            The committed turn; its ``first_seq`` is where to follow the session from.

        Raises:
            SessionNotFoundError: No such session for this principal.
            UnknownModelError: Nobody answers to ``model``.
            InputTooLargeError: The message is over the limit.
            QueueFullError: As many messages wait as may.
            IdempotencyConflictError: The key was used for another request.
            ShuttingDownError: The server is stopping.
        """
        if self._is_closing:
            raise ShuttingDownError("The server is stopping and takes no new turns.", retry_after=5)
        message = self._checked(Message.user(clean_text(text)) if isinstance(text, str) else text)
        if model is None:
            model = DEFAULT_MODEL if session_id is None else (await self._store.session(principal, session_id)).agent
        wanted = _Wanted(principal, message, model, self._agent_for(model), options or {}, idempotency_key)
        if session_id is None:
            starting = self._start_session(wanted, history, title)
        else:
            starting = self._start_in(session_id, wanted)
        # A client that leaves now must not leave a committed turn behind that nobody runs.
        return await asyncio.shield(self._spawn(starting))

    def _spawn(self, work: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Run ``work`` in a task that :meth:`close` waits for."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _checked(self, message: Message) -> Message:
        size = len(message.encoded)
        if size > self._limits.message_bytes:
            raise InputTooLargeError(
                f"The message has {size:,} bytes, the limit is {self._limits.message_bytes:,}.",
                mend="Send it in parts, or put it in a file; an admin can raise `limits.message_bytes`.",
                facts={"limit": self._limits.message_bytes},
            )
        if is_blank(message.text) and not _has_other_parts(message):
            raise BadInputError("The message is empty.", mend="Write something.")
        return message

    def _agent_for(self, model: str) -> str:
        with self._lease() as lease:
            return self.resolve_model(model, lease.catalog).agent.name

    async def _start_session(self, wanted: _Wanted, history: Sequence[Message], title: str) -> TurnRecord:
        now = self._clock.now()
        session = Session(
            id=SessionId(new_id("ses")),
            principal_id=wanted.principal.id,
            created_at=now,
            updated_at=now,
            title=clean_text(title) or title_from(wanted.message.text),
            agent=wanted.model,
            reserved_seq=RESERVATION,
        )
        lane = self._new_lane(self._logs.create(session), next_number=1)
        record = self._draft(lane, wanted)
        earlier = [
            _stored(session.id, message_position(0, index), f"{session.id}.{index}", old, record)
            for index, old in enumerate(history, 1)
        ]
        created = Event(EventType.SESSION_CREATED, {"title": session.title, "agent": session.agent}, at=now)
        known = [old.with_id(f"{session.id}.{index}") for index, old in enumerate(history, 1)]
        self._conversations.remember(session.id, known, {})
        return await self._accept(lane, record, [CreateSession(session), *earlier], [created])

    async def _start_in(self, session_id: SessionId, wanted: _Wanted) -> TurnRecord:
        lane = await self._lane(wanted.principal, session_id)
        try:
            if not wanted.key:
                return await self._start_in_lane(lane, wanted)
            accepting = lane.accepting.get(wanted.key)
            if accepting is None:
                accepting = lane.accepting[wanted.key] = self._spawn(self._start_once(lane, wanted))
            return _same_request(await asyncio.shield(accepting), wanted)
        finally:
            self._release(lane)

    async def _start_once(self, lane: SessionLane, wanted: _Wanted) -> TurnRecord:
        """Start a turn unless the session has one with this key."""
        try:
            existing = await self._store.turn_by_key(wanted.principal, lane.live.id, wanted.key)
            return existing or await self._start_in_lane(lane, wanted)
        finally:
            del lane.accepting[wanted.key]

    async def _start_in_lane(self, lane: SessionLane, wanted: _Wanted) -> TurnRecord:
        if not lane.is_idle and len(lane.queue) >= self._limits.queued_turns:
            raise QueueFullError(
                f"{len(lane.queue)} messages wait in this session already.",
                mend="Wait for an answer, or cancel the turn that runs.",
                retry_after=2,
            )
        record = self._draft(lane, wanted)
        return await self._accept(lane, record, [UpdateSession(lane.live.id, record.created_at)], [])

    def _draft(self, lane: SessionLane, wanted: _Wanted) -> TurnRecord:
        return TurnRecord(
            id=TurnId(new_id("trn")),
            session_id=lane.live.id,
            principal_id=wanted.principal.id,
            number=lane.next_number,
            model=wanted.model,
            state=TurnState.RUNNING if lane.is_idle else TurnState.QUEUED,
            input=wanted.message,
            created_at=self._clock.now(),
            agent=wanted.agent,
            first_seq=lane.live.last_seq,
            idempotency_key=wanted.key,
            request_hash=wanted.hash,
            options=wanted.options,
        )

    async def _accept(
        self, lane: SessionLane, record: TurnRecord, changes: Sequence[Change], events: Sequence[Event]
    ) -> TurnRecord:
        """Commit a new turn and take it into its lane."""
        lane.next_number += 1
        is_running = record.state is TurnState.RUNNING
        if is_running:
            lane.take(record)  # before the commit, so that nobody else starts meanwhile
        else:
            lane.queue.append(record)
        position = message_position(record.number, 0)
        asked = _stored(record.session_id, position, f"{record.id}.0", record.input, record)
        started = [started_event(record)] if is_running else []
        try:
            await self._logs.commit(lane.live, [*changes, CreateTurn(record), asked], [*events, *started])
        except BaseException:
            lane.give_back(record)
            if is_running and lane.queue:
                lane.launch_waiting()
            self._drop_if_idle(lane)
            raise
        if is_running:
            lane.launch()
        return record

    # Lanes -----------------------------------------------------------------------------------------------------------

    async def _lane(self, principal: Principal, session_id: SessionId) -> SessionLane:
        """Return the session's lane, made if it has none, and hold it until :meth:`_release`."""
        live = await self._logs.open(principal, session_id)
        lock = self._opening.setdefault(session_id, asyncio.Lock())
        try:
            async with lock:
                lane = self._lanes.get(session_id)
                if lane is not None:
                    self._logs.release(live)
                else:
                    newest = await self._store.turns(SYSTEM, session_id, limit=1)
                    lane = self._new_lane(live, next_number=newest[0].number + 1 if newest else 1)
                lane.holds += 1
                return lane
        finally:
            if not lock.locked():
                self._opening.pop(session_id, None)

    def _new_lane(self, live: LiveSession, *, next_number: int) -> SessionLane:
        lane = SessionLane(
            live,
            next_number=next_number,
            services=self._lane_services,
            spawn=self._spawn,
            on_idle=self._drop_if_idle,
        )
        self._lanes[live.id] = lane
        return lane

    def _release(self, lane: SessionLane) -> None:
        lane.holds -= 1
        self._drop_if_idle(lane)

    def _drop_if_idle(self, lane: SessionLane) -> None:
        if lane.is_idle and not lane.holds and self._lanes.get(lane.live.id) is lane:
            del self._lanes[lane.live.id]
            self._logs.release(lane.live)

    # Acting on turns -------------------------------------------------------------------------------------------------

    async def cancel(self, principal: Principal, turn_id: TurnId, reason: str = "cancelled by the user") -> None:
        """Cancel a turn and wait until it has ended; one that has ended stays as it is.

        Raises:
            TurnNotFoundError: No such turn for this principal.
        """
        record = await self._store.turn(principal, turn_id)
        lane = self._lanes.get(record.session_id)
        if lane is not None and record.state in UNFINISHED:
            await lane.cancel(turn_id, reason)

    async def replay(self, principal: Principal, turn_id: TurnId) -> Replay:
        """Run a finished turn's agent again on what its journal holds, without any effect.

        Raises:
            TurnNotFoundError: No such turn for this principal.
            ConflictError: The turn is not finished.
            UnknownModelError: Nobody answers to its model any more.
        """
        record = await self._store.turn(principal, turn_id)
        if record.state in UNFINISHED:
            raise ConflictError("The turn is not finished.", mend="Replay it when it has ended.")
        conversation = await self._conversations.as_it_was(record)
        with self._lease() as lease:
            resolved = self.resolve_model(record.model, lease.catalog)
            return await replay(
                ReplayedTurn(
                    record,
                    await self._store.steps(principal, turn_id),
                    principal=principal,
                    agent=resolved.agent,
                    history=conversation.messages,
                    contexts=conversation.contexts,
                    catalog=lease.catalog,
                    services=self._services,
                    voice=resolved.voice.name if resolved.voice is not None else "",
                )
            )

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord | None:
        """Answer the open question of a session's turn.

        Returns:
            The turn, with ``first_seq`` where its continuation begins; ``None`` if no question is open.

        Raises:
            SessionNotFoundError: No such session for this principal.
            BadInputError: The text is none of the question's options.
            ConflictError: The question was answered a moment ago.
        """
        live = await self._logs.open(principal, session_id)
        try:
            lane = self._lanes.get(session_id)
            return None if lane is None else await lane.answer(text)
        finally:
            self._logs.release(live)

    async def active_turn(self, principal: Principal, session_id: SessionId) -> TurnRecord | None:
        """Return the turn that runs or waits for a person in a session, as stored."""
        lane = self._lanes.get(session_id)
        if lane is None or lane.record is None:
            return None
        try:
            return await self._store.turn(principal, lane.record.id)
        except TurnNotFoundError:
            return None

    async def follow(self, principal: Principal, session_id: SessionId, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield a session's events one by one; see ``iskra_sdk.Turns``."""
        async for batch in self._logs.follow(principal, session_id, after=after):
            for event in batch:
                yield event

    # Life ------------------------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """Go on with every turn that a stopped or killed server left behind; return how many there are."""
        by_session: dict[SessionId, list[TurnRecord]] = {}
        for record in await self._store.unfinished_turns():
            by_session.setdefault(record.session_id, []).append(record)
        for session_id, records in by_session.items():
            lane = await self._lane(SYSTEM, session_id)
            lane.queue.extend(records)
            lane.next_number = max(lane.next_number, records[-1].number + 1)
            await self._recover_lane(lane)
            self._release(lane)
        return sum(len(records) for records in by_session.values())

    async def _recover_lane(self, lane: SessionLane) -> None:
        record = lane.queue[0]
        if record.state is not TurnState.QUEUED:
            lane.queue.popleft()
            lane.take(record)
            if await self._may_go_on(record):
                await lane.reset_partial_message()
                lane.launch(Journal(await self._store.steps(SYSTEM, record.id)))
                return
            error = TurnError(
                f"The server stopped {MOST_RECOVERIES} times while this turn was under way, so it was given up.",
                mend="Look for a plugin that brings the server down; send the message again if it is safe.",
            )
            await lane.fail(record, error)
        lane.launch_waiting()

    async def _may_go_on(self, record: TurnRecord) -> bool:
        """Count a start that goes on with a running turn; a turn that waits for a person brings no server down."""
        if record.state is not TurnState.RUNNING:
            return True
        key = f"{_RECOVERIES}{record.id}"
        times = await self._store.plugin_value(_KERNEL, key)
        so_far = times if isinstance(times, int) else 0
        is_allowed = so_far < MOST_RECOVERIES
        await self._store.apply([PutPluginValue(_KERNEL, key, so_far + 1 if is_allowed else None)])
        return is_allowed

    async def park(self, catalog: Catalog) -> None:
        """Restart the turns that still hold ``catalog`` from their journals, on the present one.

        Returns when they have let go of it.
        """
        for lane in list(self._lanes.values()):
            await lane.park(catalog)

    async def view_context(self, principal: Principal, session_id: SessionId) -> Mapping[str, object]:
        """Return what a session's agent would see with the next message; see :mod:`iskra.turns.context_view`.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        with self._lease() as lease:
            return await view_context(self._services, lease.catalog, principal, session_id)

    async def close(self, grace: float) -> None:
        """Take no new turns, give those that run ``grace`` seconds, then leave the rest to the next start.

        Turns that only wait for a person are left at once.
        """
        self._is_closing = True
        for lane in list(self._lanes.values()):
            lane.stop_if_waiting()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for lane in list(self._lanes.values()):
            lane.stop()
        if self._tasks:
            _, still = await asyncio.wait(list(self._tasks), timeout=grace)
            for task in still:
                task.cancel()


def title_from(text: str) -> str:
    """Return a title for a session: the first words of its first message."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1].rsplit(' ', 1)[0]}…"


def _stored(
    session_id: SessionId, position: int, message_id: str, message: Message, record: TurnRecord
) -> AppendMessage:
    turn_id = record.id if message is record.input else None
    return AppendMessage(
        StoredMessage(MessageId(message_id), session_id, position, message, record.created_at, turn_id=turn_id)
    )


def _has_other_parts(message: Message) -> bool:
    """Return whether a message has parts that are no text, such as images."""
    content = message.wire.get("content")
    parts = content if isinstance(content, list) else ()
    return any(not isinstance(part, dict) or part.get("type") != "text" for part in parts)


def _same_request(existing: TurnRecord, wanted: _Wanted) -> TurnRecord:
    if existing.request_hash != wanted.hash:
        raise IdempotencyConflictError(
            f"The idempotency key {existing.idempotency_key!r} was used for another message of this session.",
            mend="Use a new key for each message.",
        )
    return existing
