import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra_sdk.errors import SubscriberTooSlowError
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventBus, EventHandler, Overflow, receiving_plugin
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Interceptor, Point, Proceed
from iskra_sdk.testing.bus_conformance import EventBusConformance


def event(number: int, event_type: str = "test.counted", session: str | None = "one") -> Event:
    return Event(event_type, {"number": number}, session_id=None if session is None else SessionId(session), seq=number)


class TestInProcessEventBus(EventBusConformance):
    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[EventBus]:
        bus = InProcessEventBus(Points())
        yield bus
        await bus.aclose()


@pytest.fixture
async def bus() -> AsyncIterator[InProcessEventBus]:
    bus = InProcessEventBus(Points())
    yield bus
    await bus.aclose()


class Recorder:
    """Handles events by noting their numbers."""

    def __init__(self, expected: int) -> None:
        self.numbers: list[object] = []
        self.complete = asyncio.Event()
        self._expected = expected

    async def __call__(self, seen: Event) -> None:
        self.numbers.append(seen.data["number"])
        if len(self.numbers) == self._expected:
            self.complete.set()

    async def wait(self) -> list[object]:
        async with asyncio.timeout(5):
            await self.complete.wait()
        return self.numbers


async def test_a_handler_gets_matching_events_in_order(bus: InProcessEventBus) -> None:
    recorder = Recorder(3)
    bus.on(EventHandler("tool.*", recorder), "plugin")
    for number, name in enumerate(("tool.started", "turn.started", "tool.failed", "tool.started")):
        await bus.publish(event(number, name))
    assert await recorder.wait() == [0, 2, 3]


async def test_a_slow_handler_delays_nobody(bus: InProcessEventBus) -> None:
    release = asyncio.Event()

    async def slow(_: Event) -> None:
        await release.wait()

    recorder = Recorder(50)
    slow_one = bus.on(EventHandler("*", slow, buffer=2), "slow")
    bus.on(EventHandler("*", recorder), "quick")
    for number in range(50):
        await bus.publish(event(number))
    assert await recorder.wait() == list(range(50))
    assert slow_one.dropped > 0
    release.set()


async def test_what_a_handler_raises_is_counted_and_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[tuple[str, str]] = []
    bus = InProcessEventBus(Points(), on_failure=lambda owner, error: failures.append((owner, type(error).__name__)))
    recorder = Recorder(1)
    raised: list[BaseException] = [LookupError("x"), SystemExit(1), asyncio.CancelledError()]

    async def raising(seen: Event) -> None:
        if raised:
            raise raised.pop(0)
        await recorder(seen)

    bus.on(EventHandler("*", raising), "faulty")
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            await bus.publish(event(number))
        assert await recorder.wait() == [3]
    assert failures == [("faulty", "LookupError"), ("faulty", "SystemExit"), ("faulty", "CancelledError")]
    assert [record.message for record in caplog.records] == ["event handler failed"] * 3
    await bus.aclose()


async def test_a_failing_counter_does_not_stop_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    def count(owner: str, error: BaseException) -> None:
        raise LookupError(owner)

    bus = InProcessEventBus(Points(), on_failure=count)
    recorder = Recorder(2)

    async def raising(seen: Event) -> None:
        await recorder(seen)
        raise ValueError

    bus.on(EventHandler("*", raising), "faulty")
    await bus.publish(event(1))
    await bus.publish(event(2))
    assert await recorder.wait() == [1, 2]
    await bus.aclose()


async def test_a_handler_taken_out_of_service_finishes_what_waits_and_gets_nothing_new(bus: InProcessEventBus) -> None:
    recorder = Recorder(2)
    remove = bus.on(EventHandler("*", recorder), "plugin")
    await bus.publish(event(1))
    await bus.publish(event(2))
    remove()
    remove()
    await bus.publish(event(3))
    async with asyncio.timeout(5):
        await remove.wait()
    assert recorder.numbers == [1, 2]


async def test_a_hanging_handler_is_cancelled_when_its_grace_is_over(bus: InProcessEventBus) -> None:
    began = asyncio.Event()
    ended = asyncio.Event()

    async def hanging(_: Event) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    remove = bus.on(EventHandler("*", hanging), "plugin", grace=0.01)
    await bus.publish(event(1))
    await began.wait()
    remove()
    async with asyncio.timeout(5):
        await remove.wait()
    assert ended.is_set()


async def test_closing_the_bus_ends_all_handlers(bus: InProcessEventBus) -> None:
    remove = bus.on(EventHandler("*", Recorder(1)), "plugin")
    await asyncio.sleep(0)
    await bus.aclose()
    await remove.wait()
    await bus.publish(event(1))


async def test_a_handler_that_feeds_itself_leaves_room_for_others(bus: InProcessEventBus) -> None:
    async def echoing(seen: Event) -> None:
        await bus.publish(seen)

    bus.on(EventHandler("*", echoing), "echo")
    await bus.publish(event(1))
    for _ in range(5):
        await asyncio.sleep(0)


async def test_interceptors_of_publish_and_deliver_run() -> None:
    points = Points()
    bus = InProcessEventBus(points)

    async def dropping(payload: Event, proceed: Proceed) -> Any:
        if payload.type != "secret":
            await proceed(payload)

    async def twice(payload: Event, proceed: Proceed) -> Any:
        await proceed(payload)
        await proceed(payload)

    points.rebuild(
        [
            Owned(Interceptor(Point.BUS_PUBLISH, dropping), "p", 1),
            Owned(Interceptor(Point.BUS_DELIVER, twice), "p", 1),
        ]
    )
    recorder = Recorder(2)
    bus.on(EventHandler("*", recorder), "plugin")
    await bus.publish(event(1, "secret"))
    await bus.publish(event(2))
    assert await recorder.wait() == [2, 2]
    await bus.aclose()


async def test_an_interceptor_of_deliver_is_told_who_receives() -> None:
    points = Points()
    bus = InProcessEventBus(points)
    seen: list[tuple[str, str, int]] = []

    async def around(payload: Event, proceed: Proceed) -> Any:
        seen.append((payload.source, receiving_plugin.get(), payload.seq))
        await proceed(payload)

    points.rebuild([Owned(Interceptor(Point.BUS_DELIVER, around), "p", 1)])
    recorders = {"weather": Recorder(2), "mail": Recorder(2)}
    for owner, recorder in recorders.items():
        bus.on(EventHandler("*", recorder), owner)
    await bus.publish(event(1))
    await bus.publish(event(2))
    for recorder in recorders.values():
        assert await recorder.wait() == [1, 2]
    assert sorted(seen) == [("kernel", owner, seq) for owner in ("mail", "weather") for seq in (1, 2)]
    assert receiving_plugin.get() == "", "publishers are nobody's handler"
    await bus.aclose()


async def test_a_subscription_gives_batches(bus: InProcessEventBus) -> None:
    async with bus.subscribe(buffer=3, overflow=Overflow.CLOSE) as subscription:
        waiting = asyncio.create_task(subscription.batch())
        await asyncio.sleep(0)
        await bus.publish(event(1))
        await bus.publish(event(2))
        assert [seen.seq for seen in await waiting] == [1, 2]
        for number in range(3, 8):
            await bus.publish(event(number))
        assert [seen.seq for seen in await subscription.batch()] == [3, 4, 5]
        with pytest.raises(SubscriberTooSlowError):
            await subscription.batch()


async def test_leaving_ends_a_reader_that_still_waits(bus: InProcessEventBus) -> None:
    async with bus.subscribe() as subscription:
        reader = asyncio.create_task(subscription.batch())
        await asyncio.sleep(0)
    assert await reader == []


async def test_only_one_task_may_read(bus: InProcessEventBus) -> None:
    async with bus.subscribe() as subscription:
        reader = asyncio.create_task(subscription.batch())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one task"):
            await subscription.batch()
        await bus.publish(event(1))
        assert len(await reader) == 1


async def test_another_thread_may_publish(bus: InProcessEventBus) -> None:
    recorder = Recorder(2)
    bus.on(EventHandler("*", recorder), "plugin")
    for number in (1, 2):
        await asyncio.to_thread(bus.publish_nowait, event(number))
    assert await recorder.wait() == [1, 2]


async def test_mistakes_are_told(bus: InProcessEventBus) -> None:
    with pytest.raises(ValueError, match="session/<id>"):
        await bus.subscribe(topic="sessions").__aenter__()
    with pytest.raises(ValueError, match="at least one"):
        await bus.subscribe(buffer=0).__aenter__()
    subscribing = bus.subscribe()
    async with subscribing:
        with pytest.raises(RuntimeError, match="once"):
            await subscribing.__aenter__()


async def test_many_sessions_and_types_leave_nothing_behind(bus: InProcessEventBus) -> None:
    async with bus.subscribe("never") as everything:
        for number in range(3000):
            async with bus.subscribe("a.*", topic=f"session/{number}") as subscription:
                await bus.publish(event(number, f"a.{number}", session=str(number)))
                assert len(await subscription.batch()) == 1
        assert not bus._sessions
        assert len(bus._everywhere.routes) <= 1024
        assert everything.dropped == 0
