import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.experiments.undo import UndoStack, to_the_end


@given(st.lists(st.booleans(), max_size=8))
def test_everything_is_taken_back_once_and_the_latest_first(works: list[bool]) -> None:
    done: list[int] = []
    stack = UndoStack()

    def entry(number: int, succeeds: bool) -> None:
        async def undo() -> None:
            done.append(number)
            if not succeeds:
                raise RuntimeError(f"no {number}")

        stack.push(f"n{number}", undo)

    for number, succeeds in enumerate(works):
        entry(number, succeeds)

    async def twice() -> None:
        records = await stack.unwind()
        assert [record.succeeded for record in records] == works[::-1]
        assert await stack.unwind() == []

    asyncio.run(twice())
    assert done == list(range(len(works)))[::-1]


async def test_an_entry_that_hangs_does_not_hold_up_the_others() -> None:
    stack, done = UndoStack(), []

    async def first() -> None:
        done.append("first")

    stack.push("first", first)
    stack.push("hangs", asyncio.Event().wait, timeout=0.01)
    records = await stack.unwind()
    assert [(record.name, record.succeeded) for record in records] == [("hangs", False), ("first", True)]
    assert "longer than 0.01 s" in records[0].error
    assert done == ["first"]


async def test_what_must_not_be_cut_short_is_not() -> None:
    began, may_end, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        began.set()
        await may_end.wait()
        done.append("done")

    async def outer() -> bool:
        return await to_the_end(work())

    task = asyncio.ensure_future(outer())
    await began.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    may_end.set()
    assert await task is True
    assert done == ["done"]


async def test_an_error_of_the_work_is_passed_on() -> None:
    async def work() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await to_the_end(work())
