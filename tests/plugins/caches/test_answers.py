from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

import pytest

from iskra_plugins.caches.answers import Answers, KeptAnswer
from iskra_plugins.caches.cache import Cache
from iskra_sdk import LLMRequest, Message, Risk, Tool, ToolCall, tool
from iskra_sdk.errors import LLMError, StreamInterruptedError
from iskra_sdk.llm import Caller, LLMAnswer, LLMChunk, ToolCallDelta, Usage
from iskra_sdk.testing import ScriptedModel
from plugins.caches.shelf import MemoryShelf, Shelf

M = TypeVar("M")


@tool(risk="read")
async def look() -> str:
    """Look."""
    return "seen"


@tool(risk="write")
async def change() -> str:
    """Change."""
    return "changed"


TOOLS: dict[str, Tool] = {"look": look, "change": change}


class WholeModel:
    """A model that is asked for whole answers, and gives those of the test."""

    def __init__(self, *answers: LLMAnswer | LLMError) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def complete(self, _request: LLMRequest, _model: str) -> LLMAnswer:
        self.asked += 1
        answer = self._answers.pop(0)
        if isinstance(answer, LLMError):
            raise answer
        return answer


class Desk(Generic[M]):
    """A model with a cache in front of it."""

    def __init__(self, model: M, shelf: Shelf | None = None, **options: Any) -> None:
        self.model = model
        self.tools = dict(TOOLS)
        given: dict[str, Any] = {"aliases": frozenset(), "is_shared": False, **options}
        cache: Cache[KeptAnswer] = (shelf or MemoryShelf()).cache(KeptAnswer, seconds=60)
        self.answers = Answers(cache, tools=lambda: self.tools, **given)

    async def complete(self, request: LLMRequest) -> LLMAnswer:
        async def proceed(changed: LLMRequest) -> LLMAnswer:
            return await cast("Any", self.model).complete(changed, "m")  # type: ignore[no-any-return]

        return await self.answers.complete(request, proceed)

    async def chunks(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        async def proceed(changed: LLMRequest) -> AsyncIterator[LLMChunk]:
            stream: AsyncIterator[LLMChunk] = cast("Any", self.model).stream(changed, "m")
            return stream

        stream = await self.answers.stream(request, proceed)
        async with aclosing(cast("Any", stream)):
            async for chunk in stream:
                yield chunk

    async def text(self, request: LLMRequest) -> str:
        return "".join([chunk.text async for chunk in self.chunks(request)])


def request(text: str = "hello", user: str = "anna", model: str = "default", **parameters: object) -> LLMRequest:
    given = {"temperature": 0, **parameters}
    return LLMRequest([Message.user(text)], model=model, parameters=given, caller=Caller(principal_id=user))


async def test_the_same_question_gets_the_same_answer_as_a_stream_and_is_not_paid_twice(shelf: Shelf) -> None:
    desk = Desk(ScriptedModel("one two three", "other"), shelf)
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


async def test_errors_cut_streams_and_abandoned_ones_are_not_kept(shelf: Shelf) -> None:
    failing = Desk(ScriptedModel(StreamInterruptedError("gone", mend="again"), "two"), shelf)
    with pytest.raises(LLMError):
        await failing.text(request())
    assert await failing.text(request()) == "two"
    cut = Desk(ScriptedModel([LLMChunk("half", finish_reason="length")], "whole"), shelf)
    assert [await cut.text(request("cut")), await cut.text(request("cut"))] == ["half", "whole"]
    left = Desk(ScriptedModel("one two three", "four"), shelf)
    async with aclosing(cast("Any", left.chunks(request("left")))) as chunks:
        await anext(chunks)
    assert await left.text(request("left")) == "four"


async def test_what_asks_for_an_effect_is_asked_anew(shelf: Shelf) -> None:
    for name, asked in (("look", 1), ("change", 2), ("unknown", 2)):
        desk = Desk(ScriptedModel(ToolCall("c", name), ToolCall("c", name)), shelf)
        for _ in range(2):
            await desk.text(request(name))
        assert len(desk.model.requests) == asked, name


async def test_an_answer_is_not_given_again_when_its_tool_has_got_an_effect(shelf: Shelf) -> None:
    for is_whole in (False, True):
        desk = Desk(ScriptedModel(ToolCall("c", "look"), "nothing to do"), shelf)
        asked = request(f"{is_whole}")
        if is_whole:
            await desk.complete(asked)
        else:
            await desk.text(asked)
        desk.tools["look"] = replace(look, risk=Risk.WRITE)
        said = (await desk.complete(asked)).message.text if is_whole else await desk.text(asked)
        assert said == "nothing to do"


async def test_answers_grow_old(shelf: Shelf) -> None:
    desk = Desk(ScriptedModel("one", "two"), shelf)
    assert await desk.text(request()) == "one"
    await shelf.age(61)
    assert await desk.text(request()) == "two"


async def test_whole_answers_and_streams_stand_for_each_other(shelf: Shelf) -> None:
    desk = Desk(ScriptedModel("one two three", "four five six"), shelf)
    assert await desk.text(request()) == "one two three"
    whole = await desk.complete(request())
    assert (whole.message.text, whole.finish_reason, whole.usage) == ("one two three", "stop", None)
    assert (await desk.complete(request("other"))).message.text == "four five six"
    assert await desk.text(request("other")) == "four five six"
    assert len(desk.model.requests) == 2


async def test_a_whole_answer_comes_back_as_it_was_and_costs_nothing(shelf: Shelf) -> None:
    body = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hm"}}], "model": "m"}
    message = Message({"role": "assistant", "content": "hm", "refusal": None, "annotations": []})
    given = LLMAnswer(message, usage=Usage(3, 4), reasoning="well", target="p/m", wire=body)
    desk = Desk(WholeModel(given), shelf)
    assert await desk.complete(request()) == given
    kept = await desk.complete(request())
    assert kept == replace(given, usage=None)
    assert kept.wire is not None
    kept.wire["id"] = "changed by whoever passes it on"
    assert (await desk.complete(request())).wire == body
    assert [chunk.reasoning async for chunk in desk.chunks(request())] == ["well", ""]
    assert desk.model.asked == 1


async def test_whole_answers_that_fail_are_cut_or_ask_for_an_effect_are_not_kept(shelf: Shelf) -> None:
    gone = LLMError("gone", mend="again")
    call = Message.assistant("", [ToolCall("c", "change")])
    poor_ones: tuple[LLMAnswer | LLMError, ...] = (
        gone,
        LLMAnswer(Message.assistant("half"), finish_reason="length"),
        LLMAnswer(Message.assistant(""), finish_reason="content_filter"),
        LLMAnswer(call, finish_reason="tool_calls"),
        LLMAnswer(Message.assistant("", [ToolCall("c", "unknown")]), finish_reason="tool_calls"),
        LLMAnswer(Message({"role": "assistant", "content": "no", "refusal": "I will not."})),
        LLMAnswer(Message({"role": "assistant", "content": [{"type": "text", "text": "in parts"}]})),
    )
    for number, poor in enumerate(poor_ones):
        desk = Desk(WholeModel(poor, LLMAnswer(Message.assistant("good"))), shelf)
        asked = request(f"{number}")
        if poor is gone:
            with pytest.raises(LLMError):
                await desk.complete(asked)
        else:
            assert await desk.complete(asked) == poor
        assert (await desk.complete(asked)).message.text == "good"
        assert (await desk.complete(asked)).message.text == "good"
    reading = LLMAnswer(Message.assistant("", [ToolCall("c", "look", '{"a":1}')]), finish_reason="tool_calls")
    desk = Desk(WholeModel(reading), shelf)
    assert await desk.complete(request("look")) == await desk.complete(request("look")) == reading
    (first, _) = [chunk async for chunk in desk.chunks(request("look"))]
    assert first.tool_calls == (ToolCallDelta(0, "c", "look", '{"a":1}'),)


async def test_whole_answers_are_kept_only_where_streams_would_be(shelf: Shelf) -> None:
    desk = Desk(ScriptedModel(*"12345678"), shelf)

    async def whole(asked: LLMRequest) -> str:
        return (await desk.complete(asked)).message.text

    assert [await whole(request(temperature=1)) for _ in range(2)] == ["1", "2"]
    assert [await whole(request()), await whole(request(user="boris")), await whole(request())] == ["3", "4", "3"]
    # What has more to it than text is not taken from a stream, nor the other way round.
    assert [await whole(request(logprobs=True)), await desk.text(request(logprobs=True))] == ["5", "6"]
    assert [await whole(request(logprobs=True)), await desk.text(request(logprobs=True))] == ["5", "6"]
