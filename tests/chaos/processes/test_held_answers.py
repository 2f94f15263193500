"""A disturbed answer is held back and checked; one that does not keep what was asked for is drawn again, plainly."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from chaos.processes.stage import Stage, stage
from chaos.processes.test_speaking import is_perturbed
from iskra_chaos.processes import held_answer
from iskra_chaos.processes.held_answer import HeldAnswer
from iskra_sdk.errors import ProviderUnavailableError, StreamInterruptedError
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import LLMChunk, LLMRequest, Usage
from iskra_sdk.message import Message, ToolCall
from iskra_sdk.testing.scripted_model import Pause
from plugin_workshop import until

SPEC = {"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}
LONG = "Well, perhaps it is the wide blue sea, since everybody longs for it."


async def disturbed(given: Stage, asked: str, **more: Any) -> tuple[list[LLMChunk], Any]:
    """Return the chunks of one answer under a strong disturbance, and the process."""
    session_id = await given.session()
    process = await given.start(session_id, "micro_disturbance", 0.3)
    return await given.stream(given.request(session_id, asked, **more)), process


def text_of(chunks: Sequence[LLMChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize(
    ("asked", "poor", "plain", "check"),
    [
        ("Answer in one word: what calms you?", LONG, "Sea.", "keeps_length"),
        ("Ответь одним словом: что успокаивает?", "Наверное, это синее море.", "Море.", "keeps_length"),
        ("Name a calm place, reply as JSON.", "Sure: the sea", '{"place": "sea"}', "is_json"),
        ("Name calm places as a bulleted list.", LONG, "- the sea\n- a wood", "is_list"),
        ("Что успокаивает лучше всего?", LONG, "Море, тихое и синее.", "keeps_language"),
        ("The fair costs 500 euros. Say it nicely.", "The fair costs 900 euros.", "It costs 500.", "keeps_facts"),
        ("What calms you?", "The sea. The sea calms me. The sea calms me. The sea calms me.", LONG, "does_not_loop"),
        ("What calms you?", "I have 17 seas to choose from.", LONG, "draws_nothing_exact"),
        ("What calms you?", "Look:\n```python\nsea()\n```\n", LONG, "draws_nothing_exact"),
        ("What calms you?", ["The wide ", LLMChunk(finish_reason="length")], LONG, "is_whole"),
        ("What calms you?", ["The wide ", StreamInterruptedError("cut")], LONG, "is_whole"),
    ],
)
async def test_an_answer_that_falls_short_is_drawn_again_plainly_and_never_shown(
    asked: str, poor: Any, plain: str, check: str
) -> None:
    async with stage(poor, plain) as given:
        chunks, process = await disturbed(given, asked, parameters={"temperature": 0.4})
        assert text_of(chunks) == plain
        assert [is_perturbed(request) for request in given.model.requests] == [True, False]
        assert given.model.requests[1].parameters == {"temperature": 0.4}
        assert sum(chunk.finish_reason is not None for chunk in chunks) == 1
        assert process.regenerated
        assert check in process.failed_checks
        (result,) = process.intermediate_results
        assert (result["regenerated"], result["observed"]) == (True, False)
        assert (process.requested, process.applied, process.observed, process.cost_calls) == (1, 0, 0, 2)


async def test_a_good_answer_arrives_as_the_model_gave_it() -> None:
    async with stage(LONG) as given:
        chunks, process = await disturbed(given, "What calms you?")
        assert text_of(chunks) == LONG
        assert len(given.model.requests) == 1
        assert not process.regenerated
        assert process.failed_checks == []
        assert (process.applied, process.cost_calls) == (1, 1)


async def test_it_is_drawn_again_once_whatever_comes() -> None:
    async with stage(LONG, "Not one word either.") as given:
        chunks, _ = await disturbed(given, "Answer in one word.")
        assert text_of(chunks) == "Not one word either."
        assert len(given.model.requests) == 2


async def test_the_tokens_of_both_are_counted() -> None:
    async with stage([LONG, LLMChunk(finish_reason="stop"), LLMChunk(usage=Usage(5, 7))], "Sea.") as given:
        chunks, _ = await disturbed(given, "Answer in one word.")
        (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
        assert (usage.prompt_tokens, usage.completion_tokens) == (6, 8)


async def test_where_the_plain_answer_fails_too_that_is_the_upstreams_failure() -> None:
    async with stage(LONG, ProviderUnavailableError("gone")) as given:
        with pytest.raises(ProviderUnavailableError):
            await disturbed(given, "Answer in one word.")


async def test_an_operation_whose_answer_was_drawn_again_is_over_after_its_turn() -> None:
    async with stage(LONG, "Sea.", LONG) as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance", 0.3)
        assert await given.turn(session_id, "Answer in one word.") == "Sea."
        assert process.status == "completed"
        assert process.history[-1].reason == "not observed"
        assert (await given.kept(process.id))["failed_checks"] == ["keeps_length"]
        assert await given.turn(session_id, "And now?") == LONG
        assert not is_perturbed(given.model.requests[-1])


async def test_calls_of_tools_are_shown_as_they_come_and_drawn_by_the_base_sampler() -> None:
    call = ToolCall("c1", "look", '{"where": "17 seas"}')
    async with stage([call]) as given:
        chunks, process = await disturbed(given, "Look.", tools=[SPEC], parameters={"temperature": 0.4})
        assert [piece.arguments for chunk in chunks for piece in chunk.tool_calls] == [call.arguments]
        assert given.model.requests[0].parameters == {"temperature": 0.4}
        assert not process.regenerated


@pytest.mark.parametrize(
    "asked",
    ["How many people live in Rome?", "Когда началась ярмарка?", "Write a function that adds.", "Give me the CSV."],
)
@pytest.mark.parametrize("operation", ["micro_disturbance", "quantum_flux"])
async def test_facts_numbers_and_code_are_drawn_by_the_base_sampler(operation: str, asked: str) -> None:
    async with stage(*["About 3 million."] * 6) as given:
        session_id = await given.session()
        await given.start(session_id, operation, 0.3)
        answer = await given.answer(given.request(session_id, asked, parameters={"temperature": 0.4}))
        assert "About 3 million." in answer  # the base sampler may draw numbers
        assert {request.parameters["temperature"] for request in given.model.requests} == {0.4}


async def test_a_warm_branch_that_brings_a_number_of_its_own_is_left_out() -> None:
    async with stage("A tent on the green.", "A barge with 17 sails.", "A kite above the old town.") as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        await given.answer(given.request(session_id, "Where shall the party be? Surprise us."))
        assert len(given.model.requests) == 3
        assert [each["text"] for each in process.intermediate_results if "17" in each["text"]] == []


async def test_a_user_who_leaves_while_it_is_held_back_ends_the_upstream_call() -> None:
    async with stage(["One ", Pause()]) as given:
        session_id = await given.session()
        await given.start(session_id, "micro_disturbance")
        (interceptor,) = given.interceptors(Point.LLM_STREAM)
        seen: list[LLMChunk] = []

        async def proceed(request: LLMRequest) -> Any:
            return given.model.stream(request, "scripted")

        async def read() -> None:
            async for chunk in interceptor.around(given.request(session_id), proceed):
                seen.append(chunk)

        reading = asyncio.create_task(read())
        await until(lambda: bool(given.model.requests))
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        assert given.model.abandoned == 1
        assert text_of(seen) == ""


async def test_a_very_long_answer_is_passed_on_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_answer, "MOST_HELD", 20)
    async with stage(LONG) as given:
        chunks, process = await disturbed(given, "Answer in one word.")
        assert text_of(chunks) == LONG
        assert not process.regenerated


async def test_an_answer_that_cannot_be_checked_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(LONG, "Sea.") as given:

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance", 0.3)
        monkeypatch.setattr("iskra_chaos.operations.answer_check.failed_checks", broken)
        assert await given.answer(given.request(session_id)) == "Sea."
        assert process.failed_checks == ["could_not_be_checked"]


@examples(st.lists(st.text(max_size=8), max_size=12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_or_doubled(pieces: list[str], thinks: bool) -> None:
    chunks = [LLMChunk(text=piece, reasoning="hm" if thinks and not piece else "") for piece in pieces]

    async def stream() -> Any:
        for chunk in chunks:
            yield chunk

    async def read() -> tuple[HeldAnswer, list[LLMChunk]]:
        held = HeldAnswer()
        return held, [chunk async for chunk in held.take(stream())]

    held, shown = asyncio.run(read())
    assert held.text == "".join(pieces)
    assert text_of(shown) == ""
    assert text_of(held.chunks) == held.text
    assert Message.assistant(held.text).text == held.text
