"""Leases: they run out by themselves, and nothing brings one back."""

import asyncio
import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from iskra_chaos.faults.lease import HEARTBEAT, LONGEST, Lease, LeaseState
from iskra_sdk.clock import SystemClock
from iskra_sdk.testing.manual_clock import ManualClock


class Leases(RuleBasedStateMachine):
    """A lease beside the plain description of one."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.lease = Lease(self.clock, 10.0)
        self.expires = 10.0
        self.state = LeaseState.ACTIVE

    @rule(tenths=st.integers(1, 120))
    def time_goes_by(self, tenths: int) -> None:
        self.clock.advance(tenths / 10)
        if self.state is LeaseState.ACTIVE and self.clock.monotonic() >= self.expires - 1e-6:
            self.state = LeaseState.EXPIRED

    @rule()
    def heartbeat(self) -> None:
        assert self.lease.heartbeat() is (self.state is LeaseState.ACTIVE)
        if self.state is LeaseState.ACTIVE:
            self.expires = min(self.clock.monotonic() + HEARTBEAT, LONGEST)

    @rule(kills=st.booleans())
    def end(self, kills: bool) -> None:
        (self.lease.kill if kills else self.lease.clear)()
        if self.state is LeaseState.ACTIVE:
            self.state = LeaseState.KILLED if kills else LeaseState.CLEARED

    @precondition(lambda self: self.state is LeaseState.ACTIVE)
    @rule()
    def keep_alive_for_long(self) -> None:
        """A runner that never stops."""
        while self.lease.heartbeat():
            self.clock.advance(2.5)
        assert self.clock.monotonic() >= LONGEST - 1e-6
        self.state = LeaseState.EXPIRED

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        assert self.lease.state is self.state
        assert self.lease.is_active is (self.state is LeaseState.ACTIVE)
        assert bool(self.lease.reason) is (self.state is not LeaseState.ACTIVE)
        assert (self.lease.remaining > 0) is self.lease.is_active


TestLeases = Leases.TestCase


@pytest.mark.parametrize("ttl", [0.0, -1.0, LONGEST + 0.1])
def test_a_lease_has_a_bounded_life(ttl: float) -> None:
    with pytest.raises(ValueError, match="a lease lasts"):
        Lease(ManualClock(), ttl)


def test_the_first_heartbeat_arms_the_dead_mans_switch() -> None:
    clock = ManualClock()
    lease = Lease(clock, 60.0)
    assert lease.heartbeat()
    clock.advance(HEARTBEAT)
    assert lease.state is LeaseState.EXPIRED
    assert not lease.heartbeat()


@pytest.mark.parametrize("end", ["clear", "kill"])
async def test_a_wait_ends_with_the_lease(end: str) -> None:
    lease = Lease(SystemClock(), 60.0)
    waits = [asyncio.create_task(lease.wait(50.0)) for _ in range(20)]
    while len(lease._waits) < 20:  # noqa: ASYNC110 - the waits begin at the loop's next step
        await asyncio.sleep(0)
    getattr(lease, end)()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waits) == [False] * 20


async def test_a_lease_is_ended_from_another_thread() -> None:
    lease = Lease(SystemClock(), 60.0)
    wait = asyncio.create_task(lease.wait(50.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    thread = threading.Thread(target=lease.kill)
    thread.start()
    async with asyncio.timeout(5):
        assert not await wait
    thread.join()


async def test_a_wait_ends_when_the_lease_runs_out_and_not_before_if_it_is_renewed() -> None:
    clock = ManualClock()
    lease = Lease(clock, 2.0)
    wait = asyncio.create_task(lease.wait(50.0))
    await clock.until_sleeping()
    clock.advance(1.0)
    lease.heartbeat()
    clock.advance(1.0)  # the lease as it was would be over now
    await clock.until_sleeping()
    assert not wait.done()
    clock.advance(HEARTBEAT - 1.0)
    assert not await wait


async def test_a_wait_that_is_over_in_time_says_so() -> None:
    clock = ManualClock()
    lease = Lease(clock, 10.0)
    wait = asyncio.create_task(lease.wait(0.3))
    await clock.until_sleeping()
    clock.advance(0.3)
    assert await wait
    assert not lease._waits


def test_counters_are_exact_when_threads_count() -> None:
    lease = Lease(ManualClock(), 10.0)

    def count() -> None:
        for number in range(2000):
            lease.count(applied=number % 2 == 0)
            lease.count_observed()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (lease.requested, lease.applied, lease.observed) == (8000, 4000, 8000)
