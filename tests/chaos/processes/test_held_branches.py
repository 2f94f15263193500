"""Branches are held open for two turns, in which the person may take another one: by number in chat, or by the API."""

from typing import Any

import pytest

from chaos.processes.stage import ALICE, Stage, stage
from iskra_sdk.errors import BadInputError, ConflictError
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.testing.scripted_model import Pause
from iskra_sdk.tool import ToolContext

PLAIN = "As I said, the plan comes first. Make a list of what is needed and who does it."
BARGE = "Moor a barge at the quay and let the fair float."
CHOIR = "Let the choir of the school open every stall with a song."


async def branched(given: Stage, intensity: float = 0.2) -> tuple[str, Any, str]:
    """Play the turn of the branches; return the session, its process and the answer."""
    session_id = await given.session()
    process = await given.start(session_id, "quantum_flux", intensity)
    return session_id, process, await given.turn(session_id, "How can the fair surprise people?")


async def test_the_others_are_offered_by_number_and_one_is_taken_without_a_model() -> None:
    async with stage(PLAIN, BARGE, CHOIR, PLAIN) as given:
        session_id, process, answer = await branched(given)
        record = {each["number"]: each for each in process.intermediate_results}
        assert set(record) == {0, 1, 2}
        assert answer.startswith(record[0]["text"])
        assert "(say a number" in answer
        assert process.status == "active"
        assert await given.turn(session_id, "Take 2, please") == record[2]["text"]
        assert len(given.model.requests) == 3
        assert [each["number"] for each in process.intermediate_results if each["chosen"]] == [2]
        assert process.status == "completed"
        assert "the person chose branch 2" in [each.reason for each in process.history]
        assert await given.turn(session_id, "1") == PLAIN  # the choice is over


async def test_the_hold_is_over_after_two_turns_that_nothing_changes() -> None:
    async with stage(PLAIN, BARGE, CHOIR, *[PLAIN] * 3) as given:
        session_id, process, _ = await branched(given)
        await given.turn(session_id, "Go on.")
        assert process.status == "active"
        await given.turn(session_id, "We need 2 stages.")
        assert process.status == "completed"
        assert [each.messages[0].text for each in given.model.requests[3:]] == ["Be useful."] * 2
        with pytest.raises(ConflictError, match="held open"):
            await given.parts.engine.choose_branch(process, 1)
        assert await given.turn(session_id, "2") == PLAIN


async def test_a_choice_by_the_api_is_what_the_next_answer_goes_on_from() -> None:
    async with stage(PLAIN, BARGE, CHOIR, PLAIN, PLAIN) as given:
        session_id, process, _ = await branched(given)
        with pytest.raises(BadInputError, match="no branch 7"):
            await given.parts.engine.choose_branch(process, 7)
        text = await given.parts.engine.choose_branch(process, 1)
        await given.turn(session_id, "Go on.")
        assert text in given.model.requests[-1].messages[0].text
        assert process.status == "completed"
        await given.turn(session_id, "Go on.")
        assert given.model.requests[-1].messages[0].text == "Be useful."


async def test_from_level_two_on_the_answer_after_the_choice_calms_down() -> None:
    async with stage(*[PLAIN, BARGE, CHOIR, BARGE][:4], *[PLAIN] * 3) as given:
        session_id, process, _ = await branched(given, 0.5)
        await given.turn(session_id, "1")
        assert process.status == "stabilizing"
        await given.turn(session_id)
        assert "Settle down" in given.model.requests[-1].messages[0].text
        assert process.status == "completed"


async def test_who_asks_for_another_operation_lets_the_branches_go() -> None:
    async with stage(PLAIN, BARGE, CHOIR, PLAIN) as given:
        session_id, process, _ = await branched(given)
        other = await given.start(session_id, "micro_disturbance")
        assert process.status == "completed"
        assert other.is_running


async def test_late_branches_leave_the_plain_one_and_what_is_there_is_offered() -> None:
    async with stage(PLAIN, BARGE, Pause()) as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        given.parts._speaking.around.__self__._branching._least_wait = 0.2
        answer = await given.turn(session_id, "How can the fair surprise people?")
        assert answer.startswith(PLAIN)
        assert [each["branch"] for each in process.intermediate_results if each["chosen"]] == ["base"]
        assert await given.turn(session_id, "1") == BARGE


async def test_taking_it_back_while_it_is_held_leaves_the_conversation_as_it_is() -> None:
    async with stage(PLAIN, BARGE, CHOIR, PLAIN) as given:
        session_id, process, _ = await branched(given)
        await given.parts.engine.roll_back(process, "taken back")
        assert await given.turn(session_id, "2") == PLAIN


NAMED = "Moor a barge at the quay.\n\nOther ways:\n1. A choir opens every stall.\n2. Kites over the old town."
SPEC = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}


async def named(given: Stage, *asked: str) -> tuple[Any, list[str]]:
    """Hold turns of an agent with tools; return the process and what the model was told in each."""
    session_id = await given.session()
    process = await given.start(session_id, "quantum_flux", 0.2)
    for text in asked:
        request = given.request(session_id, text, tools=[SPEC])
        answer = await given.answer(request)
        await given.stored(session_id, text, answer)
        await given.publish("turn.completed", session_id, request.caller.turn_id)
    return process, [each.messages[0].text for each in given.model.requests]


async def test_an_agent_with_tools_names_the_others_and_writes_out_the_chosen_one() -> None:
    async with stage(NAMED, CHOIR, PLAIN) as given:
        process, told = await named(given, "How can the fair surprise people?", "вариант 1", "Go on.")
        assert "Other ways:" in told[0]
        assert "A choir opens every stall." in told[1]
        assert told[2] == "Be useful."
        assert [each["number"] for each in process.intermediate_results if each["chosen"]] == [1]
        assert process.status == "completed"


async def test_what_is_chosen_through_the_agent_is_written_out_by_the_next_answer() -> None:
    async with stage(NAMED, CHOIR, PLAIN) as given:
        process, _ = await named(given, "How can the fair surprise people?")
        tools = {tool.name: tool for tool in given.harness.registered("register_tools")}
        tool, context = tools["choose_perturbed_answer"], ToolContext(ALICE, SessionId("s"), TurnId("t9"))
        told = await tool.run(tool.validate({"number": 1, "words": "take 1"}), context)
        assert "A choir opens every stall.\n\nThe next answer goes on from it." in getattr(told, "content", "")
        await given.publish("turn.completed", "s", "t9")
        assert process.status == "active"
        await given.turn("s", "Go on.")
        assert "A choir opens every stall." in given.model.requests[-1].messages[0].text
        assert process.status == "completed"


@pytest.mark.parametrize("answer", ["A barge.", "1. A barge.", "A barge:\n2. One.\n3. Two.", "1. One\n2. Two"])
async def test_where_nothing_is_named_nothing_is_held(answer: str) -> None:
    async with stage(answer, PLAIN) as given:
        process, told = await named(given, "How can the fair surprise people?", "1")
        assert process.status == "completed"
        assert told[1] == "Be useful."
