"""The board: who may be let loose, how leases end, and what the kill switch does."""

import asyncio
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, Parts, counters, fault_kit
from iskra_chaos.faults.board import MOST_EXPERIMENTS, MOST_FAULTS, FaultBoard
from iskra_chaos.faults.lease import HEARTBEAT, LeaseState
from iskra_chaos.faults.models import FaultLease, FaultSpec
from iskra_chaos.faults.scope import Environment
from iskra_sdk.errors import ConflictError, NotFoundError, PermissionDeniedError, ProviderUnavailableError
from iskra_sdk.interceptor import Point, Position
from iskra_sdk.testing.manual_clock import ManualClock
from plugin_workshop import until

POINTS = (Point.LLM_REQUEST, Point.LLM_STREAM, Point.TOOL_CALL, Point.STORE_READ)


def spec(point: Point = Point.LLM_REQUEST, kind: str = "latency", **given: Any) -> FaultSpec:
    return FaultSpec.model_validate({"point": point, "kind": kind, **given})


def slow(point: Point, **given: Any) -> FaultSpec:
    return spec(point, "slow" if point is Point.STORE_READ else "latency", **given)


async def test_a_point_belongs_to_one_experiment(kit: FaultKit) -> None:
    first = kit.board.add(spec(experiment="one"))
    with pytest.raises(ConflictError):
        kit.board.add(spec(kind="down"))
    second = kit.board.add(spec(kind="down", experiment="one"))
    assert kit.board.active(Point.LLM_REQUEST) == (first, second)
    kit.board.clear(first.id)
    with pytest.raises(ConflictError):
        kit.board.add(spec())
    kit.board.clear(second.id)
    kit.board.add(spec())


async def test_three_experiments_run_at_a_time(kit: FaultKit) -> None:
    faults = [kit.board.add(slow(point)) for point in POINTS[:MOST_EXPERIMENTS]]
    with pytest.raises(ConflictError, match="no more"):
        kit.board.add(slow(POINTS[3]))
    kit.board.clear(faults[0].id)
    kit.board.add(slow(POINTS[3]))


async def test_an_experiment_has_a_bounded_number_of_faults(kit: FaultKit) -> None:
    for _ in range(MOST_FAULTS):
        kit.board.add(spec(experiment="many"))
    with pytest.raises(ConflictError):
        kit.board.add(slow(Point.LLM_STREAM, experiment="many"))


async def test_a_point_is_intercepted_only_while_a_fault_is_there(kit: FaultKit) -> None:
    assert kit.board.interceptors() == []
    fault = await kit.inject(Point.LLM_REQUEST, "down")
    [interceptor] = kit.board.interceptors()
    assert (interceptor.point, interceptor.position) == (Point.LLM_REQUEST, Position.INNERMOST)
    kit.board.clear(fault.id)
    await until(lambda: not kit.is_intercepted(Point.LLM_REQUEST))


async def test_a_fault_expires_without_anybody_doing_anything(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "down", ttl=2.0)
    await kit.clock.until_sleeping()
    kit.clock.advance(2.0)
    assert (await kit.complete("healthy")).message.text == "healthy"
    await until(lambda: not kit.is_intercepted(Point.LLM_REQUEST))
    assert (fault.lease.state, fault.lease.reason) == (LeaseState.EXPIRED, "nobody renewed it in time")


@pytest.mark.parametrize("end", ["clear", "clear_all", "expire"])
async def test_an_ended_fault_does_nothing_in_a_chain_that_is_still_in_use(kit: FaultKit, end: str) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "down", ttl=2.0)
    chain = kit.kernel.points.slot(Point.LLM_REQUEST).attempt
    assert chain is not None

    async def real(_request: object) -> str:
        return "real"

    with pytest.raises(ProviderUnavailableError):
        await chain(kit.request(), real)
    if end == "expire":
        kit.clock.advance(2.0)
    elif end == "clear":
        kit.board.clear(fault.id)
    else:
        kit.board.clear_all()
    assert await chain(kit.request(), real) == "real"
    assert counters(fault) == (1, 1, 1)


async def test_heartbeats_keep_a_fault_alive_and_their_absence_ends_it(kit: FaultKit) -> None:
    fault = kit.board.add(spec(ttl=1.0))
    for _ in range(5):
        kit.clock.advance(0.9)
        kit.board.heartbeat(fault.id)
    kit.clock.advance(HEARTBEAT)
    with pytest.raises(NotFoundError, match="has ended"):
        kit.board.heartbeat(fault.id)
    with pytest.raises(NotFoundError):
        kit.board.heartbeat("no such fault")


async def test_clearing_twice_is_clearing_once(kit: FaultKit) -> None:
    fault = kit.board.add(spec())
    assert kit.board.clear(fault.id, "first").lease.reason == "first"
    assert kit.board.clear(fault.id, "second").lease.reason == "first"
    with pytest.raises(NotFoundError):
        kit.board.clear("no such fault")


async def test_the_kill_switch_ends_running_waits_and_refuses_new_faults(kit: FaultKit) -> None:
    requests = await kit.inject(Point.LLM_REQUEST, "hang")
    streams = await kit.inject(Point.LLM_STREAM, "slow_first_token", parameters={"delay_ms": 30_000})
    store = await kit.inject(Point.STORE_READ, "slow", parameters={"latency": 30_000}, scope={"label": "opted in"})
    calls = [asyncio.create_task(kit.kernel_complete(f"answer {number}")) for number in range(8)]
    await kit.until_waiting(8)
    killed = kit.board.clear_all("somebody pressed it")
    assert set(killed) == {requests, streams, store}
    assert [fault.lease.state for fault in killed] == [LeaseState.KILLED] * 3
    assert kit.board.active(Point.LLM_REQUEST) == ()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*calls)
    assert len(answers) == 8
    with pytest.raises(ConflictError, match="somebody pressed it"):
        kit.board.add(spec())
    kit.board.release()
    kit.board.add(spec())


async def test_ended_faults_are_shown_for_an_hour(kit: FaultKit) -> None:
    ended = kit.board.add(spec())
    kit.board.clear(ended.id)
    running = kit.board.add(spec(ttl=600.0))
    assert kit.board.faults()[:2] == [running, ended]
    kit.clock.advance(3601.0)
    kit.board.expire()
    assert ended not in kit.board.faults()
    assert running.lease.state is LeaseState.EXPIRED
    with pytest.raises(NotFoundError):
        kit.board.get(ended.id)


async def test_a_lease_goes_over_the_wire(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "rate_limited", parameters={"retry_after": 2}, seed=9)
    wire = FaultLease.of(fault).model_dump(mode="json")
    assert wire["id"] == fault.id
    assert (wire["point"], wire["kind"], wire["state"]) == ("llm.request", "rate_limited", "active")
    assert (wire["requested"], wire["applied"], wire["observed"], wire["reason"]) == (0, 0, 0, "")
    assert wire["expires_in"] == pytest.approx(60.0)
    assert wire["parameters"] == {"retry_after": 2.0}


async def test_production_reaches_one_session_in_a_hundred_and_never_its_clock(tmp_path: Any) -> None:
    async with fault_kit(tmp_path, Parts(environment=Environment.PRODUCTION)) as kit:
        fault = await kit.inject(Point.LLM_REQUEST, "down", scope={"share": 1.0})
        failed = 0
        for number in range(300):
            try:
                await kit.complete("fine", session=f"session {number}")
            except ProviderUnavailableError:
                failed += 1
        assert failed == fault.lease.requested == fault.lease.applied
        assert 0 < failed < 12
        with pytest.raises(PermissionDeniedError):
            kit.board.add(spec(Point.CLOCK, "skew"))


async def test_a_plugin_that_goes_takes_its_faults_along(tmp_path: Any) -> None:
    async with fault_kit(tmp_path) as kit:
        fault = await kit.inject(Point.LLM_REQUEST, "hang")
        calling = asyncio.create_task(kit.complete("healthy"))
        await kit.until_waiting()
        disabling = asyncio.create_task(kit.kernel.plugins.disable("fault_probe"))
        async with asyncio.timeout(10):
            assert (await calling).message.text == "healthy"
            await disabling
        assert fault.lease.state is LeaseState.KILLED
        assert not kit.is_intercepted(Point.LLM_REQUEST)


async def test_a_board_tells_when_other_points_are_in_use() -> None:
    changes: list[set[Point]] = []
    board = FaultBoard(
        ManualClock(),
        start=lambda _job: None,
        environment=Environment.TEST,
        on_change=lambda: changes.append({interceptor.point for interceptor in board.interceptors()}),
    )
    first = board.add(spec(experiment="one"))
    board.add(spec(kind="down", experiment="one"))
    result = board.add(spec(Point.TOOL_RESULT, "empty"))
    board.clear(first.id)
    board.clear(result.id)
    await board.close()
    both = {Point.LLM_REQUEST, Point.TOOL_RESULT, Point.TOOL_CALL}
    assert changes == [{Point.LLM_REQUEST}, both, {Point.LLM_REQUEST}], "nobody has to be told at the end"
    with pytest.raises(ConflictError, match="was stopped"):
        board.add(spec())
