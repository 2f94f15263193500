"""A wall clock that is wrong, and everything that does not depend on it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults.fault_kit import FaultKit, counters
from iskra.intercepted_clock import InterceptedClock
from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.lease import Lease
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.scope import Environment
from iskra_sdk.errors import BadInputError
from iskra_sdk.interceptor import Point
from iskra_sdk.testing.manual_clock import ManualClock


@pytest.mark.parametrize("seconds", [-120.0, 45.0])
async def test_everybody_is_told_the_wrong_time(kit: FaultKit, seconds: float) -> None:
    before = kit.kernel.clock.now()
    fault = await kit.inject(Point.CLOCK, "skew", parameters={"seconds": seconds})
    taken = counters(fault)[0]
    told = kit.kernel.clock.now()
    assert abs(told - before - timedelta(seconds=seconds)) < timedelta(seconds=30)
    assert counters(fault) == (taken + 1, taken + 1, taken + 1)
    kit.board.clear(fault.id)
    assert abs(kit.kernel.clock.now() - before) < timedelta(seconds=30)


async def test_a_clock_that_is_off_by_nothing_is_applied_and_not_observed(kit: FaultKit) -> None:
    fault = await kit.inject(Point.CLOCK, "skew", parameters={"seconds": 0})
    kit.kernel.clock.now()
    requested, applied, observed = counters(fault)
    assert (requested, observed) == (applied, 0)
    assert applied


async def test_turns_go_on_under_a_wrong_clock(kit: FaultKit) -> None:
    await kit.inject(Point.CLOCK, "skew", parameters={"seconds": -120})
    assert (await kit.ask("hello"))[-1].type == "turn.completed"


async def test_a_clock_cannot_be_wrong_for_some_sessions(kit: FaultKit) -> None:
    with pytest.raises(BadInputError):
        await kit.inject(Point.CLOCK, "skew", scope={"sessions": ["one"]})
    with pytest.raises(BadInputError):
        await kit.inject(Point.CLOCK, "skew", scope={"share": 0.5})


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(-(10**8), 10**8)), max_size=20))
def test_jumps_of_the_wall_clock_change_nothing_about_a_lease(steps: list[tuple[float, int]]) -> None:
    steady, jumping = ManualClock(), ManualClock()
    one, other = Lease(steady, 10.0), Lease(jumping, 10.0)
    for seconds, jump in steps:
        steady.advance(seconds)
        jumping.advance(seconds)
        jumping.set_now(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=jump))
        assert (one.state, one.remaining, one.age) == (other.state, other.remaining, other.age)
        assert one.heartbeat() is other.heartbeat()


def test_what_people_are_shown_follows_their_clock() -> None:
    clock = ManualClock()
    lease = Lease(clock, 10.0)
    clock.set_now(datetime(2030, 6, 1, tzinfo=UTC))
    assert lease.expires_at == datetime(2030, 6, 1, 0, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize("end", ["expire", "clear", "kill"])
async def test_a_fault_of_the_clock_lives_by_the_clock_it_falsifies(end: str) -> None:
    real, points = ManualClock(), Points()
    clock = InterceptedClock(real, points.slot(Point.CLOCK))
    board = FaultBoard(clock, start=lambda _job: None, environment=Environment.TEST)
    spec = {"point": "clock", "kind": "skew", "parameters": {"seconds": 90}, "ttl": 10.0}
    fault = board.add(FaultSpec.model_validate(spec))
    points.rebuild([Owned(interceptor, "chaos", 1) for interceptor in board.interceptors()])
    assert clock.now() == real.now() + timedelta(seconds=90)
    assert fault.lease.remaining == 10.0
    if end == "expire":
        real.advance(10.0)
    elif end == "clear":
        board.clear(fault.id)
    else:
        board.clear_all()
    assert clock.now() == real.now()
    assert fault.lease.expires_at == real.now(), "an ended fault is told in right time"
