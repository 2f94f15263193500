"""What a turn leaves behind: nothing that only the garbage collector could free."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from iskra_sdk.agent import Agent
from iskra_sdk.session_store import SessionStore
from iskra_sdk.testing.scripted_model import Pause
from iskra_sdk.tool import ToolContext, tool
from iskra_sdk.turn import Turn, TurnEvent
from turn_kit import ALICE, call, turn_kit, types


class Remembered(Agent):
    """Notes which turns it answered, without holding them."""

    name = "remembered"
    tools = ("*",)

    def __init__(self) -> None:
        self.turns: list[weakref.ref[Turn]] = []

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        self.turns.append(weakref.ref(turn))
        async for event in super().run(turn):
            yield event


@tool(risk="read")
async def look(context: ToolContext) -> str:
    """Look, and tell of it."""
    await context.progress("looking")
    return "seen"


@contextmanager
def no_collector() -> Iterator[None]:
    """Switch the collector off; what is garbage before is gone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def until_freed(agent: Remembered) -> None:
    """Wait until nothing holds the turn any more."""
    assert len(agent.turns) == 1
    async with asyncio.timeout(10):
        while agent.turns[0]() is not None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "replies",
    [
        ("An answer.",),
        ((call("look"),), "An answer."),
        ((call("look", call_id="c1"), call("look", call_id="c2")), "An answer."),
    ],
    ids=["answer", "tool", "tools side by side"],
)
async def test_a_turn_is_freed_without_the_collector(store: SessionStore, replies: tuple[object, ...]) -> None:
    agent = Remembered()
    async with turn_kit(store, *replies, tools=[look], agents=[agent]) as kit:
        with no_collector():
            assert types(await kit.ask("go", model="agent:remembered"))[-1] == "turn.completed"
            await until_freed(agent)


async def test_a_turn_that_was_cancelled_is_freed_without_the_collector(store: SessionStore) -> None:
    agent = Remembered()
    async with turn_kit(store, ["some ", Pause()], agents=[agent]) as kit:
        with no_collector():
            record = await kit.turns.start(ALICE, None, "go", model="agent:remembered")
            await kit.until(record, "message.delta")
            await kit.turns.cancel(ALICE, record.id, "enough")
            await until_freed(agent)
