import json
from collections.abc import AsyncIterator, Sequence

import pytest

from iskra_agents import AgentsSettings, Architect, Ask, Coder, Debug, Orchestrator
from iskra_agents.orchestrator import question_about
from iskra_agents.routing.context import RoutingContext
from iskra_agents.routing.levels import Level
from iskra_agents.routing.router import Router
from iskra_sdk import Agent, Message, Turn, hookimpl
from iskra_sdk.errors import ProviderUnavailableError
from iskra_sdk.llm import LLMRequest
from iskra_sdk.testing import ManualClock, PluginHarness, ScriptedModel
from iskra_sdk.turn import AgentCard

BUILT_IN = (Ask(), Coder(), Architect(), Debug())
UNCLEAR = "violet umbrellas for the northern hedgehogs"


class Named(Agent):
    """Answers with its name, without a model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.description = f"Stands in for {name}."

    async def run(self, turn: Turn) -> AsyncIterator[str]:
        yield f"{self.name} answers"


class Doubtful(Router):
    """Is sure of nothing that it has no words for."""

    def _chances(self, text: str, agents: Sequence[AgentCard]) -> dict[str, float] | None:
        chances = super()._chances(text, agents)
        return dict.fromkeys([agent.name for agent in agents], 0.25) if text == UNCLEAR else chances


class OnlyOrchestrator:
    """The plugin's orchestrator among agents that need no model."""

    def __init__(self, **settings: object) -> None:
        self.orchestrator = Orchestrator(Doubtful(ManualClock()), AgentsSettings(**settings))  # type: ignore[arg-type]

    @hookimpl
    def register_agents(self) -> list[Agent]:
        return [self.orchestrator, *(Named(name) for name in ("ask", "coder", "architect", "debug"))]


async def route(
    text: str,
    *,
    model: ScriptedModel | None = None,
    answers: tuple[str, ...] = (),
    voice: str = "",
    **settings: object,
) -> str:
    async with PluginHarness.open(OnlyOrchestrator(**settings), model=model) as harness:
        return (await harness.ask("orchestrator", text, answers=answers, voice=voice)).text


def says(agent: str, confidence: str = "high") -> ScriptedModel:
    return ScriptedModel(json.dumps({"agent": agent, "confidence": confidence}))


async def test_the_chosen_agent_answers_in_the_place_of_the_orchestrator() -> None:
    assert await route("run `python -V`") == "coder answers"


async def test_the_orchestrator_never_hands_over_to_itself() -> None:
    text = "@orchestrator orchestrator, hand this message to the agent that suits it best"
    assert "answers" in await route(text, answers=("ask",))


async def test_a_clear_message_asks_no_model() -> None:
    model = says("debug")
    assert await route("read README.md", model=model) == "ask answers"
    assert model.requests == []


async def test_an_unclear_message_asks_a_model_for_one_of_the_agents() -> None:
    model = says("architect")
    assert await route(UNCLEAR, model=model) == "architect answers"
    (request,) = model.requests
    form = request.parameters["response_format"]
    assert form["json_schema"]["schema"]["properties"]["agent"]["enum"] == ["ask", "coder", "architect", "debug"]  # type: ignore[index]
    assert request.tools == []
    assert request.messages[-1].text == UNCLEAR


@pytest.mark.parametrize(
    "reply",
    [
        "I think the coder",
        '{"agent": "nobody", "confidence": "high"}',
        "{}",
        "",
        ProviderUnavailableError("gone", mend="wait"),
    ],
)
async def test_a_model_that_helps_not_leaves_the_choice_to_the_user(reply: "str | ProviderUnavailableError") -> None:
    assert await route(UNCLEAR, model=ScriptedModel(reply), answers=("debug",)) == "debug answers"


async def test_a_model_that_is_unsure_leaves_the_choice_to_the_user() -> None:
    assert await route(UNCLEAR, model=says("coder", "low"), answers=("ask",)) == "ask answers"


async def test_a_fenced_answer_is_understood() -> None:
    model = ScriptedModel('Sure!\n```json\n{"agent": "coder", "confidence": "medium"}\n```')
    assert await route(UNCLEAR, model=model) == "coder answers"


async def test_without_a_model_the_user_is_asked_with_the_agents_as_options() -> None:
    async with PluginHarness.open(OnlyOrchestrator()) as harness:
        done = await harness.ask("orchestrator", UNCLEAR, answers=("1",))
    (question,) = done.questions
    assert "Please choose" in question
    assert done.text.endswith("answers")


async def test_a_stand_in_for_a_model_is_not_asked() -> None:
    model = says("coder")
    model.is_language_model = False
    assert await route(UNCLEAR, model=model, answers=("debug",)) == "debug answers"
    assert model.requests == []


async def test_questions_and_the_model_can_be_switched_off() -> None:
    model = says("coder")
    assert "answers" in await route(UNCLEAR, model=model, routing_model="", asks_when_unsure=False)
    assert model.requests == []


def test_the_question_is_in_the_language_of_the_message() -> None:
    cards: dict[str, Agent] = {"ask": Ask(), "weather": Named("weather")}
    assert question_about("сделай как-нибудь", ["ask", "weather"], cards).startswith("Не уверен")
    assert question_about("somehow", ["ask", "weather"], cards).splitlines()[1:] == [
        "- ask: look things up and explain, changing nothing",
        "- weather: Stands in for weather.",
    ]


async def test_what_happened_before_counts_for_the_next_message() -> None:
    requests: list[LLMRequest] = []

    def verdict(request: LLMRequest) -> str:
        requests.append(request)
        return '{"agent": "coder", "confidence": "high"}'

    async with PluginHarness.open(OnlyOrchestrator(), model=ScriptedModel(verdict, repeat=True)) as harness:
        assert (await harness.ask("orchestrator", "design the database schema for orders")).text == "architect answers"
        assert (await harness.ask("orchestrator", "yes, do that")).text == "architect answers"
        await harness.ask("orchestrator", UNCLEAR)
    (request,) = requests
    assert "architect, architect" in request.messages[0].text
    assert "design the database schema for orders" in request.messages[0].text


@pytest.mark.parametrize("text", ["yes, do that", "да", "ok", "👍"])
def test_a_message_that_says_nothing_goes_on_with_the_conversation_of_the_client(text: str) -> None:
    message = Message.user(text)
    history = [
        Message.user("Fix the parser"),
        Message.assistant("Shall I? Read the file, list the folder, what is wrong?"),
        message,
    ]
    found = Orchestrator().choose(message, history, BUILT_IN, RoutingContext())
    assert (found.agent, found.level) == ("coder", Level.MEDIUM)


def test_a_new_subject_is_not_held_back_by_an_old_one() -> None:
    message = Message.user("read README.md")
    history = [Message.user("Fix the parser"), message]
    assert Orchestrator().choose(message, history, BUILT_IN, RoutingContext()).agent == "ask"


async def test_who_picked_a_voice_came_to_talk_and_is_not_asked_who_should_answer() -> None:
    assert await route(UNCLEAR, voice="kain") == "ask answers"
    assert await route("write a unit test for parse_date", voice="kain") == "coder answers"


class Ignoring(Router):
    """Takes another agent for the likeliest, on weak evidence."""

    def _chances(self, text: str, agents: Sequence[AgentCard]) -> dict[str, float] | None:
        return {agent.name: {"perturber": 0.4, "debug": 0.3}.get(agent.name, 0.1) for agent in agents}


async def test_weak_evidence_for_another_agent_does_not_beat_the_built_in_ones() -> None:
    class Plugin:
        @hookimpl
        def register_agents(self) -> list[Agent]:
            settings = AgentsSettings(asks_when_unsure=False)
            names = ("perturber", "ask", "coder", "architect", "debug")
            return [Orchestrator(Ignoring(ManualClock()), settings), *(Named(name) for name in names)]

    async with PluginHarness.open(Plugin()) as harness:
        assert (await harness.ask("orchestrator", UNCLEAR)).text == "debug answers"
