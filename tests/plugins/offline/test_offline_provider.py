import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

import iskra_plugins.offline
from iskra_plugins.offline import Handbook, OfflineProvider, OfflineSettings, find_docs
from iskra_sdk import LLMAnswer, LLMChunk, LLMRequest, Message, SystemClock
from iskra_sdk.errors import ProviderRejectedError
from iskra_sdk.llm import AnswerBuilder
from iskra_sdk.manifest import parse_manifest
from iskra_sdk.testing.manual_clock import ManualClock
from plugins.offline.offered import SPECS


def provider(*, tokens_per_second: float = 0, clock: ManualClock | None = None) -> OfflineProvider:
    return OfflineProvider(Handbook(find_docs()), clock or SystemClock(), tokens_per_second=tokens_per_second)


def request(text: str, **parameters: object) -> LLMRequest:
    return LLMRequest([Message.system("Be kind."), Message.user(text)], tools=SPECS, parameters=parameters)


async def chunks_of(source: OfflineProvider, asked: LLMRequest) -> list[LLMChunk]:
    return [chunk async for chunk in source.stream(asked, "offline")]


def joined(chunks: list[LLMChunk]) -> LLMAnswer:
    builder = AnswerBuilder()
    for chunk in chunks:
        builder.add(chunk)
    return builder.build()


async def test_an_answer_comes_in_pieces_of_a_few_words_and_loses_nothing() -> None:
    chunks = await chunks_of(provider(), request("What is a lease?"))
    texts = [chunk.text for chunk in chunks if chunk.text]
    assert len(texts) > 5
    assert max(len(text.split()) for text in texts) <= 3
    assert (
        joined(chunks).message.text == (await provider().complete(request("What is a lease?"), "offline")).message.text
    )
    assert "**lease**" in "".join(texts)


async def test_exactly_the_last_chunk_has_finish_reason_and_usage() -> None:
    chunks = await chunks_of(provider(), request("hello"))
    assert [bool(chunk.finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].finish_reason == "stop"


async def test_usage_counts_words() -> None:
    answer = await provider().complete(request("hello there"), "offline")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4
    assert answer.usage.completion_tokens == len(answer.message.text.split())


async def test_tool_calls_come_as_deltas_with_positions() -> None:
    chunks = await chunks_of(provider(), request("read a.txt and b.txt"))
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(delta.position, delta.name, delta.arguments) for delta in deltas] == [
        (0, "read_file", ""),
        (0, "", '{"path":"a.txt"}'),
        (1, "read_file", ""),
        (1, "", '{"path":"b.txt"}'),
    ]
    assert all(bool(delta.id) == bool(delta.name) for delta in deltas)
    assert chunks[-1].finish_reason == "tool_calls"
    assert [call.arguments for call in joined(chunks).message.tool_calls] == ['{"path":"a.txt"}', '{"path":"b.txt"}']


async def test_equal_requests_get_equal_answers() -> None:
    asked = request("read a.txt, then write `x` to b.txt")
    assert await chunks_of(provider(), asked) == await chunks_of(provider(), asked)


async def test_a_question_in_russian_is_answered_from_the_english_docs_with_russian_words_around() -> None:
    answer = await provider().complete(request("Что такое предохранитель?"), "offline")
    assert answer.message.text.startswith("Из документации, **Glossary › circuit breaker** (`docs/glossary.md`):")


async def test_an_unknown_subject_is_admitted_and_a_model_recommended() -> None:
    text = (await provider().complete(request("Tell me about grizzly bears"), "offline")).message.text
    assert "found nothing" in text
    assert "not a language model" in text
    assert "ISKRA_MODEL_URL" in text
    assert "docs/how-to/connect-a-model.md" in text


async def test_a_server_without_docs_says_so() -> None:
    source = OfflineProvider(Handbook(None), SystemClock())
    assert "docs are not installed" in (await source.complete(request("What is a lease?"), "offline")).message.text
    assert "without the docs" in await source.check()


async def test_tools_are_not_touched_when_the_request_forbids_them() -> None:
    answer = await provider().complete(request("read a.txt", tool_choice="none"), "offline")
    assert answer.message.tool_calls == ()
    assert answer.finish_reason == "stop"


async def test_the_limit_of_tokens_and_stop_are_kept() -> None:
    limited = await provider().complete(request("hello", max_tokens=4), "offline")
    assert len(limited.message.text.split()) == 4
    assert limited.finish_reason == "length"
    stopped = await provider().complete(request("hello", stop=["offline"]), "offline")
    assert stopped.message.text == "Hello!\n\nI am Iskra's "
    assert stopped.finish_reason == "stop"


async def test_another_model_is_refused() -> None:
    with pytest.raises(ProviderRejectedError, match="has no model 'gpt'"):
        await provider().complete(request("hello"), "gpt")
    assert await provider().models() == ("offline",)


async def test_the_set_speed_is_kept() -> None:
    clock = ManualClock()
    arrived: list[str] = []

    async def consume() -> None:
        async for chunk in provider(tokens_per_second=3, clock=clock).stream(request("hello"), "offline"):
            arrived.append(chunk.text)

    async with asyncio.timeout(5):
        task = asyncio.ensure_future(consume())
        await clock.until_sleeping()
        assert len(arrived) == 1
        words = len(arrived[0].split())
        clock.advance(words / 3 - 0.01)
        await asyncio.sleep(0)
        assert len(arrived) == 1
        clock.advance(0.01)
        await clock.until_sleeping()
        assert len(arrived) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("rate", [0, 5])
async def test_a_cancelled_stream_stops_at_once(rate: float) -> None:
    arrived: list[str] = []
    first = asyncio.Event()

    async def consume() -> None:
        async for chunk in provider(tokens_per_second=rate).stream(request("hello"), "offline"):
            arrived.append(chunk.text)
            first.set()

    task = asyncio.ensure_future(consume())
    async with asyncio.timeout(5):
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(arrived) < 5


def test_the_manifest_is_valid_and_asks_for_nothing() -> None:
    folder = Path(iskra_plugins.offline.__file__).parent
    manifest = parse_manifest((folder / "iskra-plugin.toml").read_text(encoding="utf-8"), name="offline")
    assert (manifest.name, manifest.permissions, manifest.requires) == ("offline", (), ())


def test_settings_have_defaults_and_bounds() -> None:
    assert OfflineSettings().tokens_per_second == 0
    with pytest.raises(ValidationError):
        OfflineSettings(tokens_per_second=-1)
