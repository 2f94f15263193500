"""Operations that do harm or no good end before their answers are given."""

import pytest

from chaos.processes.stage import ALICE, stage
from chaos.processes.test_speaking import is_perturbed
from iskra_chaos.operations.stop_rules import WENT_BACK
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.tool import ToolContext, ToolInvocation

ASTRAY = "Penguins huddle in winter, sharing warmth with their chicks on bare ice."
GOOD = "Rent the stage from a theatre, and ask volunteers to bring carpets and lamps."
OTHERS = "Plant willows beside every gate, then paint them orange before the band arrives."


async def test_a_broken_pattern_that_costs_the_task_is_taken_back() -> None:
    async with stage(GOOD, ASTRAY, GOOD) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break", 1.0)
        await given.turn(session_id, "And the stage?")
        assert process.status == "active"
        await given.turn(session_id, "And the lamps?")
        assert (process.status, process.history[-1].reason) == ("rolled_back", "an answer lost the task")
        await given.turn(session_id, "And now?")
        assert [is_perturbed(request) for request in given.model.requests] == [True, True, False]


@pytest.mark.parametrize("operation", ["pattern_break", "fire_reset"])
@pytest.mark.parametrize("words", ["Go back.", "Верни как было"])
async def test_a_user_who_wants_to_go_back_gets_it_with_the_next_answer(words: str, operation: str) -> None:
    async with stage(GOOD, GOOD) as given:
        session_id = await given.session()
        process = await given.start(session_id, operation, 1.0)
        await given.turn(session_id, "And the stage?")
        await given.turn(session_id, words)
        assert (process.status, process.history[-1].reason) == ("rolled_back", WENT_BACK)
        assert [is_perturbed(request) for request in given.model.requests] == [True, False]
        assert "chaos.ethical_concern" not in given.told


async def test_who_tells_the_agent_to_go_back_takes_back_one_operation_and_not_two() -> None:
    async with stage(GOOD) as given:
        session_id = await given.session()
        before = await given.start(session_id, "micro_disturbance", 0.2)
        await given.turn(session_id)
        assert before.status == "completed"
        given.parts.choices._known.clear()  # no rest between the two
        process = await given.start(session_id, "pattern_break", 1.0)
        await given.publish("turn.started", session_id, "t9", input="верни как было")
        tools = {tool.name: tool for tool in given.harness.registered("register_tools")}
        tool = tools["take_back_perturbation"]
        context = ToolContext(ALICE, SessionId(session_id), TurnId("t9"))
        invocation = ToolInvocation(tool, {"words": "верни как было"}, context)
        told = await tool.run(tool.validate(dict(invocation.arguments)), context)
        assert "pattern_break" in str(told)
        assert (process.status, before.status) == ("rolled_back", "completed")


async def test_ideas_that_link_nothing_new_in_the_second_answer_stop() -> None:
    async with stage(ASTRAY, OTHERS) as given:
        session_id = await given.session()
        process = await given.start(session_id, "emergent_stimulation", 0.9)
        process.metrics_before["staleness"] = 1.0
        await given.turn(session_id)
        assert process.status == "active"
        await given.turn(session_id)
        assert (process.status, process.history[-1].reason) == ("aborted", "answer 2 links no new concept")


async def test_ideas_that_make_the_conversation_staler_stop() -> None:
    async with stage(GOOD) as given:
        session_id = await given.session()
        process = await given.start(session_id, "emergent_stimulation", 0.9)
        process.metrics_before["staleness"] = 0.0
        await given.turn(session_id)
        assert process.status == "aborted"
        assert process.history[-1].reason.startswith("staleness rose by")


async def test_a_branch_that_does_not_keep_what_was_asked_for_is_left_out() -> None:
    async with stage("Stage.", "A barge, a kite and a choir.", "Two words.") as given:
        session_id = await given.session()
        process = await given.start(session_id, "quantum_flux", 0.2)
        assert await given.answer(given.request(session_id, "Answer in one word: what comes first?")) == "Stage."
        assert [each["text"] for each in process.intermediate_results] == ["Stage."]
