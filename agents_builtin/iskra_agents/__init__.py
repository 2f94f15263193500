"""The built-in agents, as the plugin ``agents``."""

from collections.abc import Iterable

from iskra_agents.architect import Architect
from iskra_agents.ask import Ask
from iskra_agents.coder import Coder
from iskra_agents.debug import Debug
from iskra_agents.orchestrator import Orchestrator
from iskra_sdk import Agent, hookimpl

__all__ = ["Architect", "Ask", "Coder", "Debug", "Orchestrator", "register_agents"]


@hookimpl
def register_agents() -> Iterable[Agent]:
    return [Orchestrator(), Ask(), Coder(), Architect(), Debug()]
