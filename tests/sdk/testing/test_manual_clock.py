import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from iskra_sdk.testing.manual_clock import ManualClock


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3.0, 1.0, 2.0):
            tasks.create_task(sleep(seconds))
        await clock.until_sleeping(3)
        clock.advance(2.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == [1.0, 2.0]
        assert clock.sleepers == 1
        clock.advance(0.5)
    assert woken == [1.0, 2.0, 3.0]


async def test_both_times_advance_and_only_the_wall_clock_jumps() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    clock = ManualClock(start)
    clock.advance(60)
    assert clock.now() == start + timedelta(minutes=1)
    assert clock.monotonic() == 60
    clock.set_now(start - timedelta(days=1))
    assert clock.monotonic() == 60
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping()
    task.cancel()
    await asyncio.wait([task])
    assert clock.sleepers == 0
    clock.advance(1)


async def test_waiting_for_sleepers_that_never_come_ends() -> None:
    with pytest.raises(TimeoutError):
        await ManualClock().until_sleeping(timeout=0.01)
