from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest

from iskra_plugins.caches.answers import Answers, KeptAnswer
from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_sdk import LLMRequest, Message, Tool, ToolCall, tool
from iskra_sdk.errors import LLMError, StreamInterruptedError
from iskra_sdk.llm import Caller, LLMChunk
from iskra_sdk.testing import ManualClock, ScriptedModel


@tool(risk="read")
async def look() -> str:
    """Look."""
    return "seen"


@tool(risk="write")
async def change() -> str:
    """Change."""
    return "changed"


TOOLS: dict[str, Tool] = {"look": look, "change": change}


class Desk:
    """A model with a cache in front of it."""

    def __init__(self, model: ScriptedModel, **options: Any) -> None:
        self.model = model
        self.clock = ManualClock()
        given: dict[str, Any] = {"aliases": frozenset(), "is_shared": False, **options}
        cache: BoundedCache[KeptAnswer] = BoundedCache(self.clock, most_bytes=1_000_000, seconds=60)
        self.answers = Answers(cache, tools=lambda: TOOLS, **given)

    async def chunks(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        async def proceed(changed: LLMRequest) -> AsyncIterator[LLMChunk]:
            return self.model.stream(changed, "m")

        stream = await self.answers.stream(request, proceed)
        async with aclosing(cast("Any", stream)):
            async for chunk in stream:
                yield chunk

    async def text(self, request: LLMRequest) -> str:
        return "".join([chunk.text async for chunk in self.chunks(request)])


def request(text: str = "hello", user: str = "anna", model: str = "default", **parameters: object) -> LLMRequest:
    given = {"temperature": 0, **parameters}
    return LLMRequest([Message.user(text)], model=model, parameters=given, caller=Caller(principal_id=user))


async def test_the_same_question_gets_the_same_answer_as_a_stream_and_is_not_paid_twice() -> None:
    desk = Desk(ScriptedModel("one two three", "other"))
    first = [chunk async for chunk in desk.chunks(request())]
    again = [chunk async for chunk in desk.chunks(request())]
    assert len(again) == len(first) > 2
    assert "".join(chunk.text for chunk in again) == "one two three"
    assert [chunk.finish_reason for chunk in again if chunk.finish_reason] == ["stop"]
    assert any(chunk.usage for chunk in first)
    assert not any(chunk.usage for chunk in again)
    assert len(desk.model.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        request("hello!"),
        request(user="boris"),
        request(model="fast"),
        request(max_tokens=5),
        request(response_format={"type": "json_object"}),
        LLMRequest([Message.system("Be brief."), Message.user("hello")], parameters={"temperature": 0}),
        LLMRequest([Message.user("hello")], tools=[look.spec], parameters={"temperature": 0}),
    ],
)
async def test_everything_that_decides_the_answer_counts(other: LLMRequest) -> None:
    desk = Desk(ScriptedModel("one", "two"))
    assert await desk.text(request()) == "one"
    assert await desk.text(other) == "two"


async def test_only_temperature_0_or_a_named_alias_is_kept() -> None:
    for asked in (request(temperature=0.5), request(temperature=None), LLMRequest([Message.user("hello")])):
        desk = Desk(ScriptedModel("one", "two"))
        assert [await desk.text(asked), await desk.text(asked)] == ["one", "two"]
    desk = Desk(ScriptedModel("one", "two"), aliases=frozenset({"default"}))
    assert [await desk.text(request(temperature=1)), await desk.text(request(temperature=1))] == ["one", "one"]
    shared = Desk(ScriptedModel("one", "two"), is_shared=True)
    assert [await shared.text(request()), await shared.text(request(user="boris"))] == ["one", "one"]


async def test_errors_cut_streams_and_abandoned_ones_are_not_kept() -> None:
    failing = Desk(ScriptedModel(StreamInterruptedError("gone", mend="again"), "two"))
    with pytest.raises(LLMError):
        await failing.text(request())
    assert await failing.text(request()) == "two"
    cut = Desk(ScriptedModel([LLMChunk("half", finish_reason="length")], "whole"))
    assert [await cut.text(request()), await cut.text(request())] == ["half", "whole"]
    left = Desk(ScriptedModel("one two three", "four"))
    async with aclosing(cast("Any", left.chunks(request()))) as chunks:
        await anext(chunks)
    assert await left.text(request()) == "four"


async def test_what_asks_for_an_effect_is_asked_anew() -> None:
    for name, asked in (("look", 1), ("change", 2), ("unknown", 2)):
        desk = Desk(ScriptedModel(ToolCall("c", name), ToolCall("c", name)))
        for _ in range(2):
            await desk.text(request())
        assert len(desk.model.requests) == asked, name


async def test_answers_grow_old_and_whole_calls_read_them() -> None:
    desk = Desk(ScriptedModel("one", "two"))
    assert await desk.text(request()) == "one"

    async def never(_: LLMRequest) -> object:
        raise AssertionError("the model was asked")

    assert (await desk.answers.complete(request(), never)).message.text == "one"
    desk.clock.advance(61)
    assert await desk.text(request()) == "two"
