"""Answers under an operation: whatever goes wrong, the user gets the plain one."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from chaos.processes.stage import Stage, stage
from iskra_sdk.errors import ProviderUnavailableError, StreamInterruptedError
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import LLMChunk, LLMRequest
from iskra_sdk.testing.scripted_model import Pause

PLAIN = "Seven stalls, two days, one stage."


def is_perturbed(request: LLMRequest) -> bool:
    return request.messages[0].text != "Be useful."


async def status_of(given: Stage, session_id: str) -> str:
    (process,) = given.parts.journal.of_session(session_id)
    return str(process.status)


async def test_nothing_is_in_place_while_nothing_acts() -> None:
    async with stage(PLAIN, PLAIN) as given:
        session_id = await given.session()
        assert not given.harness.registered("register_interceptors")
        process = await given.start(session_id, "micro_disturbance")
        assert {each.point for each in given.interceptors(Point.LLM_STREAM)} == {Point.LLM_STREAM}
        await given.parts.engine.roll_back(process, "enough")
        assert not given.harness.registered("register_interceptors")
        assert await given.answer(given.request(session_id)) == PLAIN
        assert not is_perturbed(given.model.requests[0])


@pytest.mark.parametrize(
    "broken",
    [
        ProviderUnavailableError("gone"),
        TimeoutError("late"),
        ValueError("a bug"),
        [LLMChunk(reasoning="Hm."), ProviderUnavailableError("gone")],
        [LLMChunk(finish_reason="stop")],
        [LLMChunk(text="", finish_reason="content_filter")],
    ],
    ids=["error", "timeout", "bug", "thought first", "empty", "filtered"],
)
async def test_a_perturbed_call_that_fails_before_its_first_word_is_made_again_as_it_was(broken: Any) -> None:
    async with stage(broken, PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "micro_disturbance")
        asked = given.request(session_id)
        assert await given.answer(asked) == PLAIN
        assert [is_perturbed(request) for request in given.model.requests] == [True, False]
        assert given.model.requests[1] == asked
        assert await status_of(given, session_id) == "failed"
        await given.records_are_written()
        (process,) = given.parts.journal.of_session(session_id)
        assert (await given.kept(process.id))["status"] == "failed"
        assert (process.requested, process.applied) == (1, 0)


async def test_an_answer_that_breaks_off_is_the_upstreams_failure_as_without_an_operation() -> None:
    async with stage(["Half an ", StreamInterruptedError("cut")], PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "paradox_generation")
        with pytest.raises(StreamInterruptedError):
            await given.answer(given.request(session_id))
        assert len(given.model.requests) == 1  # half an answer is not followed by a whole one
        assert await status_of(given, session_id) == "active"
        assert await given.answer(given.request(session_id)) == PLAIN


async def test_what_fails_after_the_answer_does_not_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "micro_disturbance")

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(f"{type(given.parts.progress).__module__}.effect_of", broken)
        assert await given.answer(given.request(session_id)) == PLAIN


async def test_a_user_who_leaves_ends_the_upstream_call() -> None:
    async with stage(["One ", Pause()]) as given:
        session_id = await given.session()
        await given.start(session_id, "paradox_generation")
        (interceptor,) = given.interceptors(Point.LLM_STREAM)

        async def proceed(request: LLMRequest) -> Any:
            return given.model.stream(request, "scripted")

        async with aclosing(interceptor.around(given.request(session_id), proceed)) as stream:
            assert (await anext(stream)).text
        assert given.model.abandoned == 1
        assert await status_of(given, session_id) == "active"


async def test_a_plugin_that_goes_in_the_middle_of_an_answer_lets_it_end() -> None:
    store = None
    async with stage(["One ", "two ", "three."]) as given:
        store = given.store
        session_id = await given.session()
        await given.start(session_id, "paradox_generation")
        (interceptor,) = given.interceptors(Point.LLM_STREAM)

        async def proceed(request: LLMRequest) -> Any:
            return given.model.stream(request, "scripted")

        stream = interceptor.around(given.request(session_id), proceed)
        said = [(await anext(stream)).text]
    async with aclosing(stream):
        said += [chunk.text async for chunk in stream]
    assert "".join(said) == "One two three."
    async with stage(PLAIN, store=store) as later:
        assert await status_of(later, session_id) == "aborted"
        assert await later.answer(later.request(session_id)) == PLAIN


class BareStream:
    """The least that is a stream: it cannot be closed."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    def __aiter__(self) -> "BareStream":
        return self

    async def __anext__(self) -> LLMChunk:
        if not self._texts:
            raise StopAsyncIteration
        return LLMChunk(text=self._texts.pop(0))


@pytest.mark.parametrize("operation", ["micro_disturbance", "quantum_flux"])
async def test_streams_of_other_plugins_need_not_be_closable(operation: str) -> None:
    async with stage() as given:
        session_id = await given.session()
        await given.start(session_id, operation, 0.2)
        (interceptor,) = given.interceptors(Point.LLM_STREAM)

        async def proceed(request: LLMRequest) -> BareStream:
            return BareStream("One ", "two.")

        chunks = [chunk async for chunk in interceptor.around(given.request(session_id), proceed)]
        assert "".join(chunk.text for chunk in chunks) == "One two."


async def test_a_crisis_is_answered_plainly_even_before_the_event_arrives() -> None:
    async with stage(PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "micro_disturbance")
        await given.answer(given.request(session_id, "I want to kill myself."))
        assert not is_perturbed(given.model.requests[0])


async def test_json_side_calls_and_other_voices_are_left_alone() -> None:
    async with stage(PLAIN, PLAIN, PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "micro_disturbance", voice="Sam")
        asked = given.request(session_id)
        await given.answer(given.request(session_id, parameters={"response_format": {"type": "json_object"}}))
        await given.answer(asked)
        assert not any(is_perturbed(request) for request in given.model.requests)


async def test_a_notice_is_shown_once() -> None:
    async with stage("First.", "Second.") as given:
        session_id = await given.session()
        await given.start(session_id, "fire_reset", 0.5)
        first, second = [await given.turn(session_id) for _ in range(2)]
        assert first.startswith("(Context reset")
        assert second == "Second."


async def test_branches_that_fail_are_left_out() -> None:
    async with stage(PLAIN, ProviderUnavailableError("gone"), "Something else about the fair.") as given:
        session_id = await given.session()
        await given.start(session_id, "quantum_flux", 0.2)
        answer = await given.answer(given.request(session_id))
        assert PLAIN in answer
        (process,) = given.parts.journal.of_session(session_id)
        assert (process.applied, process.cost_calls) == (1, 3)
        assert not is_perturbed(given.model.requests[0])
        assert given.model.requests[0].parameters == {}


async def test_a_base_branch_that_fails_leads_to_the_plain_call() -> None:
    async with stage(ProviderUnavailableError("gone"), "One.", "Two.", PLAIN) as given:
        session_id = await given.session()
        await given.start(session_id, "quantum_flux", 0.2)
        assert await given.answer(given.request(session_id)) == PLAIN
        assert await status_of(given, session_id) == "failed"


async def test_slow_branches_are_not_waited_for() -> None:
    async with stage("Base.", Pause(), Pause()) as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        given.parts._speaking.around.__self__._branching._least_wait = 0.0
        async with asyncio.timeout(5):
            assert await given.answer(given.request(session_id)) == "Base."
        assert given.model.abandoned == 2
        assert process.intermediate_results == [
            {"branch": "base", "number": 0, "text": "Base.", "fits": 0.0, "novelty": 1.0, "chosen": True}
        ]


async def test_branches_keep_to_a_budget_of_tokens() -> None:
    async with stage(PLAIN) as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        assert await given.answer(given.request(session_id, "word " * 40_000)) == PLAIN
        assert (len(given.model.requests), process.cost_calls, process.applied) == (1, 1, 0)


async def test_where_tools_are_offered_the_model_weighs_the_ways_in_one_call() -> None:
    spec = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    async with stage(PLAIN) as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        await given.answer(given.request(session_id, tools=[spec]))
        assert "several points of view" in given.model.requests[0].messages[0].text
        assert process.cost_calls == 1
