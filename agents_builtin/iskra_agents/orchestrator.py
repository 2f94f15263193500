"""The agent that chooses the agent."""

import logging
from collections.abc import AsyncIterator, Sequence
from itertools import islice

from iskra_agents.routing import Route, route
from iskra_sdk import Agent, Message, Turn, TurnEvent
from iskra_sdk.turn import AgentCard

logger = logging.getLogger(__name__)

MESSAGES_LOOKED_BACK = 5
"""How many earlier messages of the user may decide, when the last one ("yes, do that") says nothing about the agent."""


class Orchestrator(Agent):
    name = "orchestrator"
    description = "Reads a message and hands it to the agent that suits it best."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        agents = [agent for agent in turn.agents.values() if agent.name != self.name]
        chosen = choose(turn.input, turn.messages, agents)
        logger.debug("message routed", extra={"agent": chosen.agent, "confidence": chosen.confidence})
        async for event in turn.hand_off(chosen.agent):
            yield event


def choose(message: Message, history: Sequence[Message], agents: Sequence[AgentCard]) -> Route:
    """Route a message; where it says nothing about the agent, the newest earlier message that does decides."""
    first = route(message.text, agents)
    if first.confidence > 0:
        return first
    earlier = (past.text for past in reversed(history) if past.role == "user" and past != message)
    for text in islice(earlier, MESSAGES_LOOKED_BACK):
        found = route(text, agents)
        if found.confidence > 0:
            return Route(found.agent, found.confidence / 2, f"goes on with what was said before: {found.why}")
    return first
