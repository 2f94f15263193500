import asyncio
from typing import NoReturn

import pytest

from iskra.llm.deadlines import Deadlines


async def forever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("a future that nobody resolves was resolved")


async def soon() -> str:
    await asyncio.sleep(0)
    return "done"


async def test_a_call_in_time_returns_its_result() -> None:
    deadlines = Deadlines()
    assert await deadlines.within(5, soon()) == "done"
    assert not deadlines._waits


async def test_each_call_ends_at_its_own_deadline() -> None:
    deadlines = Deadlines()
    ended: list[float] = []

    async def call(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await deadlines.within(seconds, forever())
        ended.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (0.03, 0.01, 0.05, 0.02):
            tasks.create_task(call(seconds))
        assert await deadlines.within(5, soon()) == "done"
    assert ended == [0.01, 0.02, 0.03, 0.05]
    assert not deadlines._waits


async def test_the_task_goes_on_after_a_deadline_as_if_never_cancelled() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError):
        await deadlines.within(0.01, forever())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_cancellation_from_outside_passes() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(deadlines.within(5, forever()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_cancellation_from_outside_is_not_taken_for_the_deadline() -> None:
    deadlines = Deadlines()

    async def cancelled_twice() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            task.cancel()
            raise

    task = asyncio.create_task(deadlines.within(0.01, cancelled_twice()))
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_call_that_swallows_its_cancellation_is_late_all_the_same() -> None:
    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "too late"

    with pytest.raises(TimeoutError):
        await Deadlines().within(0.01, stubborn())


async def test_what_a_call_raises_passes() -> None:
    async def failing() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await Deadlines().within(5, failing())
