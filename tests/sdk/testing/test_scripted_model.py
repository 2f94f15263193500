import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from iskra_sdk.errors import LLMError, ProviderProtocolError, ProviderUnavailableError
from iskra_sdk.llm import LLMAnswer, LLMChunk, LLMProvider, LLMRequest, Usage
from iskra_sdk.message import Message, ToolCall
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.provider_conformance import TEXT, ProviderConformance, Scenario
from iskra_sdk.testing.scripted_model import Pause, Reply, ScriptedModel

REQUEST = LLMRequest((Message.user("hi"),))

SCENARIOS: dict[Scenario, Reply] = {
    Scenario.TEXT: TEXT,
    Scenario.TOOL_CALLS: (
        ToolCall("call_1", "weather", '{"city":"Paris"}'),
        ToolCall("call_2", "weather", '{"city":"Rome"}'),
    ),
    Scenario.ENDLESS: ("once ", Pause()),
    Scenario.SILENT: Pause(),
    Scenario.FAILING: ProviderUnavailableError("away"),
}


class TestScriptedModel(ProviderConformance):
    @asynccontextmanager
    async def open_provider(self, scenario: Scenario) -> AsyncIterator[tuple[LLMProvider, str]]:
        yield ScriptedModel(SCENARIOS[scenario], repeat=True), "any"

    async def wait_until_stopped(self, provider: LLMProvider) -> None:
        assert cast("ScriptedModel", provider).abandoned == 1


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedModel("one two", LLMAnswer(Message.assistant("three"), usage=Usage(3, 4)))
    model.add(lambda request: request.messages[-1].text.upper())
    first = await model.complete(REQUEST, "a")
    second = await model.complete(REQUEST, "b")
    third = await model.complete(REQUEST, "c")
    assert [answer.message.text for answer in (first, second, third)] == ["one two", "three", "HI"]
    assert second.usage == Usage(3, 4)
    assert model.requests == [REQUEST] * 3
    assert model.models_asked == ["a", "b", "c"]
    assert model.remaining == 0
    with pytest.raises(LLMError, match="no reply left for request 4"):
        await model.complete(REQUEST, "d")


async def test_pauses_run_on_the_clock() -> None:
    clock = ManualClock()
    model = ScriptedModel(["a", Pause(5), "b"], clock=clock)
    task = asyncio.create_task(model.complete(REQUEST, "a"))
    await clock.until_sleeping()
    assert not task.done()
    clock.advance(5)
    assert (await task).message.text == "ab"


async def test_a_script_of_chunks_is_streamed_as_it_is() -> None:
    model = ScriptedModel([LLMChunk(text="cut")])
    with pytest.raises(ProviderProtocolError):
        await model.complete(REQUEST, "a")


async def test_an_error_comes_at_its_place_and_a_coroutine_may_answer() -> None:
    async def think(request: LLMRequest) -> Reply:
        return ["well", ProviderUnavailableError("gone")]

    model = ScriptedModel(think)
    stream = model.stream(REQUEST, "a")
    assert (await anext(stream)).text == "well"
    with pytest.raises(ProviderUnavailableError):
        await anext(stream)


async def test_a_reply_of_a_wrong_type_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="int"):
        await ScriptedModel(cast("Reply", 3)).complete(REQUEST, "a")
