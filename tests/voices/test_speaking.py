"""Answers of voices on their way from the model: held back, checked, mended once, never lost."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_sdk import LLMChunk, Message, ToolCall, Usage
from iskra_sdk.errors import LLMError, ProviderUnavailableError
from iskra_voices import mending
from iskra_voices.definitions.kain import KAIN as KAIN_POLICY
from iskra_voices.settings import CRISIS_HELP_EN, CRISIS_HELP_RU
from voices.stage import ASKED, KAIN, POOR, SESSION, Stage, module, stage

CODE = "```python\nprint(1)\n```"


async def test_a_good_answer_passes_as_the_model_wrote_it() -> None:
    async with stage(KAIN) as on:
        assert await on.say("kain") == KAIN
        assert len(on.model.requests) == 1
        assert on.chunks[-1].usage == Usage(1, len(KAIN.split()))


async def test_an_answer_that_falls_short_is_mended_once() -> None:
    async with stage(POOR, KAIN) as on:
        answer = await on.call(on.request("kain"))
        assert answer.message.text == KAIN
        assert answer.usage == Usage(2, len(POOR.split()) + len(KAIN.split()))
        first, second = on.model.requests
        assert second.messages[:-2] == first.messages
        assert second.messages[-2].text == POOR
        assert "Quote at least two words" in second.messages[-1].text
        assert "Never insult" not in second.messages[-1].text  # only what is wrong
        (told,) = [event for event in on.harness.bus.published if event.type == "voices.checked"]
        assert told.data["mended"] is True
        assert told.data["broken_after"] == []
        assert "does_not_soften" in told.data["broken"]  # type: ignore[operator]


@given(st.lists(st.text(max_size=40), max_size=6))
async def test_an_answer_that_is_not_mended_arrives_letter_by_letter(pieces: list[str]) -> None:
    async with stage([*pieces, LLMChunk(finish_reason="stop")], "".join(pieces)) as on:
        assert await on.say("kain") == "".join(pieces)


@given(st.text(max_size=300))
async def test_a_mended_answer_arrives_letter_by_letter(rest: str) -> None:
    mended = f"{KAIN} {rest}".strip()
    async with stage(POOR, [LLMChunk(text=mended), LLMChunk(finish_reason="stop")]) as on:
        assert await on.say("kain") in (mended, POOR)


async def test_nothing_of_the_draft_is_shown_and_progress_is() -> None:
    async with stage(POOR, KAIN) as on:
        await on.say("kain")
        assert [bool(chunk.reasoning) for chunk in on.chunks[:2]] == [True, True]
        assert "quotes the conversation" in on.chunks[1].reasoning
        assert len([chunk for chunk in on.chunks if chunk.text]) > 2  # in pieces


@pytest.mark.parametrize(
    "second",
    [
        POOR,
        "Perhaps, maybe, it seems, " + "long " * 130,
        ProviderUnavailableError("gone", mend="wait"),
        [ToolCall("c1", "look")],
        ["half", ProviderUnavailableError("gone", mend="wait")],
        "",
        [LLMChunk(text=KAIN), LLMChunk(finish_reason="length")],
    ],
    ids=["as poor", "worse", "failed", "tools", "broke off", "empty", "cut"],
)
async def test_a_second_answer_that_is_no_better_leaves_the_first(second: Any) -> None:
    async with stage(POOR, second) as on:
        assert await on.say("kain") == POOR
        assert len(on.model.requests) == 2


async def test_a_second_answer_that_lost_code_is_not_taken() -> None:
    async with stage(f"{POOR} Write the yearly report so, with all twelve tables in it:\n{CODE}", KAIN) as on:
        assert CODE in await on.say("kain")
    async with stage(f"{POOR} Write the yearly report so, with all tables:\n{CODE}", f"{KAIN}\n{CODE}") as on:
        assert await on.say("kain") == f"{KAIN}\n{CODE}"


async def test_calls_of_tools_pass_untouched() -> None:
    call = ToolCall("c1", "look", '{"a": 1}')
    async with stage(["Let me ", "look. ", call]) as on:
        answer = await on.call(on.request("kain"))
        assert answer.message.text == "Let me look. "
        assert answer.message.tool_calls == (call,)
        assert answer.finish_reason == "tool_calls"
        assert on.events == ["voices.voice_activated", "voices.coordination"]


@pytest.mark.parametrize("reply", [CODE, '{"a": [1, 2]}', "[1, 2]", f"Here it is:\n{CODE}"])
async def test_code_and_data_are_left_as_they_are(reply: str) -> None:
    async with stage(reply) as on:
        assert await on.say("kain") == reply
        assert len(on.model.requests) == 1


async def test_json_is_asked_for_without_the_voice() -> None:
    async with stage('{"fine": true}') as on:
        wanted = {"response_format": {"type": "json_object"}}
        assert await on.say("kain", parameters=wanted) == '{"fine": true}'
        (request,) = on.model.requests
        assert request.messages[0].text == "You are helpful."
        assert request.parameters == wanted
        assert not any(chunk.reasoning for chunk in on.chunks)


async def test_nothing_is_checked_where_no_language_model_stands_behind() -> None:
    async with stage(POOR, is_language_model=False) as on:
        assert await on.say("kain") == POOR
        assert not any(chunk.reasoning for chunk in on.chunks)


async def test_help_is_named_in_a_crisis_also_where_no_language_model_stands_behind() -> None:
    async with stage("I found nothing in the docs.", is_language_model=False) as on:
        said = await on.say("iskra", "I want to kill myself.")
        assert said == f"I found nothing in the docs.\n\n{CRISIS_HELP_EN}"


async def test_without_repairs_an_answer_streams_as_it_comes() -> None:
    async with stage(POOR, repairs=False) as on:
        assert await on.say("kain") == POOR
        assert on.chunks[0].text


async def test_calls_that_no_voice_makes_pass_untouched() -> None:
    async with stage(POOR) as on:
        request = on.request("")
        await on.call(request)
        assert on.model.requests[0] is request


async def test_a_cut_answer_is_shown_as_it_is() -> None:
    async with stage([LLMChunk(text=POOR), LLMChunk(finish_reason="length")]) as on:
        answer = await on.call(on.request("kain"))
        assert (answer.message.text, answer.finish_reason) == (POOR, "length")


async def test_a_cut_answer_in_a_crisis_still_names_help() -> None:
    async with stage([LLMChunk(text="I hear "), LLMChunk(finish_reason="length")]) as on:
        answer = await on.call(on.request("anhantha", "I want to kill myself."))
        assert answer.message.text.endswith(CRISIS_HELP_EN)
        assert answer.finish_reason == "length"


async def test_a_bus_that_fails_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(KAIN, KAIN) as on:
        await on.say("kain")

        async def fail(_event: object) -> None:
            raise RuntimeError("the bus is gone")

        monkeypatch.setattr(on.harness.context.events, "publish", fail)
        assert await on.say("kain") == KAIN


async def test_what_came_before_a_failure_is_shown() -> None:
    async with stage(["half of ", "an answer", ProviderUnavailableError("gone", mend="wait")]) as on:
        with pytest.raises(LLMError, match="gone"):
            await on.say("kain")
        assert "".join(chunk.text for chunk in on.chunks) == "half of an answer"


async def test_a_very_long_answer_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module("iskra_voices.speaking"), "MOST_HELD", 50)
    async with stage("many words " * 20) as on:
        assert await on.say("kain") == "many words " * 20
        assert len(on.model.requests) == 1


async def test_a_crash_of_the_check_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_arguments: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(module("iskra_voices.speaking"), "judge", crash)
    async with stage(POOR) as on:
        assert await on.say("kain") == POOR


async def test_a_crash_of_the_preparation_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(POOR) as on:

        async def crash(*_arguments: object) -> None:
            raise RuntimeError("a mistake")

        parts = await iskra_parts(on)
        monkeypatch.setattr(parts.speaking._casting, "prepare", crash)
        assert await on.say("kain") == POOR


async def iskra_parts(on: Stage) -> Any:
    return await module("iskra_voices")._assembly_of(on.harness.context).parts()


async def test_a_client_that_leaves_ends_the_call() -> None:
    async with stage(["one ", "two ", "three"]) as on:
        (interceptor,) = on.harness.registered("register_interceptors")

        async def proceed(changed: Any) -> AsyncIterator[LLMChunk]:
            return on.model.stream(changed, "scripted")

        stream = await interceptor.around(on.request("kain"), proceed)
        async for _chunk in stream:
            break
        await stream.aclose()
        assert on.model.abandoned == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("I do not want to live anymore, I want to kill myself.", CRISIS_HELP_EN),
        ("Я больше не хочу жить, хочу покончить с собой.", CRISIS_HELP_RU),
    ],
)
@pytest.mark.parametrize("repairs", [True, False])
@pytest.mark.parametrize("voice", ["auto", "pino", "hundun", "kain"])
async def test_in_a_crisis_anhantha_answers_with_help(voice: str, text: str, line: str, repairs: bool) -> None:
    async with stage(POOR, POOR, repairs=repairs) as on:
        assert (await on.say(voice, text)).endswith(line)
        assert "Anhantha" in on.model.requests[0].messages[0].text
        assert "Hundun" not in on.model.requests[0].messages[0].text
        assert line in on.model.requests[0].messages[0].text


@pytest.mark.parametrize(
    "text",
    ["My mother died and I am in terrible pain, I cry all day!", "Мне очень больно и страшно, я всё время плачу!"],
)
async def test_who_is_asked_for_by_name_does_not_joke_at_pain(text: str) -> None:
    async with stage("fine", repairs=False) as on:
        await on.say("pino", text)
        assert "You speak as Iskra" in on.model.requests[0].messages[0].text


@pytest.mark.parametrize("text", ["I am exhausted and everything hurts.", "Мне очень тяжело, всё болит, я устал."])
async def test_nobody_jokes_at_pain_that_is_new(text: str) -> None:
    calm = [Message.user(f"What comes next in part {number} of the plan?") for number in range(6)]
    async with stage("fine", repairs=False) as on:
        await on.call(on.request("pino", text, history=calm))
        assert "You speak as Iskra" in on.model.requests[0].messages[0].text


@pytest.mark.parametrize(
    ("said", "line"), [("Составь план отчёта.", "Пишу ответ. "), ("Plan it.", "Writing the answer. ")]
)
@pytest.mark.parametrize("text", ["42", "...", "👍"])
async def test_a_message_without_letters_keeps_the_language(said: str, line: str, text: str) -> None:
    async with stage("fine") as on:
        await on.call(on.request("sam", text, history=[Message.user(said), Message.assistant("Well.")]))
        assert line in [chunk.reasoning for chunk in on.chunks]


async def test_progress_is_told_in_russian_without_a_word_of_english() -> None:
    async with stage(POOR, POOR) as on:
        await on.say("kain", "Составь план отчёта к пятнице.")
        told = "".join(chunk.reasoning for chunk in on.chunks)
        assert "Пишу ещё раз" in told
        assert not re.search("[a-z]", told)


async def test_auto_puts_the_chosen_voice_in_place() -> None:
    async with stage("A kind answer.", repairs=False) as on:
        await on.say("auto")
        request = on.model.requests[0]
        assert request.messages[0].text.startswith("You speak as Iskra")
        assert request.messages[0].text.endswith("You are helpful.")
        assert request.parameters["temperature"] == 0.5  # what the agent or the client wants stays


async def test_auto_chooses_by_what_the_user_says() -> None:
    history = [
        Message.user("The release is not ready and will not ship this week.").with_id("trn_0.0"),
        Message.assistant("Understood.").with_id("trn_0.1"),
    ]
    async with stage(KAIN, repairs=False) as on:
        await on.say("auto", "The release is ready and will ship this week.", history=history)
        assert "You speak as Kain" in on.model.requests[0].messages[0].text
        (told,) = [event for event in on.harness.bus.published if event.type == "voices.voice_activated"]
        assert told.session_id == SESSION
        assert told.data["event_type"] == "voice_activated"
        assert told.data["data"]["voice_type"] == "kain"  # type: ignore[index]
        assert set(told.data) == {
            "event_id",
            "event_type",
            "timestamp",
            "source",
            "severity",
            "data",
            "correlation_id",
        }


async def test_all_calls_of_a_turn_are_one_voices() -> None:
    call = ToolCall("c1", "look")
    async with stage([call], "I do not agree with myself.", repairs=False) as on:
        await on.call(on.request("auto"))
        parts = await iskra_parts(on)
        record = await parts.records.of(SESSION)
        record.readings.clear()
        await on.call(on.request("auto"))
        assert record.standing.turns == 1
        assert [request.messages[0] for request in on.model.requests[:1]] * 2 == [
            request.messages[0] for request in on.model.requests
        ]


async def test_hundun_hands_over_to_sam() -> None:
    async with stage("one", "two", repairs=False) as on:
        await on.say("hundun", turn="trn_1")
        await on.say("auto", turn="trn_2")
        assert "You speak as Sam" in on.model.requests[1].messages[0].text


async def test_iskriv_is_given_the_claims_that_are_checked() -> None:
    async with stage("fine", repairs=False) as on:
        await on.say("iskriv")
        assert f"C1: {ASKED}" in on.model.requests[0].messages[0].text


async def test_with_presence_a_voice_sees_what_it_attended() -> None:
    async with stage("first", "second", "third", presence=True, repairs=False) as on:
        first = Message.user("secret of kain").with_id("trn_1.0")
        await on.say("kain", "secret of kain", turn="trn_1")
        history = [first, Message.assistant("first").with_id("trn_1.1")]
        await on.say("sam", "question for sam", turn="trn_2", history=history)
        assert "secret" not in str([message.text for message in on.model.requests[1].messages])
        history += [
            Message.user("question for sam").with_id("trn_2.0"),
            Message.assistant("second").with_id("trn_2.1"),
        ]
        await on.say("kain", "and now?", turn="trn_3", history=history)
        seen = [message.text for message in on.model.requests[2].messages]
        assert seen[1:] == ["secret of kain", "first", "and now?"]


async def test_with_presence_a_voice_is_told_no_claims_that_it_did_not_hear() -> None:
    history = [
        Message.user("The secret of the release is its price.").with_id("trn_1.0"),
        Message.assistant("first").with_id("trn_1.1"),
    ]
    async with stage("fine", presence=True, repairs=False) as on:
        await on.say("iskriv", turn="trn_2", history=history)
        assert "secret" not in on.model.requests[0].messages[0].text
        assert f"C1: {ASKED}" in on.model.requests[0].messages[0].text


async def test_a_switched_off_sampler_changes_nothing() -> None:
    async with stage("fine", sampler=False, repairs=False) as on:
        assert not any(voice.parameters for voice in on.harness.voices.values())
        await on.say("kain")
        assert on.model.requests[0].parameters == {"temperature": 0.5}


def test_the_better_of_two_answers_breaks_fewer_demands() -> None:
    one, two = mending.Judged("a", KAIN_POLICY.checks[:2]), mending.Judged("b", KAIN_POLICY.checks[:1])
    assert mending.better(one, two) is two
    assert mending.better(two, one) is two
    assert mending.better(one, mending.Judged("c", KAIN_POLICY.checks[:2])) is one
