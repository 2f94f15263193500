"""Faults of the session store and of caches."""

import asyncio
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, counters
from iskra_sdk.errors import IskraError, StorageFullError, StoreError, StoreUnavailableError
from iskra_sdk.event import Event
from iskra_sdk.interceptor import Point
from iskra_sdk.message import ToolCall
from iskra_sdk.session_store import AppendAudit, AppendEvent, AuditEntry, PutPluginValue
from turn_kit import ALICE, shown_text, types


async def read(kit: FaultKit) -> object:
    return await kit.kernel.store.plugin_value("probe", "key")


async def write(kit: FaultKit, value: str = "new") -> None:
    await kit.kernel.store.apply([PutPluginValue("probe", "key", value)])


@pytest.mark.parametrize(
    ("point", "kind", "error"),
    [
        (Point.STORE_READ, "locked", StoreUnavailableError),
        (Point.STORE_READ, "error", StoreError),
        (Point.STORE_WRITE, "locked", StoreUnavailableError),
        (Point.STORE_WRITE, "full", StorageFullError),
    ],
)
async def test_a_failing_store_raises_its_own_errors_and_writes_nothing(
    kit: FaultKit, point: Point, kind: str, error: type[IskraError]
) -> None:
    await write(kit, "old")
    fault = await kit.inject(point, kind)
    with pytest.raises(error):
        await (read(kit) if point is Point.STORE_READ else write(kit))
    kit.board.clear(fault.id)
    assert counters(fault) == (1, 1, 1)
    assert await read(kit) == "old"


@pytest.mark.parametrize("point", [Point.STORE_READ, Point.STORE_WRITE])
async def test_a_slow_store_waits(kit: FaultKit, point: Point) -> None:
    fault = await kit.inject(point, "slow", parameters={"latency": 700})
    calling = asyncio.create_task(read(kit) if point is Point.STORE_READ else write(kit))
    await kit.until_waiting()
    kit.clock.advance(0.7)
    await calling
    assert counters(fault) == (1, 1, 1)


async def test_signing_in_and_the_audit_log_are_spared(kit: FaultKit) -> None:
    await kit.inject(Point.STORE_READ, "locked")
    await kit.inject(Point.STORE_WRITE, "full")
    assert await kit.kernel.store.credential("no such digest") is None
    entry = AuditEntry(kit.kernel.clock.now(), "alice", "chaos.stopped", "everything")
    await kit.kernel.store.apply([AppendAudit(entry)])
    assert all(counters(fault) == (0, 0, 0) for fault in kit.board.faults()[:2])


async def test_a_write_is_told_to_be_its_sessions(kit: FaultKit) -> None:
    mine, other = await kit.new_session(), await kit.new_session()
    fault = await kit.inject(Point.STORE_WRITE, "full", scope={"sessions": [mine]})
    await kit.kernel.store.apply([AppendEvent(Event("probe.a", session_id=other, seq=10_000))])
    with pytest.raises(StorageFullError):
        await kit.kernel.store.apply([AppendEvent(Event("probe.a", session_id=mine, seq=10_000))])
    assert counters(fault) == (1, 1, 1)


async def test_reads_of_a_turn_are_told_to_be_its_sessions(kit: FaultKit) -> None:
    """What a tool reads belongs to its session; reads from outside belong to nobody and are not in the scope."""
    mine, other = await kit.new_session(), await kit.new_session()
    fault = await kit.inject(Point.STORE_READ, "error", strategy={"name": "persistent"}, scope={"sessions": [mine]})
    await read(kit)
    asking = [ToolCall("c1", "look_up", '{"city": "the city on file"}')]
    assert "tool.completed" in types(await kit.ask(asking, "done", session_id=other))
    assert counters(fault) == (0, 0, 0)
    assert "tool.completed" not in types(await kit.ask(asking, "done", session_id=mine))
    requested, applied, observed = counters(fault)
    assert requested == applied == observed > 0


async def test_what_an_agent_reads_belongs_to_its_session(kit: FaultKit) -> None:
    mine, other = await kit.new_session(), await kit.new_session()
    await kit.inject(Point.STORE_READ, "locked", scope={"sessions": [mine]}, strategy={"name": "persistent"})
    assert shown_text(await kit.ask(session_id=other, agent="reader")) == "Rome"
    assert shown_text(await kit.ask(session_id=mine, agent="reader")) == "unreadable"


async def test_a_turn_survives_a_store_that_cannot_write_once(kit: FaultKit) -> None:
    """A failed write is the turn's failure; what the log holds afterwards is whole."""
    session = await kit.new_session()
    await kit.inject(Point.STORE_WRITE, "full", strategy={"name": "single"}, scope={"sessions": [session]})
    with pytest.raises(StorageFullError):
        await kit.ask("hello", session_id=session)
    events = await kit.ask("hello again", session_id=session)
    assert events[-1].type == "turn.completed"
    stored = await kit.kernel.store.events(ALICE, session)
    assert [event.seq for event in stored] == sorted({event.seq for event in stored})


async def through_cache(kit: FaultKit, value: object, key: str = "k") -> object:
    """Ask a cache as its owner does."""

    async def get(_key: Any) -> object:
        return value

    chain = kit.kernel.points.slot(Point.CACHE_GET).chain
    return await (get(key) if chain is None else chain(key, get))


async def test_a_cache_forgets(kit: FaultKit) -> None:
    fault = await kit.inject(Point.CACHE_GET, "miss")
    assert await through_cache(kit, "kept") is None
    assert await through_cache(kit, None) is None
    assert counters(fault) == (2, 2, 1)


async def test_a_cache_is_away(kit: FaultKit) -> None:
    fault = await kit.inject(Point.CACHE_GET, "error")
    with pytest.raises(StoreUnavailableError):
        await through_cache(kit, "kept")
    assert counters(fault) == (1, 1, 1)


async def test_a_cache_is_slow(kit: FaultKit) -> None:
    fault = await kit.inject(Point.CACHE_GET, "latency", parameters={"latency": 500})
    asking = asyncio.create_task(through_cache(kit, "kept"))
    await kit.until_waiting()
    kit.clock.advance(0.5)
    assert await asking == "kept"
    assert counters(fault) == (1, 1, 1)


async def test_a_stale_value_comes_back_in_a_sandbox_only(kit: FaultKit) -> None:
    fault = await kit.inject(Point.CACHE_GET, "stale")
    kit.parts.sandbox.add("")
    assert await through_cache(kit, "first") == "first"
    assert await through_cache(kit, "second") == "first"
    assert await through_cache(kit, "other", key="other") == "other"
    kit.parts.sandbox.clear()
    assert await through_cache(kit, "second") == "second"
    assert counters(fault) == (3, 3, 1)
