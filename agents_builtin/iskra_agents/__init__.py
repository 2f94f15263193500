"""The built-in agents, as the plugin ``agents``."""

from collections.abc import Iterable

from pydantic import BaseModel

from iskra_agents.architect import Architect
from iskra_agents.ask import Ask
from iskra_agents.coder import Coder
from iskra_agents.debug import Debug
from iskra_agents.orchestrator import Orchestrator
from iskra_agents.routing.router import Router
from iskra_agents.settings import AgentsSettings
from iskra_sdk import Agent, PluginContext, hookimpl

__all__ = ["AgentsSettings", "Architect", "Ask", "Coder", "Debug", "Orchestrator", "register_agents", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return AgentsSettings


@hookimpl
def register_agents(context: PluginContext) -> Iterable[Agent]:
    settings = AgentsSettings.model_validate(context.settings.model_dump())
    agents = [Orchestrator(Router(context.clock), settings), Ask(), Coder(), Architect(), Debug()]
    for agent in agents:
        agent.tools = (*agent.tools, *settings.more_tools.get(agent.name, ()))
    return agents
