from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventBus
from iskra_sdk.testing.bus_conformance import EventBusConformance
from iskra_sdk.testing.memory_bus import MemoryEventBus


class TestMemoryEventBus(EventBusConformance):
    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[EventBus]:
        yield MemoryEventBus()


async def test_it_remembers_the_latest_events() -> None:
    bus = MemoryEventBus(remember=2)
    for number in range(3):
        await bus.publish(Event("test.counted", {"number": number}))
    assert [event.data["number"] for event in bus.published] == [1, 2]


async def test_a_buffer_holds_at_least_one_event() -> None:
    with pytest.raises(ValueError, match="at least one"):
        async with MemoryEventBus().subscribe(buffer=0):
            pass
