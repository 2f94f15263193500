"""A partition between two plugins: what does not reach the other side, and that all of it comes after healing."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, counters
from chaos.faults.test_bus import ONE, TWO, first_deliveries, order
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Point
from plugin_workshop import until

NEAR = "fault_probe"
"""The plugin whose handler the kit has a hand on."""
FAR = "weather"


def told_by(source: str, session: SessionId = ONE, seq: int = 1, event_type: str = "probe.event") -> Event:
    return Event(event_type, session_id=session, seq=seq, source=source)


@asynccontextmanager
async def handler_of(kit: FaultKit, plugin: str, pattern: str = "probe.*") -> AsyncIterator[list[Event]]:
    """Put a handler of another plugin into service and yield what it gets."""
    got: list[Event] = []

    async def take(event: Event) -> None:
        got.append(event)

    registration = kit.kernel.bus.on(EventHandler(pattern, take), plugin)
    try:
        yield got
    finally:
        registration()
        await registration.wait()


async def part(kit: FaultKit, **parameters: Any) -> Any:
    return await kit.inject(
        Point.BUS_DELIVER, "partition", parameters={"publisher": FAR, "receiver": NEAR, **parameters}
    )


async def test_what_one_plugin_tells_does_not_reach_the_other_until_the_partition_heals(kit: FaultKit) -> None:
    fault = await part(kit, heals_after_ms=800)
    async with handler_of(kit, "third") as third:
        await kit.publish([told_by(FAR, session, seq) for seq in (1, 2) for session in (ONE, TWO)])
        await kit.publish([told_by("kernel", SessionId("three"), 1)])
        await kit.handled(1)
        await until(lambda: len(third) == 5)
    await kit.until_waiting()
    assert order(kit.parts.handled) == ["three1"], "the kernel's events cross, and others get what the far side tells"
    assert counters(fault) == (4, 4, 0), "only what had to cross it is counted"
    kit.clock.advance(0.9)
    await kit.handled(5)
    assert order(kit.parts.handled[1:]) == ["one1", "two1", "one2", "two2"]
    assert counters(fault) == (4, 4, 4)
    await kit.publish([told_by(FAR, ONE, 3)])
    assert order(await kit.handled(6))[-1] == "one3"
    assert counters(fault) == (4, 4, 4), "it has healed, and the fault is still there"


@pytest.mark.parametrize("is_mutual", [False, True])
async def test_the_other_direction_is_cut_only_on_request(kit: FaultKit, is_mutual: bool) -> None:
    fault = await part(kit, is_mutual=is_mutual)
    async with handler_of(kit, FAR) as far:
        await kit.publish([told_by(NEAR, ONE, 1)])
        await kit.handled(1)
        if is_mutual:
            await until(lambda: fault.lease.applied == 1)
            await kit.until_waiting()
            assert far == []
            kit.clock.advance(1.1)
        await until(lambda: len(far) == 1)
    assert counters(fault) == ((1, 1, 1) if is_mutual else (0, 0, 0))


async def test_events_of_a_session_that_come_from_elsewhere_wait_behind_what_is_cut_off(kit: FaultKit) -> None:
    fault = await part(kit)
    await kit.publish([told_by(FAR, ONE, 1), told_by("kernel", ONE, 2), told_by("kernel", TWO, 1)])
    assert order(await kit.handled(1)) == ["two1"]
    kit.board.clear(fault.id)
    assert order(await kit.handled(3)) == ["two1", "one1", "one2"]


@pytest.mark.parametrize("loses", [False, True])
async def test_only_what_is_kept_nowhere_may_be_lost(kit: FaultKit, loses: bool) -> None:
    fault = await kit.inject(
        Point.BUS_DELIVER, "partition", parameters={"receiver": "reader", "loses_passing": loses, "heals_after_ms": 500}
    )
    types = ["probe.event", "message.delta", "session.deleted", "message.completed"]
    async with handler_of(kit, "reader", "*") as got:
        await kit.publish([told_by("kernel", ONE, seq, name) for seq, name in enumerate(types)])
        await until(lambda: fault.lease.applied == 4)
        await kit.until_waiting()
        kit.clock.advance(0.6)
        kept = [name for name in types if not loses or name != "message.delta"]
        await until(lambda: len(got) >= len(kept))
    assert [event.type for event in got] == kept
    assert counters(fault) == (4, 4, 4), "what was lost was seen to be missing"


@pytest.mark.parametrize("seed", range(4))
async def test_every_event_is_accounted_for(kit: FaultKit, seed: int) -> None:
    """2,000 events of three publishers, four partitions in a row, duplicates beside them: lost 0, in order."""
    choose, sessions = random.Random(seed), [SessionId(name) for name in "abcde"]
    repeated = await kit.inject(
        Point.BUS_DELIVER, "duplicate", strategy={"name": "intermittent", "probability": 0.2}, experiment="p", seed=seed
    )
    published: Counter[str] = Counter()
    faults = []
    for phase in range(4):
        faults.append(
            await kit.inject(
                Point.BUS_DELIVER,
                "partition",
                parameters={"publisher": FAR, "receiver": NEAR, "heals_after_ms": 400},
                experiment="p",
                seed=seed,
            )
        )
        for batch in range(10):
            for seq in range(10):
                for session in sessions:
                    source = choose.choice([FAR, "kernel", "third"])
                    published[source] += 1
                    await kit.publish([told_by(source, session, phase * 100 + batch * 10 + seq)])
            await asyncio.sleep(0)
            kit.clock.advance(choose.choice([0.0, 0.05, 0.1]))
        kit.board.clear(faults[-1].id)
    await until(lambda: len({event.id for event in kit.parts.handled}) == 2000)
    await until(lambda: not kit.board._lanes.are_busy)
    assert first_deliveries(kit.parts.handled) == {session: list(range(400)) for session in sessions}
    assert len(kit.parts.handled) == 2000 + repeated.lease.observed
    for fault in faults:
        requested, applied, observed = counters(fault)
        assert 0 < observed == applied == requested
    assert sum(fault.lease.applied for fault in faults) <= published[FAR] + repeated.lease.observed


async def test_what_is_held_is_bounded_and_comes_before_it_is_too_much(kit: FaultKit) -> None:
    fault = await part(kit, heals_after_ms=60_000)
    for first in range(0, 1100, 100):
        await kit.publish([told_by(FAR, ONE, seq) for seq in range(first, first + 100)])
        await kit.applied(fault, first + 100)
    assert [event.seq for event in await kit.handled(1025)] == list(range(1025))


@pytest.mark.parametrize("end", ["clear", "kill", "expire"])
async def test_the_end_of_the_fault_heals_the_partition(kit: FaultKit, end: str) -> None:
    fault = await kit.inject(Point.BUS_DELIVER, "partition", ttl=2.0, parameters={"heals_after_ms": 60_000})
    await kit.publish([told_by(FAR, ONE, 1), told_by(FAR, TWO, 1)])
    await until(lambda: fault.lease.applied == 2)
    assert kit.parts.handled == []
    if end == "clear":
        kit.board.clear(fault.id)
    elif end == "kill":
        kit.board.clear_all()
    else:
        kit.clock.advance(2.0)
    assert order(await kit.handled(2)) == ["one1", "two1"]
    await until(lambda: not kit.is_intercepted(Point.BUS_DELIVER))


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_jump_of_the_wall_clock_neither_heals_nor_prolongs_a_partition(kit: FaultKit, hours: int) -> None:
    """A time server that sets the clock moves no lease: it runs on the monotonic clock."""
    fault = await kit.inject(Point.BUS_DELIVER, "partition", ttl=5.0, parameters={"heals_after_ms": 1000})
    await kit.publish([told_by(FAR, ONE, 1)])
    await kit.until_waiting()
    kit.clock.set_now(kit.clock.now() + timedelta(hours=hours))
    for _ in range(20):
        await asyncio.sleep(0)
    assert kit.parts.handled == []
    assert fault.lease.is_active
    assert fault.lease.remaining == pytest.approx(5.0)
    kit.clock.advance(1.1)
    assert order(await kit.handled(1)) == ["one1"]
    assert counters(fault) == (1, 1, 1)


async def test_a_jump_of_the_monotonic_clock_ends_the_lease_and_loses_nothing(kit: FaultKit) -> None:
    """A machine that slept for an hour finds its faults gone and every event delivered once."""
    fault = await kit.inject(Point.BUS_DELIVER, "partition", ttl=5.0, parameters={"heals_after_ms": 4000})
    await kit.publish([told_by(FAR, ONE, seq) for seq in range(3)])
    await until(lambda: fault.lease.applied == 3)
    kit.clock.advance(3600.0)
    await kit.publish([told_by(FAR, ONE, 3)])
    assert order(await kit.handled(4)) == ["one0", "one1", "one2", "one3"]
    assert (fault.lease.state, counters(fault)) == ("expired", (3, 3, 3))
