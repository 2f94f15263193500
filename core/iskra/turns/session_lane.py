"""A session's lane: its turns run here one after another."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from iskra.plugin_host.catalog import Catalog
from iskra.session_log import LiveSession
from iskra.turns.conversations import Conversations
from iskra.turns.model_ids import ResolvedModel
from iskra.turns.running_turn import RunningTurn
from iskra.turns.turn_journal import Journal
from iskra.turns.turn_services import TurnServices
from iskra_sdk.errors import ConflictError, IskraError, StoreError, TurnStateError
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import TurnId
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    Change,
    PutStep,
    StepState,
    TurnRecord,
    TurnState,
    UpdateTurn,
    message_position,
)

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between attempts to commit while the store is away


class Lease(Protocol):
    """A catalog held against disposal."""

    @property
    def catalog(self) -> Catalog:
        """What is held."""


@dataclass(frozen=True, slots=True)
class LaneServices:
    """What lanes need of the kernel.

    Attributes:
        turn: What running turns need.
        lease: Holds the present catalog.
        resolve_model: Finds who answers to a model id.
        conversations: What sessions hold so far.
    """

    turn: TurnServices
    lease: Callable[[], AbstractContextManager[Lease]]
    resolve_model: Callable[[str, Catalog], ResolvedModel]
    conversations: Conversations


class _Interruption(StrEnum):
    """Why we cancelled the task of a lane."""

    CANCEL = "cancel"
    """The turn shall end."""
    PARK = "park"
    """The turn shall go on with the present catalog."""
    STOP = "stop"
    """The server stops; the turn goes on at the next start."""


class SessionLane:
    """Runs the turns of one session in order, in a task of its own while there are any.

    Args:
        live: The session's log, held open.
        next_number: Number of the next turn.
        services: The kernel.
        spawn: Makes a task that somebody owns.
        on_idle: Called when nothing is left to run.
    """

    def __init__(
        self,
        live: LiveSession,
        *,
        next_number: int,
        services: LaneServices,
        spawn: Callable[..., "asyncio.Task[None]"],
        on_idle: Callable[["SessionLane"], None],
    ) -> None:
        self.live = live
        self.next_number = next_number
        self.queue: deque[TurnRecord] = deque()
        self.record: TurnRecord | None = None
        self.running: RunningTurn | None = None
        self.accepting: dict[str, asyncio.Task[TurnRecord]] = {}
        """Idempotency keys whose turns are being committed."""
        self.holds = 0
        """Callers that are about to use the lane, so that it is not dropped."""
        self._services = services
        self._turn_services = services.turn
        self._clock = services.turn.clock
        self._spawn = spawn
        self._on_idle = on_idle
        self._work: asyncio.Task[None] | None = None
        self._catalog: Catalog | None = None
        self._interruption: _Interruption | None = None
        self._reason = ""
        self._is_at_work = False
        self._is_stopping = False
        self._ended = asyncio.Event()
        self._let_go = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether no turn runs or waits."""
        return self.record is None and not self.queue

    def take(self, record: TurnRecord) -> None:
        """Make ``record`` the turn that runs; see :meth:`launch`."""
        self.record = record
        self._interruption, self._reason = None, ""
        self._ended = asyncio.Event()

    def give_back(self, record: TurnRecord) -> None:
        """Take back a turn that could not be committed."""
        if self.record is record:
            self.record = None
        elif record in self.queue:
            self.queue.remove(record)

    def launch(self, journal: Journal | None = None) -> None:
        """Begin to work on the turn that was taken."""
        self._work = self._spawn(self._work_off(journal or Journal()), name=f"session {self.live.id}")

    def launch_waiting(self) -> None:
        """Begin to work on the turns that wait; none runs."""
        self._work = self._spawn(self._work_off_waiting(), name=f"session {self.live.id}")

    # Interrupting ----------------------------------------------------------------------------------------------------

    def _interrupt(self, why: _Interruption) -> None:
        self._interruption = why
        if self._work is not None and self._is_at_work:
            self._work.cancel()

    async def cancel(self, turn_id: TurnId, reason: str) -> None:
        """End a turn that runs or waits; returns when it has its final state."""
        if self.record is not None and self.record.id == turn_id:
            ended = self._ended
            if self._interruption is None:
                self._reason = reason
                self._interrupt(_Interruption.CANCEL)
            await ended.wait()
            return
        update = UpdateTurn(turn_id, TurnState.CANCELLED, frozenset({TurnState.QUEUED}), ended_at=self._clock.now())
        event = Event(EventType.TURN_CANCELLED, {"reason": reason}, turn_id=turn_id)
        await self._turn_services.logs.commit(self.live, [update], [event])
        self.queue = deque(waiting for waiting in self.queue if waiting.id != turn_id)

    async def park(self, catalog: Catalog) -> None:
        """If the turn uses ``catalog``, restart it from its journal on the present one; returns when it let go."""
        if self._catalog is not catalog or self._interruption is not None:
            return
        let_go = self._let_go
        self._interrupt(_Interruption.PARK)
        await let_go.wait()

    def stop_if_waiting(self) -> None:
        """Leave the turn to the next start of the server if it only waits for a person."""
        self._is_stopping = True
        if self.running is not None and self.running.is_waiting:
            self.stop()

    def stop(self) -> None:
        """Leave the turn to the next start of the server."""
        self._is_stopping = True
        if self._interruption is None:
            self._interrupt(_Interruption.STOP)

    # Working ---------------------------------------------------------------------------------------------------------

    async def _work_off(self, journal: Journal) -> None:
        """Run the turn that was taken, then those that wait."""
        while self.record is not None:
            try:
                await self._run_turn(self.record, journal)
            except asyncio.CancelledError:
                if self._interruption is _Interruption.PARK and not self._is_stopping:
                    _keep_going()
                    self._interruption = None
                    await self.reset_partial_message()
                    journal = Journal(await self._turn_services.store.steps(SYSTEM, self.record.id))
                    continue
                if self._interruption is _Interruption.STOP or self._is_stopping:
                    return
                raise
            self._ended.set()
            journal = Journal()
            await self._take_next()
        self._on_idle(self)

    async def _work_off_waiting(self) -> None:
        await self._take_next()
        await self._work_off(Journal())

    async def _take_next(self) -> None:
        """Bring the next waiting turn to the front and commit that it runs; none is left if the lane is empty."""
        self.record = None
        while self.queue and not self._is_stopping:
            record = replace(self.queue[0], state=TurnState.RUNNING, first_seq=self.live.last_seq)
            queued = frozenset({TurnState.QUEUED})
            change = UpdateTurn(record.id, TurnState.RUNNING, queued, first_seq=record.first_seq)
            try:
                await self._turn_services.logs.commit(self.live, [change], [started_event(record)])
            except TurnStateError:
                self.queue.popleft()  # cancelled while it waited
            except StoreError as exc:
                logger.warning("queued turn cannot start yet", extra={"turn_id": record.id, "error": exc.code})
                await self._clock.sleep(_LONGEST_PAUSE)
            else:
                self.queue.popleft()
                self.take(record)
                return

    async def _run_turn(self, record: TurnRecord, journal: Journal) -> None:
        """Bring one turn to its final state."""
        conversations = self._services.conversations
        self._is_at_work = True
        self._let_go = asyncio.Event()
        turn: RunningTurn | None = None
        try:
            if self._interruption is not None:
                raise asyncio.CancelledError  # it came before we began
            conversation = await conversations.before(record)
            with self._services.lease() as lease:
                self._catalog = lease.catalog
                resolved = self._services.resolve_model(record.model, lease.catalog)
                turn = self.running = RunningTurn(
                    record,
                    principal=_owner(record),
                    live=self.live,
                    history=[*conversation.messages, record.input.with_id(f"{record.id}.0")],
                    catalog=lease.catalog,
                    agent=resolved.agent,
                    voice=resolved.voice,
                    contexts=conversation.contexts,
                    journal=journal,
                    services=self._turn_services,
                )
                await turn.run()
                await self._complete(record, turn)
                conversations.remember(record.session_id, turn.messages, turn.contexts)
        except asyncio.CancelledError:
            conversations.forget(record.session_id)
            if self._interruption is not _Interruption.CANCEL:
                raise
            _keep_going()
            await self._end(record, turn, TurnState.CANCELLED, {"reason": self._reason})
        except BaseException as exc:
            conversations.forget(record.session_id)
            await self._end(record, turn, TurnState.FAILED, self._explain(exc, record, turn))
        finally:
            self._is_at_work = False
            self.running = self._catalog = None
            self._let_go.set()

    async def _complete(self, record: TurnRecord, turn: RunningTurn) -> None:
        update = UpdateTurn(
            record.id,
            TurnState.COMPLETED,
            frozenset({TurnState.RUNNING}),
            agent=turn.agent,
            ended_at=self._clock.now(),
            usage=turn.usage,
        )
        event = Event(EventType.TURN_COMPLETED, {"usage": turn.usage.wire}, turn_id=record.id, at=self._clock.now())
        await turn.flush([update], [event])

    def _explain(self, exc: BaseException, record: TurnRecord, turn: RunningTurn | None) -> Mapping[str, object]:
        """Return what a failed turn shows, and count the failure against the agent's plugin if it is its fault."""
        if isinstance(exc, IskraError):
            logger.info("turn failed", extra={"turn_id": record.id, "error": exc.code})
            return {"code": exc.code, "message": exc.message, "mend": exc.mend}
        agent = turn.agent if turn is not None else record.agent
        owned = turn.catalog.agents.get(agent) if turn is not None else None
        if owned is not None:
            self._turn_services.record_failure(owned.plugin, exc)
        logger.error("agent raised", extra={"turn_id": record.id, "agent": agent}, exc_info=exc)
        return {
            "code": "agent_failed",
            "message": f"The agent {agent!r} failed with {type(exc).__name__}.",
            "mend": "The server's log has the details; send the message again or pick another agent.",
        }

    async def fail(self, record: TurnRecord, error: IskraError) -> None:
        """End a turn that cannot even begin."""
        facts = {"code": error.code, "message": error.message, "mend": error.mend}
        await self._end(record, None, TurnState.FAILED, facts)
        self._ended.set()

    async def _end(
        self, record: TurnRecord, turn: RunningTurn | None, state: TurnState, facts: Mapping[str, object]
    ) -> None:
        """Commit the end of a turn that did not complete; with the store away, try until it works or we stop."""
        changes: Sequence[Change] = ()
        events: Sequence[Event] = ()
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
            at=self._clock.now(),
            severity=Severity.ERROR if is_failure else Severity.INFO,
        )
        pause = _FIRST_PAUSE
        while not self._is_stopping:
            try:
                await self._turn_services.logs.commit(self.live, [*changes, update], [*events, ended])
            except ConflictError:
                if not changes:
                    return  # it has its final state already
                changes, events = (), ()  # what was left open was closed meanwhile
            except StoreError as exc:
                logger.warning("end of turn not committed yet", extra={"turn_id": record.id, "error": exc.code})
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return

    # Questions and recovery ------------------------------------------------------------------------------------------

    async def answer(self, text: str) -> TurnRecord | None:
        """Answer the open question of the turn that runs; ``None`` if no question is open.

        Raises:
            BadInputError: The text is none of the question's options.
            ConflictError: The question was answered a moment ago.
        """
        question = self.running.question if self.running is not None else None
        if self.record is None or question is None:
            return None
        answer = question.choose(text)
        data = {**question.step.data, "answer": answer}
        step = replace(question.step, state=StepState.DONE, data=data, ended_at=self._clock.now())
        record = replace(self.record, first_seq=self.live.last_seq)
        changes: list[Change] = [
            PutStep(step, StepState.WAITING),
            UpdateTurn(record.id, TurnState.RUNNING, frozenset({TurnState.WAITING_ANSWER})),
        ]
        event = Event(EventType.QUESTION_ANSWERED, {"answer": answer}, turn_id=record.id)
        await self._turn_services.logs.commit(self.live, changes, [event])
        if not question.answer.done():
            question.answer.set_result(answer)
        return record

    async def reset_partial_message(self) -> None:
        """Tell readers to forget the message that was under way: it will be told again."""
        if self.record is None:
            return
        self.live.partial = None
        begin = message_position(self.record.number, 0)
        stored = await self._turn_services.store.messages(SYSTEM, self.live.id, after=begin - 1)
        last = max((message.position for message in stored if message.turn_id == self.record.id), default=begin)
        data = {"message_id": f"{self.record.id}.{last - begin + 1}"}
        event = Event(EventType.MESSAGE_RESET, data, turn_id=self.record.id, at=self._clock.now())
        await self._turn_services.logs.commit(self.live, [], [event])


def started_event(record: TurnRecord) -> Event:
    """Return the event that tells that a turn runs."""
    data = {
        "turn_id": record.id,
        "number": record.number,
        "model": record.model,
        "agent": record.agent,
        "input": record.input.text,
    }
    return Event(EventType.TURN_STARTED, data, turn_id=record.id)


def _owner(record: TurnRecord) -> Principal:
    """Return the principal a turn runs for: its owner, without rights over others' things."""
    return Principal(id=record.principal_id, permissions=frozenset({"chat", "sessions:*", "approvals:*"}))


def _keep_going() -> None:
    """Take back the cancellation of the present task: it was meant for the turn only."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
