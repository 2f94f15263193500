"""Turns: from a message to a committed answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from pydantic import BaseModel

from iskra.settings import LimitSettings
from iskra_sdk.agent import Agent
from iskra_sdk.errors import (
    IdempotencyConflictError,
    InputTooLargeError,
    LLMError,
    QueueFullError,
    SessionNotFoundError,
    UnknownModelError,
)
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message
from iskra_sdk.session_store import SessionStore
from iskra_sdk.testing.scripted_model import Pause
from iskra_sdk.tool import ToolContext, tool
from iskra_sdk.turn import Turn, TurnEvent
from iskra_sdk.untrusted import mark
from turn_kit import ALICE, BOB, call, shown_text, turn_kit, types


@tool(risk="read")
async def double(number: int) -> int:
    """Double a number."""
    return number * 2


async def test_answer_is_streamed_then_committed_as_one_message(store: SessionStore) -> None:
    async with turn_kit(store, "Hello there, Alice") as kit:
        events = await kit.ask("hi")
        assert types(events) == ["session.created", "turn.started", "message.completed", "turn.completed"]
        assert shown_text(events) == "Hello there, Alice"
        session_id = events[0].session_id
        assert session_id is not None
        stored = await store.messages(ALICE, session_id)
        assert [(message.message.role, message.message.text) for message in stored] == [
            ("user", "hi"),
            ("assistant", "Hello there, Alice"),
        ]
        assert [event.seq for event in events] == sorted({event.seq for event in events})


async def test_tool_loop_gives_the_result_back_to_the_model(store: SessionStore) -> None:
    async with turn_kit(store, call("double", '{"number": 21}'), "It is 42.", tools=[double]) as kit:
        events = await kit.ask("double 21")
        assert types(events)[2:] == [
            "message.completed",
            "tool.requested",
            "tool.started",
            "tool.completed",
            "message.completed",
            "turn.completed",
        ]
        last_request = kit.model.requests[-1]
        assert [message.role for message in last_request.messages] == ["system", "user", "assistant", "tool"]
        assert last_request.messages[-1].text == mark("42", "double")


async def test_next_turn_sees_the_conversation_so_far(store: SessionStore) -> None:
    async with turn_kit(store, call("double", '{"number": 1}'), "two", "again", tools=[double]) as kit:
        first = await kit.turns.start(ALICE, None, "one", model="agent:helper")
        await kit.finish(first)
        await kit.ask("more", session_id=first.session_id)
        seen = [(message.role, message.text) for message in kit.model.requests[-1].messages[1:]]
        assert seen == [
            ("user", "one"),
            ("assistant", ""),
            ("tool", mark("2", "double")),
            ("assistant", "two"),
            ("user", "more"),
        ]
    async with turn_kit(store, "after a restart") as kit:
        await kit.ask("and more", session_id=first.session_id)
        roles = [message.role for message in kit.model.requests[-1].messages]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "user"]


async def test_messages_wait_while_a_turn_runs_and_keep_their_order(store: SessionStore) -> None:
    gate = asyncio.Event()

    async def slow(_request: LLMRequest) -> str:
        await gate.wait()
        return "first"

    async with turn_kit(store, slow, "second", "third", limits=LimitSettings(queued_turns=2)) as kit:
        first = await kit.turns.start(ALICE, None, "1", model="agent:helper")
        second = await kit.turns.start(ALICE, first.session_id, "2", model="agent:helper")
        third = await kit.turns.start(ALICE, first.session_id, "3", model="agent:helper")
        assert (second.state, third.state) == ("queued", "queued")
        with pytest.raises(QueueFullError):
            await kit.turns.start(ALICE, first.session_id, "4", model="agent:helper")
        gate.set()
        await kit.finish(third)
        stored = await store.messages(ALICE, first.session_id)
        assert [message.message.text for message in stored] == ["1", "first", "2", "second", "3", "third"]


async def test_queued_turn_can_be_cancelled_before_it_runs(store: SessionStore) -> None:
    gate = asyncio.Event()

    async def slow(_request: LLMRequest) -> str:
        await gate.wait()
        return "first"

    async with turn_kit(store, slow, "third") as kit:
        first = await kit.turns.start(ALICE, None, "1", model="agent:helper")
        second = await kit.turns.start(ALICE, first.session_id, "2", model="agent:helper")
        third = await kit.turns.start(ALICE, first.session_id, "3", model="agent:helper")
        await kit.turns.cancel(ALICE, second.id)
        gate.set()
        await kit.finish(third)
        assert await kit.turn_state(second.id) == "cancelled"
        assert len(kit.model.requests) == 2


async def test_cancel_stops_the_model_call(store: SessionStore) -> None:
    async with turn_kit(store, ["some ", Pause()]) as kit:
        record = await kit.turns.start(ALICE, None, "go", model="agent:helper")
        await kit.until(record, "message.delta")
        async with asyncio.timeout(30):
            await kit.turns.cancel(ALICE, record.id, "enough")
        events = await kit.finish(record)
        assert events[-1].type == "turn.cancelled"
        assert events[-1].data["reason"] == "enough"
        assert kit.model.abandoned == 1


async def test_turn_goes_on_when_nobody_listens(store: SessionStore) -> None:
    async with turn_kit(store, "unheard") as kit:
        record = await kit.turns.start(ALICE, None, "hi", model="agent:helper")
        events = await kit.finish(record)
        late = await kit.events_of(record, after=0)
        assert [event.seq for event in late if event.type != "message.delta"] == [
            event.seq for event in events if event.type != "message.delta"
        ]
        assert shown_text(late) == "unheard"


async def test_failed_model_call_fails_the_turn_and_says_why(store: SessionStore) -> None:
    async with turn_kit(store, ["half an ans", LLMError("the upstream burnt down")]) as kit:
        events = await kit.ask("hi")
        assert events[-1].type == "turn.failed"
        assert "burnt down" in str(events[-1].data["message"])
        assert "message.completed" not in types(events)


async def test_raising_agent_fails_its_turn_and_is_counted(store: SessionStore) -> None:
    class Broken(Agent):
        name = "broken"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            yield "so far "
            raise SystemExit("bye")

    async with turn_kit(store, agents=[Broken()]) as kit:
        events = await kit.ask("hi", model="agent:broken")
        assert events[-1].type == "turn.failed"
        assert events[-1].data["code"] == "agent_failed"
        assert "bye" not in str(events[-1].data)
        assert [plugin for plugin, _ in kit.failures] == ["tests"]


async def test_agents_own_text_is_a_message(store: SessionStore) -> None:
    class Parrot(Agent):
        name = "parrot"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            for word in turn.input.text.split():
                yield f"{word} "

    async with turn_kit(store, agents=[Parrot()]) as kit:
        events = await kit.ask("pretty polly", model="agent:parrot")
        assert shown_text(events) == "pretty polly "
        completed = next(event for event in events if event.type == "message.completed")
        assert completed.data["text"] == "pretty polly "


async def test_agent_hands_over(store: SessionStore) -> None:
    class Front(Agent):
        name = "front"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            async for event in turn.hand_off("helper"):
                yield event

    async with turn_kit(store, "from the helper", agents=[Front()]) as kit:
        record = await kit.turns.start(ALICE, None, "hi", model="agent:front")
        events = await kit.finish(record)
        switched = next(event for event in events if event.type == "agent.switched")
        assert switched.data == {"from": "front", "to": "helper", "reason": ""}
        assert (await store.turn(ALICE, record.id)).agent == "helper"


async def test_endless_handing_over_is_cut(store: SessionStore) -> None:
    class Ping(Agent):
        name = "ping"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            async for event in turn.hand_off("pong"):
                yield event

    class Pong(Agent):
        name = "pong"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            async for event in turn.hand_off("ping"):
                yield event

    async with turn_kit(store, agents=[Ping(), Pong()]) as kit:
        events = await kit.ask("hi", model="agent:ping")
        assert events[-1].type == "turn.failed"
        assert "handed over" in str(events[-1].data["message"])


async def test_structured_context_is_kept_with_the_session(store: SessionStore) -> None:
    class Count(BaseModel):
        turns: int = 0

    class Counter(Agent):
        name = "counter"
        context_model: ClassVar[type[BaseModel] | None] = Count

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            assert isinstance(turn.context, Count)
            turn.context.turns += 1
            yield str(turn.context.turns)

    async with turn_kit(store, agents=[Counter()]) as kit:
        first = await kit.turns.start(ALICE, None, "a", model="agent:counter")
        await kit.finish(first)
    async with turn_kit(store, agents=[Counter()]) as kit:
        events = await kit.ask("b", session_id=first.session_id, model="agent:counter")
        assert shown_text(events) == "2"


async def test_question_waits_for_its_answer(store: SessionStore) -> None:
    class Asker(Agent):
        name = "asker"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            colour = await turn.ask("Which colour?", ["red", "blue"])
            yield f"{colour} it is"

    async with turn_kit(store, agents=[Asker()]) as kit:
        record = await kit.turns.start(ALICE, None, "paint", model="agent:asker")
        asked = await kit.until(record, "question.asked")
        assert asked.data["options"] == ["red", "blue"]
        assert await kit.turn_state(record.id) == "waiting_answer"
        with pytest.raises(Exception, match="none of the options"):
            await kit.turns.answer(ALICE, record.session_id, "green")
        with pytest.raises(SessionNotFoundError):
            await kit.turns.answer(BOB, record.session_id, "1")
        await kit.turns.answer(ALICE, record.session_id, "2")
        assert shown_text(await kit.finish(record)) == "blue it is"


async def test_idempotency_key_makes_one_turn_of_many_requests(store: SessionStore) -> None:
    async with turn_kit(store, "opening", "answer") as kit:
        first = await kit.turns.start(ALICE, None, "begin", model="agent:helper")
        await kit.finish(first)
        records = await asyncio.gather(
            *(
                kit.turns.start(ALICE, first.session_id, "do it", model="agent:helper", idempotency_key="k1")
                for _ in range(20)
            )
        )
        assert len({record.id for record in records}) == 1
        with pytest.raises(IdempotencyConflictError):
            await kit.turns.start(ALICE, first.session_id, "other", model="agent:helper", idempotency_key="k1")
        await kit.finish(records[0])
        assert len(await store.turns(ALICE, first.session_id)) == 2


async def test_bad_starts_are_refused_and_leave_nothing(store: SessionStore) -> None:
    async with turn_kit(store, limits=LimitSettings(message_bytes=100)) as kit:
        with pytest.raises(UnknownModelError, match="agent:helper"):
            await kit.turns.start(ALICE, None, "hi", model="agent:nobody")
        with pytest.raises(InputTooLargeError):
            await kit.turns.start(ALICE, None, "x" * 200, model="agent:helper")
        assert await store.sessions(ALICE) == []


async def test_poisonous_text_is_cleaned_at_the_border(store: SessionStore) -> None:
    @tool(risk="read")
    async def poison() -> str:
        """Return text that databases refuse."""
        return "nul \0 surrogate \ud800"

    async with turn_kit(store, call("poison"), ["an\0swer"], tools=[poison]) as kit:
        events = await kit.ask("q\0uestion")
        assert events[-1].type == "turn.completed"
        session_id = events[0].session_id
        assert session_id is not None
        texts = [stored.message.text for stored in await store.messages(ALICE, session_id)]
        assert all("\0" not in text and "\ud800" not in text for text in texts)


async def test_llm_alias_can_be_talked_to_in_a_session(store: SessionStore) -> None:
    async with turn_kit(store, "bare") as kit:
        assert shown_text(await kit.ask("hi", model="llm:default")) == "bare"


async def test_session_may_begin_with_a_history(store: SessionStore) -> None:
    async with turn_kit(store, "yes") as kit:
        history = [Message.user("before"), Message.assistant("indeed")]
        record = await kit.turns.start(ALICE, None, "now", model="agent:helper", history=history)
        await kit.finish(record)
        assert [message.text for message in kit.model.requests[0].messages[1:]] == ["before", "indeed", "now"]
        assert len(await store.messages(ALICE, record.session_id)) == 4


async def test_progress_of_a_tool_is_shown_and_not_kept(store: SessionStore) -> None:
    @tool(risk="read")
    async def slow(context: ToolContext) -> str:
        """Take a while."""
        await context.progress("half way")
        return "done"

    async with turn_kit(store, call("slow"), "ok", tools=[slow]) as kit:
        events = await kit.ask("go")
        assert [event.data["reasoning"] for event in events if "reasoning" in event.data] == ["half way"]
