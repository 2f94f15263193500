"""What every event bus must do; run it over yours.

Example::

    class TestMyBus(EventBusConformance):
        @asynccontextmanager
        async def open_bus(self):
            yield MyBus()
"""
# ruff: noqa: S101, D102 - a suite of tests is made of assertions, and the names of its tests say what they mean

import asyncio
import gc
import weakref
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from iskra_sdk.errors import SubscriberTooSlowError
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventBus, Overflow, Subscription
from iskra_sdk.ids import SessionId

PATIENCE = 5.0
"""Seconds an event may take to arrive before the test fails."""


def _event(number: int, event_type: str = "test.counted", session: str | None = "one") -> Event:
    return Event(event_type, {"number": number}, session_id=None if session is None else SessionId(session), seq=number)


async def _read(subscription: Subscription, count: int) -> list[object]:
    numbers: list[object] = []
    async with asyncio.timeout(PATIENCE):
        async for event in subscription:
            numbers.append(event.data["number"])
            if len(numbers) == count:
                break
    return numbers


class EventBusConformance(ABC):
    """The promises of :class:`~iskra_sdk.event_bus.EventBus` as tests for pytest with the anyio plugin."""

    @abstractmethod
    def open_bus(self) -> AbstractAsyncContextManager[EventBus]:
        """Return a new bus, closed when the context is left."""

    async def test_events_of_a_topic_arrive_in_order(self) -> None:
        async with self.open_bus() as bus, bus.subscribe("*", topic="session/one") as subscription:
            for number in range(1, 101):
                if number % 2:
                    await bus.publish(_event(number))
                else:
                    bus.publish_nowait(_event(number))
                await bus.publish(_event(-number, session="two"))
            assert await _read(subscription, 100) == list(range(1, 101)), "order within the topic was lost"

    async def test_each_subscriber_gets_every_event(self) -> None:
        async with self.open_bus() as bus, bus.subscribe() as first, bus.subscribe() as second:
            for number in range(1, 4):
                await bus.publish(_event(number))
            assert await _read(first, 3) == [1, 2, 3], "the first subscriber missed events"
            assert await _read(second, 3) == [1, 2, 3], "the second subscriber missed events"

    async def test_patterns_choose_event_types(self) -> None:
        async with (
            self.open_bus() as bus,
            bus.subscribe("tool.*") as tools,
            bus.subscribe("tool.failed") as failures,
            bus.subscribe("*") as everything,
        ):
            for number, name in enumerate(("tool.started", "toolbox.opened", "tool.failed", "turn.failed"), start=1):
                await bus.publish(_event(number, name))
            assert await _read(everything, 4) == [1, 2, 3, 4], "`*` must match all types"
            assert await _read(tools, 2) == [1, 3], "`tool.*` must match what begins with `tool.`"
            assert await _read(failures, 1) == [3], "an exact type must match itself only"

    async def test_topics_keep_sessions_apart(self) -> None:
        async with (
            self.open_bus() as bus,
            bus.subscribe(topic="session/one") as one,
            bus.subscribe(topic="system") as system,
            bus.subscribe() as everything,
        ):
            await bus.publish(_event(1, session="one"))
            await bus.publish(_event(2, session="two"))
            await bus.publish(_event(3, session=None))
            await bus.publish(_event(4, session="one"))
            assert await _read(one, 2) == [1, 4], "a session's topic holds its events only"
            assert await _read(system, 1) == [3], "events without a session belong to the topic `system`"
            assert sorted(map(str, await _read(everything, 4))) == ["1", "2", "3", "4"], "no topic means every topic"

    async def test_a_subscriber_sees_only_what_comes_after_it(self) -> None:
        async with self.open_bus() as bus:
            await bus.publish(_event(1))
            async with bus.subscribe() as subscription:
                await bus.publish(_event(2))
                assert await _read(subscription, 1) == [2], "history must not be delivered"

    async def test_a_full_buffer_drops_the_oldest(self) -> None:
        async with self.open_bus() as bus, bus.subscribe(buffer=3) as subscription, bus.subscribe() as witness:
            for number in range(1, 11):
                await bus.publish(_event(number))
            assert await _read(witness, 10) == list(range(1, 11)), "another subscriber was hurt"
            assert await _read(subscription, 3) == [8, 9, 10], "the newest events must stay"
            assert subscription.dropped == 7, "every dropped event must be counted"

    async def test_a_full_buffer_ends_the_subscription_where_asked(self) -> None:
        async with (
            self.open_bus() as bus,
            bus.subscribe(buffer=3, overflow=Overflow.CLOSE) as subscription,
            bus.subscribe() as witness,
        ):
            for number in range(1, 11):
                await bus.publish(_event(number))
            assert await _read(witness, 10) == list(range(1, 11)), "another subscriber was hurt"
            numbers: list[object] = []
            error: SubscriberTooSlowError | None = None
            try:
                async with asyncio.timeout(PATIENCE):
                    async for event in subscription:
                        numbers.append(event.data["number"])
            except SubscriberTooSlowError as exc:
                error = exc
            assert numbers == [1, 2, 3], "what was buffered must be delivered first"
            assert error is not None, "then the reader must be told"

    async def test_a_waiting_reader_gets_an_event_at_once(self) -> None:
        async with self.open_bus() as bus, bus.subscribe() as subscription:
            reader = asyncio.create_task(_read(subscription, 1))
            await asyncio.sleep(0)
            await bus.publish(_event(1))
            assert await reader == [1]

    async def test_a_reader_that_fails_hurts_nobody(self) -> None:
        async with self.open_bus() as bus, bus.subscribe() as witness:
            try:
                async with bus.subscribe() as subscription:
                    await bus.publish(_event(1))
                    await _read(subscription, 1)
                    raise LookupError
            except LookupError:
                pass
            await bus.publish(_event(2))
            assert await _read(witness, 2) == [1, 2], "the bus or another subscriber was hurt"

    async def test_leaving_frees_the_subscription(self) -> None:
        async with self.open_bus() as bus:
            async with bus.subscribe() as subscription:
                await bus.publish(_event(1))
            left = weakref.ref(subscription)
            del subscription
            await bus.publish(_event(2))
            for _ in range(3):
                await asyncio.sleep(0)
                gc.collect()
            assert left() is None, "the bus keeps a subscription that was left"
