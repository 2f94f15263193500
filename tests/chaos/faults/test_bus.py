"""Faults of the event bus: what a real handler gets, and what no fault may do to it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, counters, fault_kit
from iskra_chaos.faults.vocabulary import VOCABULARY
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Point
from plugin_workshop import until

ONE, TWO = SessionId("one"), SessionId("two")
OFTEN = {"name": "intermittent", "probability": 0.3}


def events_of(*sessions: SessionId, count: int = 3) -> list[Event]:
    return [Event("probe.event", session_id=session, seq=seq) for seq in range(1, count + 1) for session in sessions]


def order(events: Sequence[Event]) -> list[str]:
    return [f"{event.session_id}{event.seq}" for event in events]


def first_deliveries(events: Sequence[Event]) -> dict[SessionId | None, list[int]]:
    """Return what a handler that knows repetitions by their id takes to be the log of each session."""
    seen: set[str] = set()
    logs: dict[SessionId | None, list[int]] = {}
    for event in events:
        if event.id not in seen:
            seen.add(event.id)
            logs.setdefault(event.session_id, []).append(event.seq)
    return logs


async def test_an_event_comes_again(kit: FaultKit) -> None:
    fault = await kit.inject(Point.BUS_DELIVER, "duplicate", parameters={"copies": 2})
    await kit.publish(events_of(ONE, count=2))
    assert order(await kit.handled(6)) == ["one1", "one1", "one1", "one2", "one2", "one2"]
    assert counters(fault) == (2, 2, 2)


@pytest.mark.parametrize("point", [Point.BUS_DELIVER, Point.BUS_PUBLISH])
async def test_an_event_comes_late(kit: FaultKit, point: Point) -> None:
    fault = await kit.inject(point, "delay", parameters={"delay_ms": 800})
    publishing = asyncio.create_task(kit.publish(events_of(ONE, count=1)))
    await kit.until_waiting()
    assert kit.parts.handled == []
    kit.clock.advance(0.8)
    await publishing
    assert order(await kit.handled(1)) == ["one1"]
    assert counters(fault) == (1, 1, 1)


async def test_an_event_comes_after_later_ones_of_other_sessions(kit: FaultKit) -> None:
    fault = await kit.inject(
        Point.BUS_DELIVER, "reorder", strategy={"name": "single"}, parameters={"window": 1}, scope={"sessions": [ONE]}
    )
    await kit.publish(events_of(ONE, TWO, count=3))
    assert order(await kit.handled(6)) == ["two1", "one1", "one2", "two2", "one3", "two3"]
    assert counters(fault) == (3, 1, 1)


async def test_events_of_one_session_change_places_only_on_request(kit: FaultKit) -> None:
    parameters = {"window": 1, "keeps_topic_order": False}
    fault = await kit.inject(Point.BUS_DELIVER, "reorder", strategy={"name": "single"}, parameters=parameters)
    await kit.publish(events_of(ONE, count=3))
    assert order(await kit.handled(3)) == ["one2", "one1", "one3"]
    assert counters(fault) == (3, 1, 1)


async def test_an_event_that_none_follows_comes_when_its_time_is_over(kit: FaultKit) -> None:
    fault = await kit.inject(Point.BUS_DELIVER, "reorder", parameters={"longest_ms": 400})
    await kit.publish(events_of(ONE, count=1))
    await kit.until_waiting()
    assert kit.parts.handled == []
    kit.clock.advance(0.4)
    assert order(await kit.handled(1)) == ["one1"]
    assert counters(fault) == (1, 1, 0), "late, but not out of its turn"


@pytest.mark.parametrize("is_processed", [False, True])
async def test_a_lost_delivery_is_made_up_for(kit: FaultKit, is_processed: bool) -> None:
    parameters = {"redeliver_after_ms": 300, "is_processed": is_processed}
    fault = await kit.inject(
        Point.BUS_DELIVER,
        "drop_redeliver",
        strategy={"name": "single"},
        parameters=parameters,
        scope={"sessions": [ONE]},
    )
    await kit.publish(events_of(ONE, TWO, count=2))
    await kit.until_waiting()
    await kit.handled(4 if is_processed else 2)
    assert order(kit.parts.handled) == (["one1", "two1", "one2", "two2"] if is_processed else ["two1", "two2"])
    kit.clock.advance(0.3)
    await kit.handled(5 if is_processed else 4)
    assert order(kit.parts.handled)[-2:] == (["two2", "one1"] if is_processed else ["one1", "one2"])
    assert counters(fault) == (2, 1, 1)


@pytest.mark.parametrize("end", ["clear", "kill", "expire"])
@pytest.mark.parametrize("kind", ["reorder", "drop_redeliver"])
async def test_what_is_held_comes_at_once_when_the_fault_ends(kit: FaultKit, kind: str, end: str) -> None:
    fault = await kit.inject(Point.BUS_DELIVER, kind, ttl=2.0)
    await kit.publish(events_of(ONE, TWO, count=2))
    await kit.until_waiting(4)
    assert kit.parts.handled == []
    if end == "clear":
        kit.board.clear(fault.id)
    elif end == "kill":
        kit.board.clear_all()
    else:
        kit.clock.advance(2.0)
    await kit.handled(4)
    assert first_deliveries(kit.parts.handled) == {ONE: [1, 2], TWO: [1, 2]}
    await until(lambda: not kit.is_intercepted(Point.BUS_DELIVER))
    await kit.publish([Event("probe.event", session_id=ONE, seq=3)])
    assert order(await kit.handled(5))[-1] == "one3"


@pytest.mark.parametrize("seed", range(4))
async def test_all_faults_together_lose_nothing_and_keep_the_order_of_sessions(kit: FaultKit, seed: int) -> None:
    """2,000 events under duplicates, reordering and redelivery of 30 % each."""
    sessions = [SessionId(name) for name in "abcde"]
    faults = [
        await kit.inject(Point.BUS_DELIVER, kind, strategy=OFTEN, seed=seed, experiment="r6", parameters=parameters)
        for kind, parameters in (
            ("duplicate", {}),
            ("reorder", {"window": 10}),
            ("drop_redeliver", {"is_processed": seed % 2 == 0}),
        )
    ]
    for batch in range(20):
        await kit.publish(
            [Event("probe.event", session_id=name, seq=batch * 20 + seq) for seq in range(20) for name in sessions]
        )
        await asyncio.sleep(0)
        kit.clock.advance(0.05)
    for fault in faults:
        kit.board.clear(fault.id)
    await until(lambda: len({event.id for event in kit.parts.handled}) == 2000)
    assert first_deliveries(kit.parts.handled) == {name: list(range(400)) for name in sessions}
    assert max(Counter(event.id for event in kit.parts.handled).values()) > 1
    for fault in faults:
        requested, applied, observed = counters(fault)
        assert 0 < observed <= applied <= requested


async def test_a_handler_gets_one_event_at_a_time(kit: FaultKit) -> None:
    running = 0
    most = 0
    take = kit.parts.take

    async def slowly(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        await take(event)

    fault = await kit.inject(Point.BUS_DELIVER, "drop_redeliver", strategy=OFTEN)
    chain = kit.kernel.points.slot(Point.BUS_DELIVER).chain
    assert chain is not None
    for event in events_of(ONE, TWO, SessionId("three"), count=30):
        await chain(event, slowly)
        kit.clock.advance(0.02)
        await asyncio.sleep(0)
    kit.board.clear(fault.id)
    await kit.handled(90)
    assert most == 1


async def test_what_watches_over_faults_is_spared(kit: FaultKit) -> None:
    fault = await kit.inject(Point.BUS_DELIVER, "duplicate")
    chain: Any = kit.kernel.points.slot(Point.BUS_DELIVER).chain
    for name in ("chaos.fault_started", "ethical_concern"):
        await chain(Event(name), kit.parts.take)
    assert len(kit.parts.handled) == 2
    assert counters(fault) == (0, 0, 0)


async def test_the_log_of_a_session_is_never_touched(kit: FaultKit) -> None:
    for kind in ("duplicate", "reorder", "drop_redeliver", "partition"):
        await kit.inject(Point.BUS_DELIVER, kind, experiment="all")
    events = await kit.ask("hello there")
    seqs = [event.seq for event in events]
    assert seqs == sorted(set(seqs))
    assert events[-1].type == "turn.completed"


async def test_a_failing_handler_is_counted_against_its_plugin(kit: FaultKit) -> None:
    """What a held event's handler raises reaches the bus with the event that pushed it out."""
    await kit.inject(
        Point.BUS_DELIVER, "reorder", strategy={"name": "single"}, parameters={"window": 1, "keeps_topic_order": False}
    )
    chain: Any = kit.kernel.points.slot(Point.BUS_DELIVER).chain

    async def failing(event: Event) -> None:
        if event.seq == 1:
            raise LookupError("no")

    first, second, third = events_of(ONE, count=3)
    await chain(first, failing)
    with pytest.raises(LookupError):
        await chain(second, failing)
    await chain(third, failing)


async def test_every_kind_leaves_events_alone_with_probability_0(kit: FaultKit) -> None:
    for kind in VOCABULARY[Point.BUS_DELIVER]:
        fault = await kit.inject(Point.BUS_DELIVER, kind, strategy={"name": "persistent", "probability": 0.0})
        await kit.publish(events_of(ONE, TWO, count=2))
        assert order(await kit.handled(4)) == ["one1", "two1", "one2", "two2"]
        assert counters(fault) == (4, 0, 0)
        kit.board.clear(fault.id)
        kit.parts.handled.clear()


@pytest.mark.parametrize("kind", ["reorder", "drop_redeliver", "partition"])
async def test_a_plugin_that_goes_delivers_what_its_faults_held(tmp_path: Path, kind: str) -> None:
    handled: list[Event] = []

    async def take(event: Event) -> None:
        handled.append(event)

    async with fault_kit(tmp_path) as kit:
        await kit.inject(Point.BUS_DELIVER, kind)
        chain: Any = kit.kernel.points.slot(Point.BUS_DELIVER).chain
        for event in events_of(ONE, TWO, count=2):
            await chain(event, take)
        assert handled == []
        await kit.kernel.plugins.disable("fault_probe")
        assert first_deliveries(handled) == {ONE: [1, 2], TWO: [1, 2]}
        assert not kit.is_intercepted(Point.BUS_DELIVER)


async def test_the_point_stays_in_use_until_the_last_held_event_is_handled(kit: FaultKit) -> None:
    """Otherwise new events would reach the handler beside the one that is brought to it."""
    fault = await kit.inject(Point.BUS_DELIVER, "drop_redeliver", strategy={"name": "single"})
    await kit.publish(events_of(ONE, count=1))
    await kit.until_waiting()
    kit.parts.is_open.clear()
    kit.board.clear(fault.id)
    for _ in range(20):
        await asyncio.sleep(0)
    assert {interceptor.point for interceptor in kit.board.interceptors()} == {Point.BUS_DELIVER}
    await kit.publish([Event("probe.event", session_id=ONE, seq=2)])
    for _ in range(20):
        await asyncio.sleep(0)
    kit.parts.is_open.set()
    assert order(await kit.handled(2)) == ["one1", "one2"]
    await until(lambda: not kit.is_intercepted(Point.BUS_DELIVER))


async def test_what_is_held_for_one_handler_is_bounded(kit: FaultKit) -> None:
    await kit.inject(Point.BUS_DELIVER, "drop_redeliver", parameters={"keeps_topic_order": False})
    await kit.publish(events_of(ONE, count=100))
    await kit.handled(36)
    assert order(kit.parts.handled) == [f"one{number}" for number in range(65, 101)]
