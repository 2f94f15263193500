"""What every provider of model answers must do; run it over yours.

Example::

    class TestMyProvider(ProviderConformance):
        @asynccontextmanager
        async def open_provider(self, scenario):
            async with an_upstream_that(scenario) as url:
                yield MyProvider(url), "some-model"
"""
# ruff: noqa: S101, D102 - a suite of tests is made of assertions, and the names of its tests say what they mean

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum

from iskra_sdk.errors import LLMError
from iskra_sdk.llm import AnswerBuilder, LLMAnswer, LLMChunk, LLMProvider, LLMRequest, ToolSpec
from iskra_sdk.message import Message

PATIENCE = 5.0
"""Seconds a call may take before the test fails."""

TEXT = "It is sunny in Paris. Привет! 🌞"
"""What the model says in the scenario ``TEXT``."""

REQUEST = LLMRequest(
    (Message.system("Be brief."), Message.user("What is the weather in Paris? Привет")),
    tools=(
        ToolSpec(
            "weather",
            "Tell the weather.",
            {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        ),
    ),
    parameters={"temperature": 0, "max_tokens": 100},
)


class Scenario(StrEnum):
    """What the source of the answers does."""

    TEXT = "text"
    """Answers with the text :data:`TEXT`."""
    TOOL_CALLS = "tool_calls"
    """Calls ``weather`` twice, with ``{"city":"Paris"}`` and ``{"city":"Rome"}``."""
    ENDLESS = "endless"
    """Begins to answer and never ends."""
    SILENT = "silent"
    """Never begins."""
    FAILING = "failing"
    """Cannot answer."""


class ProviderConformance(ABC):
    """The promises of :class:`~iskra_sdk.llm.LLMProvider` as tests for pytest with the anyio plugin."""

    @abstractmethod
    def open_provider(self, scenario: Scenario) -> AbstractAsyncContextManager[tuple[LLMProvider, str]]:
        """Return a provider whose source behaves like the scenario, and the model to ask."""

    @abstractmethod
    async def wait_until_stopped(self, provider: LLMProvider) -> None:
        """Return when the call that was made has ended at its source."""

    async def test_a_stream_has_one_finish_reason(self) -> None:
        for scenario, reason in ((Scenario.TEXT, "stop"), (Scenario.TOOL_CALLS, "tool_calls")):
            async with self.open_provider(scenario) as (provider, model):
                chunks = await _chunks(provider, model)
            reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
            assert reasons == [reason], f"{scenario}: exactly one chunk has the finish reason, not {reasons}"

    async def test_a_stream_carries_the_text(self) -> None:
        async with self.open_provider(Scenario.TEXT) as (provider, model):
            chunks = await _chunks(provider, model)
        assert "".join(chunk.text for chunk in chunks) == TEXT

    async def test_a_whole_answer_equals_the_joined_stream(self) -> None:
        for scenario in (Scenario.TEXT, Scenario.TOOL_CALLS):
            async with self.open_provider(scenario) as (provider, model):
                builder = AnswerBuilder()
                for chunk in await _chunks(provider, model):
                    builder.add(chunk)
            async with self.open_provider(scenario) as (provider, model):
                async with asyncio.timeout(PATIENCE):
                    whole = await provider.complete(REQUEST, model)
            joined = builder.build()
            assert _essence(whole) == _essence(joined), f"{scenario}: both ways must give the same answer"

    async def test_tool_calls_arrive_whole_and_in_order(self) -> None:
        async with self.open_provider(Scenario.TOOL_CALLS) as (provider, model):
            answer = await provider.complete(REQUEST, model)
        calls = answer.message.tool_calls
        assert [call.name for call in calls] == ["weather", "weather"]
        assert [call.arguments for call in calls] == ['{"city":"Paris"}', '{"city":"Rome"}']
        assert len({call.id for call in calls}) == 2, "each call has an id of its own"

    async def test_usage_is_told_at_most_once(self) -> None:
        async with self.open_provider(Scenario.TEXT) as (provider, model):
            chunks = await _chunks(provider, model)
        assert sum(chunk.usage is not None for chunk in chunks) <= 1

    async def test_closing_a_stream_stops_the_call(self) -> None:
        async with self.open_provider(Scenario.ENDLESS) as (provider, model):
            stream = provider.stream(REQUEST, model)
            async with asyncio.timeout(PATIENCE):
                await anext(stream)
                await _close(stream)
                await self.wait_until_stopped(provider)

    async def test_cancelling_the_reader_stops_the_call(self) -> None:
        for scenario in (Scenario.ENDLESS, Scenario.SILENT):
            async with self.open_provider(scenario) as (provider, model):
                began = asyncio.Event()
                reader = asyncio.create_task(_read(provider, model, began))
                if scenario is Scenario.ENDLESS:
                    async with asyncio.timeout(PATIENCE):
                        await began.wait()
                else:
                    await asyncio.sleep(0.05)  # long enough to be in the middle of the call
                reader.cancel()
                async with asyncio.timeout(PATIENCE):
                    await asyncio.wait([reader])
                    assert reader.cancelled(), f"{scenario}: cancellation must pass through"
                    await self.wait_until_stopped(provider)

    async def test_failures_are_llm_errors(self) -> None:
        async with self.open_provider(Scenario.FAILING) as (provider, model):
            for call in (_chunks(provider, model), provider.complete(REQUEST, model)):
                error: LLMError | None = None
                try:
                    async with asyncio.timeout(PATIENCE):
                        await call
                except LLMError as exc:
                    error = exc
                assert error is not None, "a call that cannot be answered must raise an LLMError"
                assert error.message, "the error must say what happened"

    async def test_models_are_listed(self) -> None:
        async with self.open_provider(Scenario.TEXT) as (provider, _):
            async with asyncio.timeout(PATIENCE):
                names = await provider.models()
            assert all(names), "a model's name is not empty"


async def _chunks(provider: LLMProvider, model: str) -> list[LLMChunk]:
    async with asyncio.timeout(PATIENCE):
        return [chunk async for chunk in provider.stream(REQUEST, model)]


async def _read(provider: LLMProvider, model: str, began: asyncio.Event) -> None:
    async for _ in provider.stream(REQUEST, model):
        began.set()


async def _close(stream: AsyncIterator[LLMChunk]) -> None:
    close = getattr(stream, "aclose", None)
    assert close is not None, "a stream must be closable: make it an asynchronous generator"
    await close()


def _essence(answer: LLMAnswer) -> tuple[str, str, Sequence[tuple[str, str]]]:
    calls = [(call.name, call.arguments) for call in answer.message.tool_calls]
    return answer.message.text, answer.finish_reason, calls
