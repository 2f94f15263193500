"""Runs turns: one at a time per session, durably, independent of who listens."""

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic_core import to_json

from iskra.context_strategy import with_missing_results
from iskra.model_ids import DEFAULT_MODEL, ResolvedModel, resolve_model
from iskra.plugin_host.catalog import Catalog
from iskra.running_turn import RunningTurn, TurnServices
from iskra.session_log import RESERVATION, LiveSession
from iskra.settings import LimitSettings
from iskra.turn_journal import Journal
from iskra_sdk.errors import (
    BadInputError,
    ConflictError,
    IdempotencyConflictError,
    InputTooLargeError,
    IskraError,
    QueueFullError,
    ShuttingDownError,
    StoreError,
    TurnError,
    TurnNotFoundError,
    TurnStateError,
)
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import MessageId, SessionId, TurnId, new_id
from iskra_sdk.message import Message, clean_text
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    AppendMessage,
    Change,
    CreateSession,
    CreateTurn,
    PutPluginValue,
    PutStep,
    Session,
    StepState,
    StoredMessage,
    TurnRecord,
    TurnState,
    UpdateSession,
    UpdateTurn,
    message_position,
)

logger = logging.getLogger(__name__)

REMEMBERED_HISTORIES = 256
"""Idle sessions whose conversation stays in memory, so that the next turn need not read it."""

MOST_RECOVERIES = 5
"""Starts of the server that may go on with one turn; a turn that was under way at more crashes is given up."""

_RECOVERIES = "recoveries/"  # key of a turn's count in the kernel's own key-value state
_LONGEST_TITLE = 80
_KERNEL = "kernel"


class Lease(Protocol):
    """A catalog held against disposal."""

    @property
    def catalog(self) -> Catalog:
        """What is held."""


Leases = Callable[[], AbstractContextManager[Lease]]


class _Ending:
    """Why a running turn's task was cancelled by us."""

    CANCEL = "cancel"
    PARK = "park"
    STOP = "stop"


@dataclass(slots=True)
class _Lane:
    """The turns of one session that are under way or wait."""

    live: LiveSession
    queue: deque[TurnRecord] = field(default_factory=deque)
    record: TurnRecord | None = None
    """The turn that runs."""
    running: RunningTurn | None = None
    work: asyncio.Task[None] | None = None
    """The task of the turn that runs."""
    catalog: Catalog | None = None
    ending: str = ""
    reason: str = ""
    has_begun: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the turn has its final state."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the turn does not use its catalog any more."""
    next_number: int = 1

    def take(self, record: TurnRecord) -> None:
        """Make ``record`` the turn that runs."""
        self.record = record
        self.ending = self.reason = ""
        self.has_begun = False
        self.ended = asyncio.Event()

    @property
    def turns(self) -> list[TurnRecord]:
        """Every turn that is not finished, in order."""
        return [*([self.record] if self.record is not None else []), *self.queue]


class TurnRunner:
    """Starts, queues, runs, cancels and recovers turns.

    Args:
        services: What turns need of the kernel.
        lease: Holds the present catalog for a turn.
        aliases: The router's aliases.
        limits: Bounds.
    """

    def __init__(
        self, services: TurnServices, lease: Leases, aliases: Callable[[], frozenset[str]], limits: LimitSettings
    ) -> None:
        self._services = services
        self._store = services.store
        self._logs = services.logs
        self._clock = services.clock
        self._lease = lease
        self._aliases = aliases
        self._limits = limits
        self._lanes: dict[SessionId, _Lane] = {}
        self._opening: dict[SessionId, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._histories: OrderedDict[SessionId, list[Message]] = OrderedDict()
        self._contexts: dict[SessionId, Mapping[str, object]] = {}
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
        return resolve_model(model, catalog, self._aliases())

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
            model: Who shall answer; the session's own agent by default.
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
        if session_id is None:
            starting = self._start_session(principal, message, model or DEFAULT_MODEL, options, history, title)
        else:
            starting = self._start_in(session_id, principal, message, model, options, idempotency_key)
        # A client that leaves now must not leave a committed turn behind that nobody runs.
        task = asyncio.create_task(starting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def _checked(self, message: Message) -> Message:
        size = len(message.encoded)
        if size > self._limits.message_bytes:
            raise InputTooLargeError(
                f"The message has {size:,} bytes, the limit is {self._limits.message_bytes:,}.",
                mend="Send it in parts, or put it in a file; an admin can raise `limits.message_bytes`.",
                facts={"limit": self._limits.message_bytes},
            )
        if not message.text.strip() and not isinstance(message.wire.get("content"), list):
            raise BadInputError("The message is empty.", mend="Write something.")
        return message

    def _answering_agent(self, model: str) -> str:
        with self._lease() as lease:
            return self.resolve_model(model, lease.catalog).agent.name

    async def _start_session(
        self,
        principal: Principal,
        message: Message,
        model: str,
        options: Mapping[str, object] | None,
        history: Sequence[Message],
        title: str,
    ) -> TurnRecord:
        agent = self._answering_agent(model)
        now = self._clock.now()
        session = Session(
            id=SessionId(new_id("ses")),
            principal_id=principal.id,
            created_at=now,
            updated_at=now,
            title=clean_text(title) or title_from(message.text),
            agent=model,
            reserved_seq=RESERVATION,
        )
        live = self._logs.create(session)
        lane = _Lane(live)
        self._lanes[session.id] = lane
        seeded = [
            AppendMessage(
                StoredMessage(
                    id=MessageId(f"{session.id}.{index}"),
                    session_id=session.id,
                    position=message_position(0, index),
                    message=earlier,
                    created_at=now,
                )
            )
            for index, earlier in enumerate(history)
        ]
        created = Event(EventType.SESSION_CREATED, {"title": session.title, "agent": model}, at=now)
        self._histories[session.id] = list(history)
        self._contexts[session.id] = {}
        record = self._draft(session.id, principal, 1, message, model, options, "", TurnState.RUNNING)
        record = replace(record, agent=agent)
        return await self._accept(lane, record, [CreateSession(session), *seeded], [created])

    async def _start_in(
        self,
        session_id: SessionId,
        principal: Principal,
        message: Message,
        model: str | None,
        options: Mapping[str, object] | None,
        key: str,
    ) -> TurnRecord:
        lane = await self._open_lane(principal, session_id)
        try:
            return await self._start_in_lane(lane, principal, message, model, options, key)
        finally:
            self._close_lane_if_idle(lane)

    async def _start_in_lane(
        self,
        lane: _Lane,
        principal: Principal,
        message: Message,
        model: str | None,
        options: Mapping[str, object] | None,
        key: str,
    ) -> TurnRecord:
        if model is None:
            model = (await self._store.session(principal, lane.live.id)).agent
        agent = self._answering_agent(model)
        if key:
            existing = await self._store.turn_by_key(principal, lane.live.id, key)
            if existing is not None:
                return _same_request(existing, message, model)
        is_idle = lane.record is None and not lane.queue
        if not is_idle and len(lane.queue) >= self._limits.queued_turns:
            raise QueueFullError(
                f"{len(lane.queue)} messages wait in this session already.",
                mend="Wait for an answer, or cancel the turn that runs.",
                retry_after=2,
            )
        state = TurnState.RUNNING if is_idle else TurnState.QUEUED
        record = self._draft(lane.live.id, principal, lane.next_number, message, model, options, key, state)
        record = replace(record, agent=agent)
        try:
            return await self._accept(lane, record, [UpdateSession(lane.live.id, self._clock.now())], [])
        except ConflictError:
            existing = await self._store.turn_by_key(principal, lane.live.id, key) if key else None
            if existing is None:
                raise
            return _same_request(existing, message, model)

    def _draft(
        self,
        session_id: SessionId,
        principal: Principal,
        number: int,
        message: Message,
        model: str,
        options: Mapping[str, object] | None,
        key: str,
        state: TurnState,
    ) -> TurnRecord:
        return TurnRecord(
            id=TurnId(new_id("trn")),
            session_id=session_id,
            principal_id=principal.id,
            number=number,
            model=model,
            state=state,
            input=message,
            created_at=self._clock.now(),
            idempotency_key=key,
            request_hash=_request_hash(message, model),
            options=options or {},
        )

    async def _accept(
        self, lane: _Lane, record: TurnRecord, changes: Sequence[Change], events: Sequence[Event]
    ) -> TurnRecord:
        """Commit a new turn and take it into its lane."""
        lane.next_number = record.number + 1
        record = replace(record, first_seq=lane.live.last_seq)
        is_running = record.state is TurnState.RUNNING
        if is_running:
            lane.take(record)  # nobody else may start while this is being committed
        else:
            lane.queue.append(record)
        user_message = AppendMessage(
            StoredMessage(
                id=MessageId(f"{record.id}.0"),
                session_id=record.session_id,
                position=message_position(record.number, 0),
                message=record.input,
                created_at=record.created_at,
                turn_id=record.id,
            )
        )
        started = [_started_event(record)] if is_running else []
        try:
            await self._logs.commit(lane.live, [*changes, CreateTurn(record), user_message], [*events, *started])
        except BaseException:
            if is_running:
                lane.record = None
            else:
                with suppress(ValueError):
                    lane.queue.remove(record)
            self._close_lane_if_idle(lane)
            raise
        if is_running:
            self._launch(lane, Journal())
        return record

    # Lanes -----------------------------------------------------------------------------------------------------------

    async def _open_lane(self, principal: Principal, session_id: SessionId) -> _Lane:
        live = await self._logs.open(principal, session_id)
        lock = self._opening.setdefault(session_id, asyncio.Lock())
        try:
            async with lock:
                lane = self._lanes.get(session_id)
                if lane is not None:
                    self._logs.release(live)
                    return lane
                lane = _Lane(live)
                newest = await self._store.turns(SYSTEM, session_id, limit=1)
                lane.next_number = newest[0].number + 1 if newest else 1
                self._lanes[session_id] = lane
                return lane
        finally:
            if not lock.locked():
                self._opening.pop(session_id, None)

    def _close_lane_if_idle(self, lane: _Lane) -> None:
        if lane.record is None and not lane.queue and self._lanes.get(lane.live.id) is lane:
            del self._lanes[lane.live.id]
            self._logs.release(lane.live)

    def _launch(self, lane: _Lane, journal: Journal) -> None:
        """Run the lane's turns in a task of ours."""
        task = asyncio.create_task(self._run_lane(lane, journal), name=f"session {lane.live.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        lane.work = task

    async def _run_lane(self, lane: _Lane, journal: Journal) -> None:
        while lane.record is not None:
            try:
                await self._run_turn(lane, lane.record, journal)
            except asyncio.CancelledError:
                if lane.ending == _Ending.PARK and not self._is_closing:
                    _keep_going()
                    lane.ending = ""
                    journal = Journal(await self._store.steps(SYSTEM, lane.record.id))
                    await self._reset_partial(lane)
                    continue
                if lane.ending == _Ending.STOP or self._is_closing:
                    return  # goes on at the next start
                raise
            lane.ended.set()
            journal = Journal()
            await self._next_turn(lane)
        self._close_lane_if_idle(lane)

    async def _next_turn(self, lane: _Lane) -> None:
        """Bring the next waiting turn to the front, or leave the lane idle."""
        lane.record = None
        while lane.queue and not self._is_closing:
            record = replace(lane.queue[0], state=TurnState.RUNNING, first_seq=lane.live.last_seq)
            change = UpdateTurn(record.id, TurnState.RUNNING, frozenset({TurnState.QUEUED}), first_seq=record.first_seq)
            try:
                await self._logs.commit(lane.live, [change], [_started_event(record)])
            except TurnStateError:
                lane.queue.popleft()  # cancelled while it waited
                continue
            except StoreError as exc:
                logger.warning("queued turn could not start yet", extra={"turn_id": record.id, "error": exc.code})
                await self._clock.sleep(1.0)
                continue
            lane.queue.popleft()
            lane.take(record)
            return

    # Running ---------------------------------------------------------------------------------------------------------

    async def _run_turn(self, lane: _Lane, record: TurnRecord, journal: Journal) -> None:
        turn: RunningTurn | None = None
        lane.has_begun = True
        lane.let_go = asyncio.Event()
        try:
            if lane.ending:
                raise asyncio.CancelledError  # it came before we began
            history = await self._history(record)
            with self._lease() as lease:
                lane.catalog = lease.catalog
                resolved = self.resolve_model(record.model, lease.catalog)
                turn = lane.running = RunningTurn(
                    record,
                    principal=_owner(record),
                    live=lane.live,
                    history=[*history, record.input],
                    catalog=lease.catalog,
                    agent=resolved.agent,
                    voice=resolved.voice,
                    contexts=await self._session_contexts(record.session_id),
                    journal=journal,
                    services=self._services,
                )
                await turn.run()
                completed = UpdateTurn(
                    record.id,
                    TurnState.COMPLETED,
                    frozenset({TurnState.RUNNING}),
                    agent=turn.agent,
                    ended_at=self._clock.now(),
                    usage=turn.usage,
                )
                event = Event(EventType.TURN_COMPLETED, {"usage": turn.usage.wire}, turn_id=record.id)
                await turn.flush([completed], [event])
                self._remember(record.session_id, turn)
        except asyncio.CancelledError:
            self._forget(record.session_id)
            if lane.ending != _Ending.CANCEL:
                raise
            _keep_going()
            await self._end(lane, record, turn, TurnState.CANCELLED, {"reason": lane.reason})
        except BaseException as exc:
            self._forget(record.session_id)
            await self._end(lane, record, turn, TurnState.FAILED, self._account_for(exc, record, turn))
        finally:
            lane.running = lane.catalog = None
            lane.let_go.set()

    def _account_for(self, exc: BaseException, record: TurnRecord, turn: RunningTurn | None) -> Mapping[str, object]:
        """Return the facts a failed turn shows, and count the failure against its plugin if it is a plugin's."""
        if isinstance(exc, IskraError):
            logger.info("turn failed", extra={"turn_id": record.id, "error": exc.code})
            return {"code": exc.code, "message": exc.message, "mend": exc.mend}
        agent = turn.agent if turn is not None else ""
        owned = turn.catalog.agents.get(agent) if turn is not None else None
        if owned is not None:
            self._services.record_failure(owned.plugin, exc)
        logger.error("agent raised", extra={"turn_id": record.id, "agent": agent}, exc_info=exc)
        return {
            "code": "agent_failed",
            "message": f"The agent {agent!r} failed with {type(exc).__name__}.",
            "mend": "The server's log has the details; send the message again or pick another agent.",
        }

    async def _end(
        self,
        lane: _Lane,
        record: TurnRecord,
        turn: RunningTurn | None,
        state: TurnState,
        facts: Mapping[str, object],
    ) -> None:
        """Commit the end of a turn that did not complete; with the store away, try until it works or we stop."""
        changes: list[Change] = []
        events: list[Event] = []
        if turn is not None:
            changes, events = turn.abandon()
        is_failure = state is TurnState.FAILED
        update = UpdateTurn(
            record.id,
            state,
            UNFINISHED,
            agent=turn.agent if turn is not None else None,
            ended_at=self._clock.now(),
            error=facts if is_failure else None,
            usage=turn.usage if turn is not None else None,
        )
        ended = Event(
            EventType.TURN_FAILED if is_failure else EventType.TURN_CANCELLED,
            facts,
            turn_id=record.id,
            severity=Severity.ERROR if is_failure else Severity.INFO,
        )
        pause = 0.2
        while not self._is_closing:
            try:
                await self._logs.commit(lane.live, [*changes, update], [*events, ended])
            except ConflictError:
                if not changes:
                    return  # it was ended by somebody else
                changes, events = [], []
            except StoreError as exc:
                logger.warning("end of turn not committed yet", extra={"turn_id": record.id, "error": exc.code})
                await self._clock.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    # Conversation ----------------------------------------------------------------------------------------------------

    async def _history(self, record: TurnRecord) -> list[Message]:
        """Return the conversation before a turn's own message."""
        known = self._histories.get(record.session_id)
        if known is not None:
            self._histories.move_to_end(record.session_id)
            return known
        end = message_position(record.number, 0)
        messages: list[Message] = []
        after = -1
        while True:
            page = await self._store.messages(SYSTEM, record.session_id, after=after, limit=1000)
            messages.extend(stored.message for stored in page if stored.position < end)
            if len(page) < 1000 or page[-1].position >= end:
                break
            after = page[-1].position
        return with_missing_results(messages, "(no result: the turn ended first)")

    async def _session_contexts(self, session_id: SessionId) -> Mapping[str, object]:
        known = self._contexts.get(session_id)
        return known if known is not None else (await self._store.session(SYSTEM, session_id)).contexts

    def _remember(self, session_id: SessionId, turn: RunningTurn) -> None:
        self._histories[session_id] = with_missing_results(turn.messages, "(no result)")
        self._histories.move_to_end(session_id)
        self._contexts[session_id] = turn.contexts
        while len(self._histories) > REMEMBERED_HISTORIES:
            oldest, _ = self._histories.popitem(last=False)
            self._contexts.pop(oldest, None)

    def _forget(self, session_id: SessionId) -> None:
        self._histories.pop(session_id, None)
        self._contexts.pop(session_id, None)

    # Acting on turns -------------------------------------------------------------------------------------------------

    async def cancel(self, principal: Principal, turn_id: TurnId, reason: str = "cancelled by the user") -> None:
        """Cancel a turn and wait until it has ended; one that has ended stays as it is.

        Raises:
            TurnNotFoundError: No such turn for this principal.
        """
        record = await self._store.turn(principal, turn_id)
        lane = self._lanes.get(record.session_id)
        if lane is None or record.state not in UNFINISHED:
            return
        if lane.record is not None and lane.record.id == turn_id and lane.work is not None:
            ended = lane.ended
            if not lane.ending:
                lane.ending, lane.reason = _Ending.CANCEL, reason
                if lane.has_begun:
                    lane.work.cancel()
            await ended.wait()
            return
        update = UpdateTurn(turn_id, TurnState.CANCELLED, frozenset({TurnState.QUEUED}), ended_at=self._clock.now())
        event = Event(EventType.TURN_CANCELLED, {"reason": reason}, turn_id=turn_id)
        await self._logs.commit(lane.live, [update], [event])
        lane.queue = deque(waiting for waiting in lane.queue if waiting.id != turn_id)

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord | None:
        """Answer the open question of a session's turn and return the turn; ``None`` if no question is open.

        Raises:
            SessionNotFoundError: No such session for this principal.
            BadInputError: The text is none of the question's options.
            ConflictError: The question was answered a moment ago.
        """
        live = await self._logs.open(principal, session_id)
        try:
            lane = self._lanes.get(session_id)
            question = lane.running.question if lane is not None and lane.running is not None else None
            if lane is None or lane.record is None or question is None:
                return None
            answer = question.choose(text)
            step = replace(
                question.step,
                state=StepState.DONE,
                data={**question.step.data, "answer": answer},
                ended_at=self._clock.now(),
            )
            changes = [
                PutStep(step, StepState.WAITING),
                UpdateTurn(lane.record.id, TurnState.RUNNING, frozenset({TurnState.WAITING_ANSWER})),
            ]
            record = replace(lane.record, first_seq=live.last_seq)
            event = Event(EventType.QUESTION_ANSWERED, {"answer": answer}, turn_id=lane.record.id)
            await self._logs.commit(live, changes, [event])
            if not question.answer.done():
                question.answer.set_result(answer)
            return record
        finally:
            self._logs.release(live)

    async def active_turn(self, principal: Principal, session_id: SessionId) -> TurnRecord | None:
        """Return the turn that runs or waits for somebody in a session, as stored."""
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
        """Go on with every turn a stopped or killed server left behind; return how many there are."""
        by_session: dict[SessionId, list[TurnRecord]] = {}
        for record in await self._store.unfinished_turns():
            by_session.setdefault(record.session_id, []).append(record)
        for session_id, records in by_session.items():
            lane = await self._open_lane(SYSTEM, session_id)
            lane.queue.extend(records)
            lane.next_number = max(lane.next_number, records[-1].number + 1)
            await self._recover_first(lane)
        return sum(len(records) for records in by_session.values())

    async def _recover_first(self, lane: _Lane) -> None:
        if lane.queue[0].state is TurnState.QUEUED:
            await self._next_turn(lane)
            if lane.record is not None:
                self._launch(lane, Journal())
            return
        record = lane.queue.popleft()
        lane.take(record)
        key = f"{_RECOVERIES}{record.id}"
        recoveries = await self._store.plugin_value(_KERNEL, key)
        times = recoveries + 1 if isinstance(recoveries, int) else 1
        if times > MOST_RECOVERIES:
            await self._give_up(lane, record, times)
            return
        await self._store.apply([PutPluginValue(_KERNEL, key, times)])
        await self._reset_partial(lane)
        self._launch(lane, Journal(await self._store.steps(SYSTEM, record.id)))

    async def _give_up(self, lane: _Lane, record: TurnRecord, times: int) -> None:
        error = TurnError(
            f"The server stopped {times - 1} times while this turn was running, so it is not tried again.",
            mend="Look for a plugin that brings the server down; send the message again if you think it is safe.",
        )
        facts = {"code": error.code, "message": error.message, "mend": error.mend}
        await self._end(lane, record, None, TurnState.FAILED, facts)
        await self._next_turn(lane)
        if lane.record is not None:
            self._launch(lane, Journal())
        else:
            self._close_lane_if_idle(lane)

    async def _reset_partial(self, lane: _Lane) -> None:
        """Tell readers to forget the message that was under way: it will be told again."""
        if lane.record is None:
            return
        lane.live.partial = None
        begin = message_position(lane.record.number, 0)
        stored = await self._store.messages(SYSTEM, lane.live.id, after=begin - 1)
        last = max((message.position for message in stored if message.turn_id == lane.record.id), default=begin)
        data = {"message_id": f"{lane.record.id}.{last - begin + 1}"}
        await self._logs.commit(lane.live, [], [Event(EventType.MESSAGE_RESET, data, turn_id=lane.record.id)])

    async def park(self, catalog: Catalog) -> None:
        """Restart the turns that still hold ``catalog`` from their journals, on the present catalog.

        Returns when they have let go of it.
        """
        parked = [
            lane
            for lane in self._lanes.values()
            if lane.catalog is catalog and lane.work is not None and not lane.ending
        ]
        for lane in parked:
            lane.ending = _Ending.PARK
            if lane.work is not None:
                lane.work.cancel()
        for lane in parked:
            await lane.let_go.wait()

    async def close(self, grace: float) -> None:
        """Take no new turns, give those that run ``grace`` seconds, then leave the rest to the next start.

        Turns that wait for a person are left at once.
        """
        self._is_closing = True
        for lane in self._lanes.values():
            if lane.work is not None and lane.running is not None and lane.running.is_waiting:
                lane.ending = lane.ending or _Ending.STOP
                lane.work.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for lane in self._lanes.values():
            lane.ending = lane.ending or _Ending.STOP
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5.0)


def title_from(text: str) -> str:
    """Return a title for a session: the first words of its first message."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1].rsplit(' ', 1)[0]}…"


def _owner(record: TurnRecord) -> Principal:
    """Return the principal a turn runs for: its owner, without rights over others' things."""
    return Principal(id=record.principal_id, permissions=frozenset({"chat", "sessions:*", "approvals:*"}))


def _request_hash(message: Message, model: str) -> str:
    return hashlib.sha256(to_json([model, message.text])).hexdigest()


def _same_request(existing: TurnRecord, message: Message, model: str) -> TurnRecord:
    if existing.request_hash != _request_hash(message, model):
        raise IdempotencyConflictError(
            f"The idempotency key {existing.idempotency_key!r} was used for another message of this session.",
            mend="Use a new key for each message.",
        )
    return existing


def _started_event(record: TurnRecord) -> Event:
    data = {"turn_id": record.id, "number": record.number, "model": record.model, "agent": record.agent}
    data["input"] = record.input.text
    return Event(EventType.TURN_STARTED, data, turn_id=record.id)


def _keep_going() -> None:
    """Take back the cancellation of the present task: it was meant for the turn only."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
