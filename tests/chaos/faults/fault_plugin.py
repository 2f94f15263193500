# /// iskra-plugin
# name = "fault_probe"
# permissions = ["interceptors"]
# ///
"""A plugin that lets faults loose in a kernel, with something for each of them to hit."""

from collections.abc import AsyncIterator, Iterable

from chaos.faults.fault_kit import Parts
from iskra_chaos.faults.board import FaultBoard
from iskra_sdk import Agent, EventHandler, Interceptor, LLMProvider, PluginContext, Tool, hookimpl, tool
from iskra_sdk.errors import StoreError
from iskra_sdk.turn import Turn, TurnEvent

parts = Parts.waiting[-1] if Parts.waiting else Parts()  # none waits in the process that tries the plugin out first


@tool(risk="read")
async def look_up(city: str) -> dict[str, object]:
    """Look a city up.

    Args:
        city: Its name.
    """
    parts.calls.append(("look_up", city))
    if city == "the city on file":
        assert parts.context is not None
        city = str(await parts.context.state.get("city", "Rome"))
    return {"city": city, "population": 1234567, "area": 891, "mayor_name": f"{city} Smith", "year": parts.year}


@tool(risk="read")
async def weigh(city: str) -> dict[str, object]:
    """Say how many people live in a city, as another register has it.

    Args:
        city: Its name.
    """
    parts.calls.append(("weigh", city))
    return {"register": "B", "population": 1234567, "is_capital": True}


@tool(risk="read", reads=("file:{where}",))
async def read_sign(where: str) -> str:
    """Read the sign of a city.

    Args:
        where: At which gate.
    """
    return "Founded in 1234"


@tool(risk="write")
async def write_note(text: str) -> str:
    """Write a note.

    Args:
        text: The note.
    """
    parts.calls.append(("write_note", text))
    return f"wrote {text}"


class Helper(Agent):
    name = "helper"
    prompt = "Help."
    tools = ("*",)


class Reader(Agent):
    name = "reader"

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        assert parts.context is not None
        try:
            yield str(await parts.context.state.get("city", "Rome"))
        except StoreError:
            yield "unreadable"


@hookimpl
def register_tools() -> Iterable[Tool]:
    return [look_up, weigh, read_sign, write_note]


@hookimpl
def register_agents() -> Iterable[Agent]:
    return [Helper(), Reader()]


@hookimpl
def register_llm_providers() -> Iterable[LLMProvider]:
    return [parts.model]


@hookimpl
def register_event_handlers() -> Iterable[EventHandler]:
    return [EventHandler("probe.*", parts.take)]


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    if parts.board is None:
        parts.board = FaultBoard(
            parts.clock,
            start=context.tasks.start,
            traits=parts.traits,
            environment=parts.environment,
            on_change=lambda: context.tasks.start(context.refresh),
        )
        context.on_close(parts.board.close)
    parts.context = context
    return parts.board.interceptors()
