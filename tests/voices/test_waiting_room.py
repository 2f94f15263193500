"""Who waits for a place: the higher priority first, equals in their order, nobody for ever."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iskra_sdk.errors import BusyError, QueueFullError
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal
from iskra_sdk.testing import PluginHarness, ScriptedModel
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_voices.waiting_room import HEAD_START, MOST_WAITING, WaitingRoom, head_start
from iskra_voices.wire import CollaborationRequest
from plugin_workshop import until
from voices.stage import KAIN, module

ANNA = Principal("anna", permissions=frozenset({"*"}))


async def order_of(priorities: Sequence[float], *, every: float = 0.0, places: int = 1) -> list[int]:
    """Return in which order people got a place who came one after another while all places were taken."""
    clock = ManualClock()
    room, went = WaitingRoom(places, clock), list[int]()
    free = asyncio.Event()

    async def hold() -> None:
        async with room.place(0):
            await free.wait()

    async def come(number: int) -> None:
        async with room.place(priorities[number]):
            went.append(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(places):
            group.create_task(hold())
        await asyncio.sleep(0)
        for number in range(len(priorities)):
            group.create_task(come(number))
            await until(lambda: room.waiting == number + 1)  # noqa: B023  # awaited within the round
            clock.advance(every)
        assert went == []
        free.set()
    assert room.waiting == 0
    return went


async def test_the_higher_priority_goes_first_and_equals_in_their_order() -> None:
    assert await order_of([0.5, 0.0, 9.0, 0.5, 1.0]) == [2, 4, 0, 3, 1]


async def test_who_waited_long_enough_goes_before_any_newcomer() -> None:
    assert await order_of([0.0, 1e9], every=HEAD_START + 1) == [0, 1]
    assert await order_of([0.0, 1e9], every=HEAD_START - 1) == [1, 0]


@given(st.lists(st.floats(0, 1e6), max_size=12), st.sampled_from([0.0, 7.0, 40.0]))
@settings(max_examples=40, deadline=None)
def test_nobody_is_overtaken_by_who_comes_a_head_start_later(priorities: list[float], every: float) -> None:
    went = asyncio.run(order_of(priorities, every=every))
    assert sorted(went) == list(range(len(priorities)))
    for place, number in enumerate(went):
        for later in went[place + 1 :]:
            assert (number - later) * every < HEAD_START  # who goes first came at most so much later
            if later < number:
                assert priorities[later] < priorities[number]


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_more_priority_is_never_worth_less(one: float, other: float) -> None:
    assert 0 <= head_start(one) <= HEAD_START
    assert (head_start(one) <= head_start(other)) or one > other


async def test_who_gives_up_waiting_takes_no_place() -> None:
    room = WaitingRoom(1, ManualClock())

    async def wait() -> None:
        async with room.place(0.5):
            pass

    async with room.place(0):
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await until(lambda: room.waiting == 3)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        assert room.waiting == 2
    waiting[1].cancel()  # its place was given to it already
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not waiting[2].cancelled()
    async with asyncio.timeout(1), room.place(0):
        pass


async def test_the_room_is_bounded() -> None:
    room = WaitingRoom(1, ManualClock())

    async def wait() -> None:
        async with room.place(0):
            pass

    async with asyncio.TaskGroup() as group, room.place(0):
        for _ in range(MOST_WAITING):
            group.create_task(wait())
        await until(lambda: room.waiting == MOST_WAITING)
        with pytest.raises(QueueFullError, match="wait already"):
            async with room.place(9):
                pass
    with pytest.raises(ValueError, match="at least"):
        WaitingRoom(0, ManualClock())


def wanted(task: str, priority: float) -> CollaborationRequest:
    return CollaborationRequest.model_validate(
        {
            "primary_voice": "kain",
            "collaborating_voices": [],
            "collaborative_task": {"content": task, "priority": priority},
            "coordination_protocol": "sequential",
        }
    )


async def test_collaborations_wait_their_turn() -> None:
    free, asked = asyncio.Event(), list[str]()

    async def reply(request: object) -> str:
        asked.append(request.messages[-1].text)  # type: ignore[attr-defined]
        await free.wait()
        return KAIN

    model = ScriptedModel(*[reply] * 40)
    plugin, chosen = module("iskra_voices"), {"collaborations_at_once": 1, "repairs": False}
    async with PluginHarness.open(plugin, model=model, settings=chosen, clock=ManualClock()) as harness:
        working = (await plugin._assembly_of(harness.context).parts()).collaboration
        async with asyncio.TaskGroup() as group:
            first = group.create_task(working.run(ANNA, SessionId(""), wanted("first task", 0.5)))
            await until(lambda: bool(asked))
            for place, (task, priority) in enumerate((("low task", 0.1), ("high task", 0.9), ("even task", 0.1)), 1):
                group.create_task(working.run(ANNA, SessionId(""), wanted(task, priority)))
                await until(lambda: working._waiting.waiting == place)  # noqa: B023  # awaited within the round
            free.set()
        names = [text.partition(" task")[0] for text in asked]
        assert list(dict.fromkeys(names)) == ["first", "high", "low", "even"]
        assert names == sorted(names, key=["first", "high", "low", "even"].index)  # one after another
        assert first.result().waited_seconds == 0


async def test_who_finds_no_place_in_time_is_told() -> None:
    free = asyncio.Event()

    async def reply(_request: object) -> str:
        await free.wait()
        return KAIN

    model = ScriptedModel(*[reply] * 4)
    chosen = {"collaborations_at_once": 1, "repairs": False, "collaboration_seconds": 0.05}
    plugin = module("iskra_voices")
    async with PluginHarness.open(plugin, model=model, settings=chosen) as harness:
        working = (await plugin._assembly_of(harness.context).parts()).collaboration
        async with working._waiting.place(0):
            with pytest.raises(BusyError, match="none ended"):
                await working.run(ANNA, SessionId(""), wanted("a task", 1.0))
        free.set()
        assert working._waiting.waiting == 0
