"""The emergency stop: at once or in steps, operations and faults together, and it stays."""

import asyncio
from typing import Any

import pytest

from chaos.processes.stage import Stage, Store, stage
from iskra_chaos.faults.models import FaultSpec
from iskra_sdk.errors import ConflictError

ANSWER = "Seven stalls, two days, one stage."
RULE = {"name": "intermittent", "probability": 0.8}


def faulted(given: Stage) -> Any:
    """Let a fault loose."""
    return given.parts.board.add(
        FaultSpec.model_validate(
            {"point": "llm.request", "kind": "latency", "parameters": {"latency": 800}, "strategy": RULE, "ttl": 60}
        )
    )


async def running(count: int, given: Stage) -> list[Any]:
    sessions = [await given.session(f"s{number}") for number in range(count)]
    return [await given.start(session_id, "micro_disturbance") for session_id in sessions]


async def test_at_once_everything_is_over_before_the_call_returns_and_written_afterwards() -> None:
    async with stage(environment="test", faults=True) as given:
        processes, fault = await running(40, given), faulted(given)
        stopped = given.parts.stop.at_once("enough")
        assert not given.parts.engine.sessions
        assert all(process.status == "aborted" for process in processes)
        assert not fault.lease.is_active
        assert (len(stopped.processes), stopped.faults) == (40, [fault])
        await given.records_are_written()
        assert {(await given.kept(process.id))["status"] for process in processes} == {"aborted"}
        with pytest.raises(ConflictError):
            await given.start("s1", "micro_disturbance")
        with pytest.raises(ConflictError):
            faulted(given)


async def test_gradually_operations_settle_and_faults_fade_then_all_is_over() -> None:
    async with stage(ANSWER, environment="test", faults=True) as given:
        (process,), fault = await running(1, given), faulted(given)
        await given.clock.until_sleeping()
        stopped = await given.parts.stop.gradually("enough")
        assert stopped.faults == [fault]
        assert process.status == "stabilizing"
        with pytest.raises(ConflictError):
            await given.start("s0", "micro_disturbance")
        with pytest.raises(ConflictError):
            given.parts.stop.require_released()
        seen = []
        for _ in range(3):
            await given.clock.until_sleeping(2)
            seen.append((round(fault.strategy.probability, 3), fault.parameters.latency, fault.lease.is_active))
            given.clock.advance(1.0)
        assert seen == [(0.4, 400.0, True), (0.2, 200.0, True), (0.1, 100.0, True)], "fewer calls, and less to each"
        await given.records_are_written()
        assert not fault.lease.is_active
        assert process.status == "aborted"


async def test_at_once_overtakes_a_gradual_stop() -> None:
    async with stage(environment="test", faults=True) as given:
        (process,), fault = await running(1, given), faulted(given)
        await given.parts.stop.gradually("gently")
        given.parts.stop.at_once("now")
        assert (process.status, fault.lease.is_active) == ("aborted", False)
        await asyncio.sleep(0)


async def test_a_release_during_a_gradual_stop_keeps_what_is_left() -> None:
    async with stage(environment="test", faults=True) as given:
        fault = faulted(given)
        await given.parts.stop.gradually("gently")
        await given.clock.until_sleeping(2)
        await given.parts.stop.release()
        given.clock.advance(1.0)
        await given.records_are_written()
        assert fault.lease.is_active
        assert (await running(1, given))[0].status == "active"


async def test_a_stop_survives_a_restart_until_it_is_released() -> None:
    store = Store()
    async with stage(store=store) as given:
        await given.session()
        given.parts.stop.at_once("enough")
        await given.parts.stop.keep()
    async with stage(store=store) as later:
        assert later.parts.stop.is_locked
        with pytest.raises(ConflictError):
            await later.start("s", "micro_disturbance")
        await later.parts.stop.release()
    async with stage(store=store) as last:
        assert not last.parts.stop.is_locked
        assert (await last.start("s", "micro_disturbance")).status == "active"


async def test_a_stop_holds_while_the_store_is_away() -> None:
    async with stage(ANSWER) as given:
        (process,) = await running(1, given)
        given.store.is_down = True
        given.parts.stop.at_once("enough")
        await given.parts.stop.keep()
        await given.records_are_written()
        assert process.status == "aborted"
        assert given.parts.stop.is_locked
        assert not given.harness.context.own_tasks.errors
