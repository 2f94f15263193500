"""The session log: numbers, live following, resuming, slow readers."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra import session_log
from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra.session_log import LiveSession, SessionLogs
from iskra_sdk.clock import SystemClock
from iskra_sdk.errors import ConflictError, SessionNotFoundError, StoreUnavailableError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import MessageId, SessionId, TurnId
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import Change, CreateSession, Session
from iskra_sdk.testing.memory_store import MemoryStore

ALICE = Principal("alice")
SESSION = SessionId("ses_1")
TURN = TurnId("trn_1")
MESSAGE = MessageId("trn_1.1")


def session() -> Session:
    now = SystemClock().now()
    return Session(SESSION, "alice", now, now, reserved_seq=session_log.RESERVATION)


@pytest.fixture
async def logs() -> AsyncIterator[SessionLogs]:
    store = MemoryStore()
    bus = InProcessEventBus(Points())
    yield SessionLogs(store, bus, SystemClock())
    await bus.aclose()


async def opened(logs: SessionLogs) -> LiveSession:
    live = logs.create(session())
    await logs.commit(live, [CreateSession(session())], [Event(EventType.SESSION_CREATED)])
    return live


async def say(logs: SessionLogs, live: LiveSession, *words: str, message_id: MessageId = MESSAGE) -> None:
    for word in words:
        await logs.delta(live, TURN, message_id, word)


async def complete(logs: SessionLogs, live: LiveSession, text: str, message_id: MessageId = MESSAGE) -> None:
    data = {"message_id": message_id, "text": text, **logs.take_partial(live, message_id)}
    await logs.commit(live, [], [Event(EventType.MESSAGE_COMPLETED, data, turn_id=TURN)])


async def collect(logs: SessionLogs, *, after: int = 0, until: int) -> list[Event]:
    """Return what a reader gets up to the event numbered ``until``."""
    events: list[Event] = []
    async with asyncio.timeout(5):
        async for batch in logs.follow(ALICE, SESSION, after=after):
            events.extend(batch)
            if events[-1].seq >= until:
                break
    return events


def text_of(events: Sequence[Event], start: str = "") -> str:
    """Rebuild a message's text as a client does, checking that no piece is doubled or missing."""
    text = start
    for event in events:
        if event.type == EventType.MESSAGE_DELTA and "text" in event.data:
            assert event.data["offset"] == len(text)
            text += str(event.data["text"])
        elif event.type == EventType.STREAM_RESET:
            text = str(event.data["text"])
    return text


async def test_reader_resumes_at_every_number_while_the_message_is_live(logs: SessionLogs) -> None:
    live = await opened(logs)
    words = ["one ", "two ", "three ", "four"]
    await say(logs, live, *words)
    full = await collect(logs, until=live.last_seq)
    for cut in range(1, live.last_seq):
        seen = [event for event in full if event.seq <= cut]
        rest = await collect(logs, after=cut, until=live.last_seq)
        assert text_of(rest, start=text_of(seen)) == "".join(words)


async def test_reader_resumes_at_every_number_after_a_restart(logs: SessionLogs) -> None:
    live = await opened(logs)
    words = ["один ", "два ", "три"]
    await say(logs, live, words[0])
    await logs.commit(live, [], [Event("weather.updated")])  # a foreign event in the middle
    await say(logs, live, *words[1:])
    await complete(logs, live, "".join(words))
    full = await collect(logs, until=live.last_seq)
    last = live.last_seq
    logs.release(live)
    for cut in range(last):
        seen = [event for event in full if event.seq <= cut]
        rest = await collect(logs, after=cut, until=last)
        assert text_of(rest, start=text_of(seen)) == "".join(words)
        assert [event.seq for event in rest] == sorted({event.seq for event in rest})
        assert rest[-1].type == EventType.MESSAGE_COMPLETED


async def test_numbers_are_never_given_twice_across_restarts(logs: SessionLogs) -> None:
    live = await opened(logs)
    await say(logs, live, *(["x"] * (2 * session_log.RESERVATION + 3)))
    shown = live.last_seq
    logs.release(live)
    again = await logs.open(ALICE, SESSION)
    assert again.last_seq >= shown


async def test_reader_that_falls_behind_gets_a_snapshot_and_no_gap(
    logs: SessionLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_log, "BUFFERED_EVENTS", 8)
    live = await opened(logs)
    stream = logs.follow(ALICE, SESSION)
    first = await anext(stream)
    words = [f"{number} " for number in range(50)]
    await say(logs, live, *words)
    events = list(first)
    async with asyncio.timeout(5):
        async for batch in stream:
            events.extend(batch)
            if events[-1].seq == live.last_seq:
                break
    assert EventType.STREAM_RESET in [event.type for event in events]
    assert text_of(events) == "".join(words)
    assert len(live.buffer) <= 8


async def test_durable_events_are_never_skipped_by_a_slow_reader(
    logs: SessionLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_log, "BUFFERED_EVENTS", 8)
    live = await opened(logs)
    for number in range(30):
        await logs.commit(live, [], [Event("weather.updated", {"number": number})])
        await say(logs, live, "x")
    events = await collect(logs, until=live.last_seq)
    numbers = [event.data["number"] for event in events if event.type == "weather.updated"]
    assert numbers == list(range(30))


async def test_delta_during_a_commit_comes_after_its_events() -> None:
    gate = asyncio.Event()

    class SlowStore(MemoryStore):
        async def apply(self, changes: Sequence[Change]) -> None:
            await gate.wait()
            await super().apply(changes)

    bus = InProcessEventBus(Points())
    logs = SessionLogs(SlowStore(), bus, SystemClock())
    live = logs.create(session())
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.commit(live, [CreateSession(session())], [Event(EventType.SESSION_CREATED)]))
        await asyncio.sleep(0)
        await say(logs, live, "early")
        gate.set()
    events = await collect(logs, until=2)
    assert [event.type for event in events] == [EventType.SESSION_CREATED, EventType.MESSAGE_DELTA]
    await bus.aclose()


async def test_failed_commit_shows_nothing_and_wastes_its_numbers(logs: SessionLogs) -> None:
    live = await opened(logs)
    before = live.last_seq
    with pytest.raises(ConflictError):
        await logs.commit(live, [CreateSession(session())], [Event("weather.updated")])
    assert live.after(before) == ()
    await logs.commit(live, [], [Event("weather.updated")])
    assert live.after(before)[0].seq == before + 2


async def test_store_away_is_told_to_the_writer() -> None:
    class Away(MemoryStore):
        async def apply(self, changes: Sequence[Change]) -> None:
            raise StoreUnavailableError("The database cannot be reached.")

    bus = InProcessEventBus(Points())
    logs = SessionLogs(Away(), bus, SystemClock())
    live = logs.create(session())
    with pytest.raises(StoreUnavailableError):
        await logs.commit(live, [CreateSession(session())])
    await bus.aclose()


async def test_foreign_session_looks_absent(logs: SessionLogs) -> None:
    await opened(logs)
    for session_id in (SESSION, SessionId("ses_none")):
        with pytest.raises(SessionNotFoundError):
            await anext(logs.follow(Principal("bob"), session_id))


async def test_log_is_forgotten_when_nobody_uses_it(logs: SessionLogs) -> None:
    live = await opened(logs)
    stream = logs.follow(ALICE, SESSION)
    await anext(stream)
    logs.release(live)
    assert await logs.open(SYSTEM, SESSION) is live
    logs.release(live)
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert await logs.open(SYSTEM, SESSION) is not live


async def test_followers_are_told_that_the_server_stops(logs: SessionLogs) -> None:
    await opened(logs)
    stream = logs.follow(ALICE, SESSION)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    logs.stop()
    (event,) = await waiting
    assert event.type == EventType.SERVER_STOPPING
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@given(st.lists(st.sampled_from(["piece", "thought", "told"]), min_size=1, max_size=20), st.integers(0, 22))
async def test_a_late_reader_gets_numbers_in_order_and_the_rest_of_the_text(course: list[str], seen: int) -> None:
    store = MemoryStore()
    bus = InProcessEventBus(Points())
    logs = SessionLogs(store, bus, SystemClock())
    live = await opened(logs)
    for number, kind in enumerate(course):
        if kind == "piece":
            await logs.delta(live, TURN, MESSAGE, f"{number} ")
        elif kind == "thought":
            await logs.reasoning(live, TURN, MESSAGE, "hm")
        else:
            await logs.tell(SESSION, Event("tides.turned"))
    text = "".join(f"{number} " for number, kind in enumerate(course) if kind == "piece")
    await complete(logs, live, text)
    end, after = live.last_seq, min(seen, live.last_seq - 1)
    shown = [event for event in live.after(0) if event.seq > after]
    logs.release(live)
    read = await collect(logs, after=after, until=end)
    numbers = [event.seq for event in read]
    assert numbers == sorted(set(numbers))
    assert min(numbers) > after
    assert text_of(read, text_before(text, shown)) == text
    told = [event.seq for event in shown if event.type == "tides.turned"]
    assert [event.seq for event in read if event.type == "tides.turned"] == told
    await bus.aclose()


def text_before(text: str, shown: Sequence[Event]) -> str:
    """Return what a reader had of a text before the deltas in ``shown``."""
    rest = "".join(str(event.data.get("text", "")) for event in shown if event.type == EventType.MESSAGE_DELTA)
    return text[: len(text) - len(rest)]
