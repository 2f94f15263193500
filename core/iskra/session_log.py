"""The event log of each session: numbers events, commits the durable ones, and lets readers follow live."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from iskra.correlation import correlation_id
from iskra_sdk.clock import Clock
from iskra_sdk.errors import SessionNotFoundError
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.event_bus import EventBus
from iskra_sdk.ids import MessageId, SessionId, TurnId
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import AppendEvent, Change, ReserveSeq, Session, SessionStore

RESERVATION = 1024
"""Event numbers reserved at once. After a crash numbering goes on above the reservation, so no number that a client
may have seen is given out twice."""

BUFFERED_EVENTS = 4096
"""Events of an active session kept in memory for readers; a reader further behind reads the store."""

_PAGE = 500


@dataclass(slots=True)
class PartialMessage:
    """A message under way: what its deltas add up to."""

    id: MessageId
    turn_id: TurnId
    first_seq: int = 0
    """Number of its first delta; 0 until one was shown."""
    parts: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Characters each event number from ``first_seq`` on added; 0 for numbers of other events."""
    size: int = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.parts)


class _Reader:
    """One follower's wake-up call."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class LiveSession:
    """The part of a session's log that is in memory while somebody writes or follows it."""

    __slots__ = (
        "_held",
        "_is_committing",
        "buffer",
        "buffer_start",
        "id",
        "last_seq",
        "lock",
        "partial",
        "principal_id",
        "readers",
        "reserved_seq",
        "uses",
    )

    def __init__(self, session: Session, *, last_seq: int) -> None:
        self.id = session.id
        self.principal_id = session.principal_id
        self.last_seq = last_seq
        self.reserved_seq = session.reserved_seq
        self.buffer: list[Event] = []
        self.buffer_start = last_seq
        """Every event with a higher number is in the buffer."""
        self.lock = asyncio.Lock()
        self.partial: PartialMessage | None = None
        self.readers: set[_Reader] = set()
        self.uses = 0
        self._is_committing = False
        self._held: list[tuple[TurnId, Mapping[str, object]]] = []

    @property
    def is_out_of_numbers(self) -> bool:
        """Whether the next event needs a new reservation first."""
        return self.last_seq + len(self._held) >= self.reserved_seq

    def _add(self, event: Event) -> None:
        self.buffer.append(event)
        if len(self.buffer) > BUFFERED_EVENTS:
            cut = BUFFERED_EVENTS // 4
            self.buffer_start = self.buffer[cut - 1].seq
            del self.buffer[:cut]

    def _wake_readers(self) -> None:
        for reader in self.readers:
            reader.wake()

    def after(self, seq: int) -> Sequence[Event]:
        """Return the buffered events above ``seq``."""
        buffer = self.buffer
        if not buffer or buffer[-1].seq <= seq:
            return ()
        if len(buffer) > 1 and buffer[-2].seq == seq:
            return buffer[-1:]  # a reader that keeps up
        return buffer[bisect_right(buffer, seq, key=lambda event: event.seq) :]


class SessionLogs:
    """Writes and follows the logs of all sessions.

    One server writes a session's log at a time. Durable events are committed together with the changes they tell of,
    and shown to readers only then; token deltas are shown at once.
    """

    def __init__(self, store: SessionStore, bus: EventBus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._live: dict[SessionId, LiveSession] = {}
        self._opening: dict[SessionId, asyncio.Lock] = {}
        self._telling: set[asyncio.Task[Event]] = set()
        self._is_stopping = False

    # Opening ---------------------------------------------------------------------------------------------------------

    def create(self, session: Session) -> LiveSession:
        """Open the log of a session that is about to be created with ``reserved_seq`` set; see :meth:`release`."""
        live = LiveSession(session, last_seq=0)
        live.uses = 1
        self._live[session.id] = live
        return live

    async def open(self, principal: Principal, session_id: SessionId) -> LiveSession:
        """Return the session's live log and hold it until :meth:`release`.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        live = self._live.get(session_id)
        if live is None:
            lock = self._opening.setdefault(session_id, asyncio.Lock())
            try:
                async with lock:
                    live = self._live.get(session_id)
                    if live is None:
                        session = await self._store.session(principal, session_id)
                        live = LiveSession(session, last_seq=session.reserved_seq)
                        self._live[session_id] = live
            finally:
                if not lock.locked():
                    self._opening.pop(session_id, None)
        if live.principal_id != principal.id and not principal.is_admin:
            raise SessionNotFoundError(f"There is no session {session_id!r}.")
        live.uses += 1
        return live

    def release(self, live: LiveSession) -> None:
        """Let go of a log; the last holder frees its memory."""
        live.uses -= 1
        if live.uses <= 0 and self._live.get(live.id) is live:
            del self._live[live.id]

    # Writing ---------------------------------------------------------------------------------------------------------

    async def commit(
        self, live: LiveSession, changes: Sequence[Change], events: Sequence[Event] = ()
    ) -> Sequence[Event]:
        """Commit changes and the events that tell of them, atomically, then show the events to readers.

        Args:
            live: The session's log.
            changes: What is changed.
            events: Durable events without a number; they get theirs here.

        Returns:
            The events with their numbers.

        Raises:
            ConflictError: A change's condition does not hold; nothing was written or shown.
            StoreError: Nothing was written or shown.
        """
        async with live.lock:
            seq, request = live.last_seq, correlation_id.get()
            numbered = []
            for event in events:
                seq += 1
                numbered.append(replace(event, seq=seq, session_id=live.id, correlation_id=request))
            batch = [*changes, *(AppendEvent(event) for event in numbered)]
            reserved = live.reserved_seq
            if seq + RESERVATION // 4 > reserved:
                reserved = seq + RESERVATION
                batch.append(ReserveSeq(live.id, reserved))
            live._is_committing = True
            try:
                await self._store.apply(batch)
            except BaseException:
                # The numbers may have reached the store if we were cancelled: never use them again.
                live.last_seq = seq
                raise
            else:
                live.last_seq = seq
                live.reserved_seq = reserved
                for event in numbered:
                    self._show(live, event)
            finally:
                live._is_committing = False
                held, live._held = live._held, []
                for turn_id, data in held:
                    self._show_delta(live, turn_id, data)
                live._wake_readers()
        return numbered

    async def tell(self, session_id: SessionId, event: Event) -> Event:
        """Commit an event that goes with no other change, whether or not anybody has the session open.

        A caller who is cancelled meanwhile loses the answer and not the event: what was committed is shown, too.

        Returns:
            The event with its number.

        Raises:
            SessionNotFoundError: There is no such session.
            StoreError: Nothing was written or shown.
        """
        task = asyncio.get_running_loop().create_task(self._tell(session_id, event), name="tell a session")
        self._telling.add(task)
        task.add_done_callback(self._told)
        return await asyncio.shield(task)

    async def _tell(self, session_id: SessionId, event: Event) -> Event:
        live = await self.open(SYSTEM, session_id)
        try:
            (told,) = await self.commit(live, (), [event])
        finally:
            self.release(live)
        return told

    def _told(self, task: asyncio.Task[Event]) -> None:
        self._telling.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has it, or was cancelled and has no use for it

    async def delta(self, live: LiveSession, turn_id: TurnId, message_id: MessageId, text: str) -> None:
        """Show a piece of a message. It is kept only as part of the completed message."""
        if live.is_out_of_numbers:
            await self.commit(live, ())
        partial = live.partial
        if partial is None or partial.id != message_id:
            partial = live.partial = PartialMessage(message_id, turn_id)
        data = {"message_id": message_id, "offset": partial.size, "text": text}
        partial.parts.append(text)
        partial.size += len(text)
        self._show_now_or_later(live, turn_id, data)

    async def reasoning(self, live: LiveSession, turn_id: TurnId, message_id: MessageId, text: str) -> None:
        """Show a piece of thinking or progress; it is never kept."""
        if live.is_out_of_numbers:
            await self.commit(live, ())
        self._show_now_or_later(live, turn_id, {"message_id": message_id, "reasoning": text})

    def take_partial(self, live: LiveSession, message_id: MessageId) -> Mapping[str, object]:
        """Return ``first_seq`` and ``lengths`` of a message's deltas, for its completed event, and forget them."""
        partial, live.partial = live.partial, None
        if partial is None or partial.id != message_id or not partial.first_seq:
            return {}
        return {"first_seq": partial.first_seq, "lengths": partial.lengths}

    def _show_now_or_later(self, live: LiveSession, turn_id: TurnId, data: Mapping[str, object]) -> None:
        if live._is_committing:
            live._held.append((turn_id, data))
        else:
            self._show_delta(live, turn_id, data)
            live._wake_readers()

    def _show_delta(self, live: LiveSession, turn_id: TurnId, data: Mapping[str, object]) -> None:
        seq = live.last_seq = live.last_seq + 1
        partial = live.partial
        if partial is not None and data["message_id"] == partial.id:
            if not partial.first_seq:
                partial.first_seq = seq
            lengths = partial.lengths
            if foreign := seq - partial.first_seq - len(lengths):
                lengths.extend([0] * foreign)
            text = data.get("text")
            lengths.append(len(text) if isinstance(text, str) else 0)
        event = Event(
            EventType.MESSAGE_DELTA,
            data,
            session_id=live.id,
            turn_id=turn_id,
            seq=seq,
            at=self._clock.now(),
            severity=Severity.DEBUG,
        )
        self._show(live, event)

    def _show(self, live: LiveSession, event: Event) -> None:
        live._add(event)
        self._bus.publish_nowait(event)

    # Following -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all followers with a ``server.stopping`` event."""
        self._is_stopping = True
        for live in self._live.values():
            live._wake_readers()

    async def close(self) -> None:
        """Wait until what is being told is committed; the store may be closed afterwards."""
        if self._telling:
            await asyncio.wait(self._telling)

    async def follow(
        self, principal: Principal, session_id: SessionId, *, after: int = 0
    ) -> AsyncIterator[Sequence[Event]]:
        """Yield the session's events above ``after`` in batches, past ones first, then as they happen.

        Deltas that were compacted since are replaced by the rest of their message. A reader that fell out of the
        buffer while a message was under way gets ``stream.reset`` with the text so far. Ends only when the server
        stops.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        live = await self.open(principal, session_id)
        reader = _Reader()
        live.readers.add(reader)
        cursor = after
        try:
            while True:
                if cursor < live.buffer_start:
                    past = await self._past(live, cursor)
                    if past:
                        cursor = past[-1].seq
                        yield past
                        continue
                    cursor = live.buffer_start
                    reset = self._snapshot(live)
                    if reset is not None:
                        yield (reset,)
                        continue
                events = live.after(cursor)
                if events:
                    cursor = events[-1].seq
                    yield events
                    continue
                if self._is_stopping:
                    yield (Event(EventType.SERVER_STOPPING, session_id=session_id, seq=cursor, at=self._clock.now()),)
                    return
                await reader.wait()
        finally:
            live.readers.discard(reader)
            self.release(live)

    async def _past(self, live: LiveSession, cursor: int) -> Sequence[Event]:
        """Return the next page of stored events, up to where the buffer begins."""
        page = await self._store.events(SYSTEM, live.id, after=cursor, limit=_PAGE)
        return _with_unseen_deltas([event for event in page if event.seq <= live.buffer_start], cursor)

    def _snapshot(self, live: LiveSession) -> Event | None:
        """Return a reset with the text up to where the buffer begins if deltas of the message under way left it."""
        partial = live.partial
        if partial is None or not partial.first_seq or partial.first_seq > live.buffer_start:
            return None
        gone = sum(partial.lengths[: live.buffer_start - partial.first_seq + 1])
        return Event(
            EventType.STREAM_RESET,
            {"message_id": partial.id, "text": partial.text[:gone]},
            session_id=live.id,
            turn_id=partial.turn_id,
            seq=live.buffer_start,
            at=self._clock.now(),
        )


def _number(event: Event) -> int:
    return event.seq


def _with_unseen_deltas(page: Sequence[Event], cursor: int) -> list[Event]:
    """Return stored events with what a reader at ``cursor`` has not seen of their messages, in order of numbers."""
    pieces = [
        piece for event in page if event.type == EventType.MESSAGE_COMPLETED for piece in _unseen(event, page, cursor)
    ]
    return sorted([*page, *pieces], key=_number) if pieces else list(page)


def _unseen(completed: Event, page: Sequence[Event], cursor: int) -> list[Event]:
    """Return the deltas of a completed message above ``cursor``, those between two other events as one.

    A delta must not come after an event with a higher number: its reader would take it for one seen before.
    """
    first_seq, lengths, text = (completed.data.get(name) for name in ("first_seq", "lengths", "text"))
    if not isinstance(first_seq, int) or not isinstance(lengths, list) or not isinstance(text, str):
        return []
    begin = max(cursor + 1, first_seq)
    offset = sum(lengths[: begin - first_seq])
    pieces = []
    between = slice(bisect_left(page, begin, key=_number), bisect_right(page, completed.seq, key=_number))
    for seq in map(_number, page[between]):
        end = offset + sum(lengths[begin - first_seq : seq - first_seq])
        if seq == completed.seq:
            end = len(text)
        if end > offset and begin < seq:
            piece = {"message_id": completed.data["message_id"], "offset": offset, "text": text[offset:end]}
            pieces.append(
                Event(
                    EventType.MESSAGE_DELTA,
                    piece,
                    session_id=completed.session_id,
                    turn_id=completed.turn_id,
                    seq=max(begin, min(seq, first_seq + len(lengths)) - 1),
                    at=completed.at,
                    severity=Severity.DEBUG,
                )
            )
        begin, offset = seq + 1, max(offset, end)
    return pieces
