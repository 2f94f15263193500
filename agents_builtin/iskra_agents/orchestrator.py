"""The agent that chooses the agent."""

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from iskra_agents.routing.context import RoutingContext, is_bare
from iskra_agents.routing.levels import Level
from iskra_agents.routing.model_layer import ask_model
from iskra_agents.routing.router import BUILT_IN, Choice, Router
from iskra_agents.settings import AgentsSettings
from iskra_sdk import Agent, Message, ToolCall, ToolResult, Turn, TurnEvent
from iskra_sdk.clock import SystemClock
from iskra_sdk.turn import AgentCard

logger = logging.getLogger(__name__)

MESSAGES_LOOKED_BACK = 5
"""How many earlier messages of the user may decide, when the last one ("yes, do that") says nothing about the agent."""

_CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
_QUESTION = (
    "I am not sure who should answer this. Please choose:",
    "Не уверен, кому передать это сообщение. Выберите, пожалуйста:",
)
_TASKS = {
    "ask": ("look things up and explain, changing nothing", "посмотреть и объяснить, ничего не меняя"),
    "coder": ("write or change code, run commands", "написать или изменить код, выполнить команды"),
    "architect": ("plan and design", "спланировать и спроектировать"),
    "debug": ("find out why something fails", "выяснить, почему что-то не работает"),
}


class Orchestrator(Agent):
    """Reads a message and hands it to the agent that suits it best.

    Args:
        router: The layers that need nobody else.
        settings: How it chooses.
    """

    name = "orchestrator"
    description = "Reads a message and hands it to the agent that suits it best."
    context_model = RoutingContext

    def __init__(self, router: Router | None = None, settings: AgentsSettings | None = None) -> None:
        self._router = router or Router(SystemClock())
        self._settings = settings or AgentsSettings()

    def observe(self, context: RoutingContext, call: ToolCall, result: ToolResult) -> None:
        context.note_call(call, result)

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        agents = [agent for agent in turn.agents.values() if agent.name != self.name]
        context = turn.context if isinstance(turn.context, RoutingContext) else RoutingContext()
        choice = await self._choose(turn, agents, context)
        logger.debug("message routed", extra={"agent": choice.agent, "level": choice.level, "why": choice.why})
        context.note_agent(choice.agent, turn.input.text, is_task=choice.is_task)
        async for event in turn.hand_off(choice.agent, reason=choice.why):
            yield event

    async def _choose(self, turn: Turn, agents: Sequence[AgentCard], context: RoutingContext) -> Choice:
        choice = self.choose(turn.input, turn.messages, agents, context, user=turn.principal.id)
        model = self._settings.routing_model
        if not choice.is_confirmed and model and turn.has_language_model(model):
            verdict = await ask_model(turn, agents, context, model=model)
            if verdict is not None:
                choice = replace(choice, agent=verdict.agent, level=verdict.confidence, why="a language model")
        if choice.level is Level.LOW and (turn.voice or not self._settings.asks_when_unsure):
            return _without_asking(choice, wants_talk=bool(turn.voice))
        if choice.level is Level.LOW and len(choice.options) > 1:
            options = list(dict.fromkeys([choice.agent, *choice.options]))
            agent = await turn.ask(question_about(turn.input.text, options, turn.agents), options)
            choice = replace(choice, agent=agent, level=Level.HIGH, why="the user's choice")
        return choice

    def choose(
        self,
        message: Message,
        history: Sequence[Message],
        agents: Sequence[AgentCard],
        context: RoutingContext,
        *,
        user: str = "",
    ) -> Choice:
        """Choose without asking anybody; where a message says nothing, the newest earlier one that does decides."""
        text = message.text
        if is_bare(text) and not context.last_agents:
            earlier = (past.text for past in reversed(history) if past.role == "user" and past != message)
            found = next((past for past in islice(earlier, MESSAGES_LOOKED_BACK) if not is_bare(past)), None)
            if found is not None:
                choice = self._router.choose(found, agents, context, user=user)
                why = f"goes on with what was said before: {choice.why}"
                level = Level.MEDIUM if choice.level is Level.HIGH else choice.level
                return replace(choice, why=why, level=level, is_task=False)
        return self._router.choose(text, agents, context, user=user)


def _without_asking(choice: Choice, *, wants_talk: bool) -> Choice:
    """Return who answers where nobody is sure and nobody is asked.

    Who picked a voice came to talk, so it is ``ask``; else the likeliest built-in agent: weak evidence for another one
    is words that happen to be the same.
    """
    built_in = [name for name in (choice.agent, *choice.options) if name in BUILT_IN]
    if wants_talk and "ask" in built_in:
        return replace(choice, agent="ask", why=f"{choice.why}; unsure, and a voice was picked to talk to")
    return replace(choice, agent=built_in[0]) if built_in else choice


def question_about(text: str, options: Sequence[str], agents: Mapping[str, AgentCard]) -> str:
    """Return the question who should answer, in the language of the message."""
    is_russian = _CYRILLIC.search(text) is not None
    lines = [_QUESTION[is_russian]]
    for name in options:
        described = _TASKS[name][is_russian] if name in _TASKS else agents[name].description
        lines.append(f"- {name}: {described}")
    return "\n".join(lines)
