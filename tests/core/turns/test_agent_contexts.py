"""Structured contexts: noted from tool calls, stored with the session, versioned."""

from collections.abc import AsyncIterator

from pydantic import BaseModel, Field

from iskra_sdk.agent import Agent
from iskra_sdk.message import ToolCall, ToolResult
from iskra_sdk.session_store import SessionStore
from iskra_sdk.tool import tool
from iskra_sdk.turn import Turn, TurnEvent
from turn_kit import ALICE, BOB, call, turn_kit


@tool(risk="read")
async def look(at: str) -> str:
    """Look at something."""
    if at == "nothing":
        raise RuntimeError("nothing to see")
    return f"saw {at}"


class Seen(BaseModel):
    things: list[str] = Field(default_factory=list)


class Watcher(Agent):
    name = "watcher"
    tools = ("look",)
    context_model = Seen

    def observe(self, context: Seen, call: ToolCall, result: ToolResult) -> None:
        context.things.append(f"{call.name}: {result.content[:20]}")


class Guide(Agent):
    """Hands every turn over, and remembers what came of it."""

    name = "guide"
    context_model = Seen

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        async for event in turn.hand_off("watcher"):
            yield event

    def observe(self, context: Seen, call: ToolCall, result: ToolResult) -> None:
        context.things.append("heard of it")


class Clumsy(Watcher):
    name = "clumsy"

    def observe(self, context: Seen, call: ToolCall, result: ToolResult) -> None:
        raise ValueError("dropped it")


async def test_every_agent_of_the_turn_notes_in_its_own_context(store: SessionStore) -> None:
    steps = [
        call("look", '{"at": "a"}'),
        call("look", '{"at": "nothing"}'),
        "done",
        call("look", '{"at": "b"}'),
        "done",
    ]
    async with turn_kit(store, *steps, tools=[look], agents=[Watcher(), Guide()]) as kit:
        first = await kit.turns.start(ALICE, None, "go", model="agent:guide")
        await kit.finish(first)
        stored = (await store.session(ALICE, first.session_id)).contexts
        assert stored == {
            "guide": {"version": 1, "value": {"things": ["heard of it"] * 2}},
            "watcher": {"version": 1, "value": {"things": ["look: saw a", "look: The tool 'look' fail"]}},
        }
        await kit.finish(await kit.turns.start(ALICE, first.session_id, "go on", model="agent:watcher"))
        stored = (await store.session(ALICE, first.session_id)).contexts
        assert stored["watcher"]["version"] == 2  # type: ignore[index]
        assert stored["watcher"]["value"]["things"][-1] == "look: saw b"  # type: ignore[index]
        assert stored["guide"]["version"] == 1  # type: ignore[index]


async def test_a_turn_that_fails_keeps_what_was_noted(store: SessionStore) -> None:
    async with turn_kit(store, *[call("look", '{"at": "a"}')] * 5, tools=[look], agents=[Watcher()]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:watcher")
        assert (await kit.finish(record))[-1].type == "turn.failed"
        stored = (await store.session(ALICE, record.session_id)).contexts
        assert len(stored["watcher"]["value"]["things"]) == 4  # type: ignore[index]


async def test_an_agent_that_cannot_note_is_counted_and_the_turn_goes_on(store: SessionStore) -> None:
    async with turn_kit(store, call("look", '{"at": "a"}'), "done", tools=[look], agents=[Clumsy()]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:clumsy")
        assert (await kit.finish(record))[-1].type == "turn.completed"
        assert [str(error) for _, error in kit.failures] == ["dropped it"]


async def test_the_view_shows_what_the_next_model_call_would_hold(store: SessionStore) -> None:
    async with turn_kit(store, call("look", '{"at": "a"}'), "done", tools=[look], agents=[Watcher()]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:watcher")
        await kit.finish(record)
        view = await kit.turns.view_context(ALICE, record.session_id)
        assert (view["agent"], view["tools"], view["left_out"]) == ("watcher", ["look"], 0)
        messages = view["messages"]
        assert isinstance(messages, list)
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
        assert messages[1]["tool_calls"] == [{"name": "look", "arguments": '{"at": "a"}'}]


async def test_a_foreign_context_is_not_shown(store: SessionStore) -> None:
    import pytest

    from iskra_sdk.errors import SessionNotFoundError

    async with turn_kit(store, "hi") as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.finish(record)
        with pytest.raises(SessionNotFoundError):
            await kit.turns.view_context(BOB, record.session_id)
