"""Faults of models: each reaches the caller through the real router, as a provider's own failure would."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, counters, fault_kit
from iskra.settings import AliasSettings, LLMSettings
from iskra_chaos.faults.fault import INJECTED
from iskra_chaos.faults.vocabulary import VOCABULARY
from iskra_sdk.errors import (
    LLMError,
    ProviderProtocolError,
    ProviderRateLimitError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamInterruptedError,
)
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import LLMChunk, ToolCallDelta
from iskra_sdk.message import ToolCall

TEXT = "one two three four five six seven eight nine ten"
CALL = ToolCall("c1", "look_up", '{"city": "Paris", "max_results": 3}')
BOTH = (Point.LLM_REQUEST, Point.LLM_STREAM)
FAILURES: list[tuple[str, dict[str, Any], type[LLMError]]] = [
    ("down", {}, ProviderUnavailableError),
    ("reset_peer", {}, ProviderUnavailableError),
    ("rate_limited", {"retry_after": 7}, ProviderRateLimitError),
    ("server_error", {"status": 502}, ProviderUnavailableError),
    ("html_body", {}, ProviderProtocolError),
    ("renamed_field", {"of": "body"}, ProviderProtocolError),
    ("missing_field", {"of": "body", "field": "message"}, ProviderProtocolError),
    ("wrong_type", {"of": "body"}, ProviderProtocolError),
]


def text_of(chunks: list[LLMChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def finish_of(chunks: list[LLMChunk]) -> str | None:
    return next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None)


def arguments_of(chunks: list[LLMChunk]) -> str:
    return "".join(piece.arguments for chunk in chunks for piece in chunk.tool_calls)


async def call(kit: FaultKit, point: Point, reply: Any) -> object:
    return await (kit.complete(reply) if point is Point.LLM_REQUEST else kit.stream(reply))


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize(("kind", "parameters", "error"), FAILURES)
async def test_a_failure_is_raised_as_the_providers_own(
    kit: FaultKit, point: Point, kind: str, parameters: dict[str, Any], error: type[LLMError]
) -> None:
    fault = await kit.inject(point, kind, parameters=parameters)
    with pytest.raises(error) as caught:
        await call(kit, point, TEXT)
    assert caught.value.facts[INJECTED] == fault.id
    if kind == "rate_limited":
        assert caught.value.retry_after == 7
    assert counters(fault) == (1, 1, 1)
    kit.board.clear(fault.id)
    await call(kit, point, TEXT)  # healthy again, also while the interceptor is still in the chain
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize(("kind", "finish"), [("empty", "stop"), ("content_filter", "content_filter")])
async def test_an_answer_says_nothing(kit: FaultKit, point: Point, kind: str, finish: str) -> None:
    fault = await kit.inject(point, kind)
    if point is Point.LLM_REQUEST:
        answer = await kit.complete(TEXT)
        assert (answer.message.text, answer.finish_reason) == ("", finish)
    else:
        chunks = await kit.stream(TEXT)
        assert (text_of(chunks), finish_of(chunks)) == ("", finish)
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.75])
async def test_a_truncated_answer_keeps_its_share(kit: FaultKit, point: Point, keep: float) -> None:
    fault = await kit.inject(point, "truncated", parameters={"keep": keep})
    if point is Point.LLM_REQUEST:
        answer = await kit.complete(TEXT)
        text, finish = answer.message.text, answer.finish_reason
    else:
        chunks = await kit.stream(TEXT)
        text, finish = text_of(chunks), str(finish_of(chunks))
    assert (text, finish) == (TEXT[: int(len(TEXT) * keep)], "length")
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        ("renamed_field", {"field": "max_results"}, {"city": "Paris", "maxResults": 3}),
        ("renamed_field", {"field": "city"}, {"city_value": "Paris", "max_results": 3}),
        ("missing_field", {"field": "city"}, {"max_results": 3}),
        ("wrong_type", {"field": "city"}, {"city": ["Paris"], "max_results": 3}),
        ("wrong_type", {"field": "max_results"}, {"city": "Paris", "max_results": {"value": 3}}),
        ("malformed_tool_json", {"keep": 0.9}, None),
    ],
)
async def test_the_arguments_of_a_tool_call_drift(
    kit: FaultKit, point: Point, kind: str, parameters: dict[str, Any], expected: object
) -> None:
    fault = await kit.inject(point, kind, parameters=parameters)
    if point is Point.LLM_REQUEST:
        answer = await kit.complete(CALL)
        arguments, finish = answer.message.tool_calls[0].arguments, answer.finish_reason
    else:
        chunks = await kit.stream([LLMChunk(text="Let me see."), *pieces(CALL), LLMChunk(finish_reason="tool_calls")])
        arguments, finish = arguments_of(chunks), str(finish_of(chunks))
        assert text_of(chunks) == "Let me see."
    assert finish == "tool_calls"
    if expected is None:
        with pytest.raises(json.JSONDecodeError):
            json.loads(arguments)
    else:
        assert json.loads(arguments) == expected
    assert counters(fault) == (1, 1, 1)


def pieces(tool_call: ToolCall) -> list[LLMChunk]:
    half = len(tool_call.arguments) // 2
    return [
        LLMChunk(tool_calls=(ToolCallDelta(0, tool_call.id, tool_call.name, tool_call.arguments[:half]),)),
        LLMChunk(tool_calls=(ToolCallDelta(0, arguments=tool_call.arguments[half:]),)),
    ]


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize("kind", ["malformed_tool_json", "renamed_field", "missing_field", "wrong_type"])
async def test_what_cannot_drift_is_applied_and_not_observed(kit: FaultKit, point: Point, kind: str) -> None:
    fault = await kit.inject(point, kind)
    await call(kit, point, TEXT)
    assert counters(fault) == (1, 1, 0)


@pytest.mark.parametrize("point", BOTH)
@pytest.mark.parametrize(
    ("kind", "parameters", "seconds"),
    [
        ("latency", {"latency": 2000}, 2.0),
        ("bandwidth", {"rate": 0.012}, len(TEXT) / 12.0),
        ("hang", {}, 20.0),
        ("timeout", {}, 20.0),
    ],
)
async def test_a_slow_call_waits_and_goes_on(
    kit: FaultKit, point: Point, kind: str, parameters: dict[str, Any], seconds: float
) -> None:
    fault = await kit.inject(point, kind, parameters=parameters)
    calling = asyncio.create_task(call(kit, point, [TEXT]))
    await kit.until_waiting()
    kit.clock.advance(seconds)
    if kind in ("hang", "timeout"):  # as long as the fault lasts
        assert not calling.done()
        kit.board.clear(fault.id)
    await calling
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", BOTH)
async def test_a_connection_held_for_a_time_is_closed(kit: FaultKit, point: Point) -> None:
    fault = await kit.inject(point, "timeout", parameters={"timeout": 3000})
    calling = asyncio.create_task(call(kit, point, TEXT))
    await kit.until_waiting()
    kit.clock.advance(3)
    with pytest.raises(ProviderUnavailableError, match="closed the connection"):
        await calling
    assert counters(fault) == (1, 1, 1)


async def test_half_an_answer_is_no_answer(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "limit_data", parameters={"bytes": 10})
    assert (await kit.complete("short")).message.text == "short"
    with pytest.raises(ProviderProtocolError):
        await kit.complete(TEXT)
    assert counters(fault) == (2, 2, 1)


@pytest.mark.parametrize(
    ("kind", "parameters", "seen"),
    [
        ("cut_stream", {"after_chunks": 3}, "one two three "),
        ("limit_data", {"bytes": 10}, "one two th"),
    ],
)
async def test_a_stream_ends_in_the_middle(kit: FaultKit, kind: str, parameters: dict[str, Any], seen: str) -> None:
    fault = await kit.inject(Point.LLM_STREAM, kind, parameters=parameters)
    received: list[str] = []
    with pytest.raises(StreamInterruptedError):
        await kit.stream(TEXT, taking=lambda chunk: received.append(chunk.text))
    assert "".join(received) == seen
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("after_chunks", [11, 50])
async def test_a_stream_that_was_complete_before_the_cut_is_whole(kit: FaultKit, after_chunks: int) -> None:
    """Ten words, the finish reason, and then the tokens that were used."""
    fault = await kit.inject(Point.LLM_STREAM, "cut_stream", parameters={"after_chunks": after_chunks})
    assert text_of(await kit.stream(TEXT)) == TEXT
    assert counters(fault) == (1, 1, 0)


async def test_a_sliced_stream_says_the_same(kit: FaultKit) -> None:
    parameters = {"average_size": 3, "size_variation": 2}
    fault = await kit.inject(Point.LLM_STREAM, "slicer", parameters=parameters)
    chunks = await kit.stream([TEXT])
    assert text_of(chunks) == TEXT
    assert len([chunk for chunk in chunks if chunk.text]) >= len(TEXT) / 5
    assert all(len(chunk.text) <= 5 for chunk in chunks)
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize(
    ("kind", "parameters", "waits"),
    [
        ("slow_first_token", {"delay_ms": 1000}, 1),
        ("slow_drip", {"delay_ms": 1000}, 4),
        ("slow_close", {"delay": 1000}, 1),
        ("hang", {"after_chunks": 1}, 1),
    ],
)
async def test_a_slow_stream_says_the_same(kit: FaultKit, kind: str, parameters: dict[str, Any], waits: int) -> None:
    fault = await kit.inject(Point.LLM_STREAM, kind, parameters=parameters)
    streaming = asyncio.create_task(kit.stream(["one ", "two"]))
    for _ in range(waits):
        await kit.until_waiting()
        kit.clock.advance(1)
        if kind == "hang":
            kit.board.clear(fault.id)
    assert text_of(await streaming) == "one two"
    assert counters(fault) == (1, 1, 1)


async def test_a_connection_is_reset_in_the_middle_of_a_stream(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_STREAM, "reset_peer", parameters={"timeout": 1000})
    received = []

    def wait_a_moment(chunk: LLMChunk) -> None:
        received.append(chunk.text)
        kit.clock.advance(0.6)

    with pytest.raises(StreamInterruptedError):
        await kit.stream(TEXT, taking=wait_a_moment)
    assert received == ["one ", "two "]
    assert counters(fault) == (1, 1, 1)


async def test_a_fault_that_ends_gives_back_what_it_held(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_STREAM, "truncated", parameters={"keep": 0.5})
    received = 0

    def end_the_fault(chunk: LLMChunk) -> None:
        nonlocal received
        received += len(chunk.text)
        if received > 10:
            kit.board.clear(fault.id)

    assert text_of(await kit.stream(TEXT, taking=end_the_fault)) == TEXT
    assert counters(fault) == (1, 1, 0)


async def test_failover_sees_the_fault_of_the_first_target(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "down", strategy={"name": "fail_first", "count": 1})
    answer = await kit.complete(TEXT, model="two")
    assert (answer.message.text, answer.target) == (TEXT, "scripted/two")
    assert counters(fault) == (2, 1, 1)


async def test_a_caller_that_gives_up_has_seen_the_delay(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "hang")
    calling = asyncio.create_task(kit.complete(TEXT))
    await kit.until_waiting()
    kit.clock.advance(5)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert counters(fault) == (1, 1, 1)


async def test_the_routers_deadline_ends_a_call_that_hangs(tmp_path: Path) -> None:
    llm = LLMSettings(aliases={"default": AliasSettings(targets=("scripted/m",))}, retries=0, first_token_timeout=0.05)
    async with fault_kit(tmp_path, llm=llm) as kit:
        fault = await kit.inject(Point.LLM_STREAM, "hang")
        with pytest.raises(ProviderTimeoutError):
            await kit.stream(TEXT)
        assert fault.lease.applied == 1


@pytest.mark.parametrize("point", BOTH)
async def test_every_kind_of_the_vocabulary_leaves_calls_alone_with_probability_0(kit: FaultKit, point: Point) -> None:
    for kind in VOCABULARY[point]:
        fault = await kit.inject(point, kind, strategy={"name": "intermittent", "probability": 0.0})
        if point is Point.LLM_REQUEST:
            assert (await kit.complete(TEXT)).message.text == TEXT
        else:
            assert text_of(await kit.stream(TEXT)) == TEXT
        assert counters(fault) == (1, 0, 0)
        kit.board.clear(fault.id)


async def test_a_turn_tells_its_user_that_the_provider_failed(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_STREAM, "server_error")
    events = await kit.ask("never said")
    assert events[-1].type == "turn.failed"
    assert counters(fault) == (1, 1, 1)
