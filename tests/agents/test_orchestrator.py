from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from iskra_agents import Architect, Ask, Coder, Debug, Orchestrator
from iskra_agents.orchestrator import choose
from iskra_sdk import Agent, Message, Turn

AGENTS: Sequence[Agent] = (Orchestrator(), Ask(), Coder(), Architect(), Debug())


@dataclass
class HandOffTurn:
    """The part of a turn that the orchestrator uses."""

    input: Message
    messages: Sequence[Message] = ()
    agents: Mapping[str, Agent] = field(default_factory=lambda: {agent.name: agent for agent in AGENTS})
    handed_to: list[str] = field(default_factory=list)

    async def hand_off(self, agent: str) -> AsyncIterator[str]:
        self.handed_to.append(agent)
        yield f"{agent} "
        yield "answers"


async def answer(turn: HandOffTurn) -> str:
    return "".join([str(event) async for event in Orchestrator().run(cast("Turn", cast("Any", turn)))])


async def test_the_chosen_agent_answers_in_the_place_of_the_orchestrator() -> None:
    turn = HandOffTurn(Message.user("run `python -V`"))
    assert await answer(turn) == "coder answers"
    assert turn.handed_to == ["coder"]


async def test_the_orchestrator_never_hands_over_to_itself() -> None:
    turn = HandOffTurn(Message.user("@orchestrator orchestrator, hand this message to the agent that suits it best"))
    await answer(turn)
    assert turn.handed_to != ["orchestrator"]


@pytest.mark.parametrize("text", ["yes, do that", "да", "ok", "👍"])
def test_a_message_that_says_nothing_goes_on_with_the_agent_of_the_conversation(text: str) -> None:
    message = Message.user(text)
    history = [
        Message.user("Fix the parser"),
        Message.assistant("Shall I? Read the file, list the folder, what is wrong?"),
        message,
    ]
    found = choose(message, history, AGENTS[1:])
    assert found.agent == "coder"
    assert 0 < found.confidence < choose(history[0], history[:1], AGENTS[1:]).confidence


def test_a_new_subject_is_not_held_back_by_an_old_one() -> None:
    message = Message.user("read README.md")
    assert choose(message, [Message.user("Fix the parser"), message], AGENTS[1:]).agent == "ask"


def test_a_first_message_without_a_subject_goes_to_ask() -> None:
    message = Message.user("hm")
    assert choose(message, [message], AGENTS[1:]).agent == "ask"
