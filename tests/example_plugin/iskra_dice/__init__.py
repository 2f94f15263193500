"""An agent that rolls dice."""

from collections.abc import Iterable

from pydantic import BaseModel, Field

from iskra_sdk import Agent, PluginContext, Tool, hookimpl

from .rolling import rolling_tool


class DiceSettings(BaseModel):
    sides: int = Field(6, ge=2, le=1000, description="Sides of a die.")


class Dice(Agent):
    name = "dice"
    description = "Rolls dice for games and decisions."
    examples = ("Roll two dice.",)
    prompt = "You roll dice with the tool roll_dice and tell the result."
    tools = ("roll_dice",)


@hookimpl
def settings_schema() -> type[BaseModel]:
    return DiceSettings


@hookimpl
def register_agents() -> Iterable[Agent]:
    return [Dice()]


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    assert isinstance(context.settings, DiceSettings)
    return [rolling_tool(context.settings.sides)]
