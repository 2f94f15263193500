# /// iskra-plugin
# name = "probe"
# permissions = ["routes"]
# ///
"""A plugin that makes the server do what the tests of its HTTP layer need."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from iskra_sdk import (
    Agent,
    DeferredApp,
    LLMProvider,
    LLMRequest,
    PluginContext,
    PluginRoutes,
    Tool,
    Voice,
    hookimpl,
    tool,
)
from iskra_sdk.errors import ProviderRejectedError, ProviderUnavailableError
from iskra_sdk.llm import LLMChunk, Usage
from iskra_sdk.turn import ReasoningDelta, Turn, TurnEvent

written: list[str] = []
calls: list[str] = []
cancelled: list[str] = []


@tool(risk="write")
async def write_note(text: str) -> str:
    """Write a note.

    Args:
        text: The note.
    """
    written.append(text)
    return f"wrote {text}"


class Echo(Agent):
    name = "echo"
    description = "Repeats what it hears."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        calls.append(turn.input.text)
        for word in turn.input.text.split():
            yield f"{word} "
        yield f"({sum(message.role == 'user' for message in turn.messages)})"


class Notes(Agent):
    name = "notes"
    description = "Writes notes; every word is a tool call that asks."
    tools = ("write_note",)

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        calls.append(turn.input.text)
        yield "Let me write that down."
        result = await turn.call_tool("write_note", {"text": turn.input.text})
        yield f"Result: {result.content}"


class Asker(Agent):
    name = "asker"
    description = "Asks back."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        answer = await turn.ask("Tea or coffee?", ["tea", "coffee"])
        yield f"You get {answer}."


class Slow(Agent):
    name = "slow"
    description = "Says one word and never gets to the second."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        yield ReasoningDelta("thinking")
        yield "one "
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(turn.id)


class Broken(Agent):
    name = "broken"
    description = "Fails."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        if turn.input.text:
            raise ValueError("a secret path /root/secret")
        yield ""


class Fake(LLMProvider):
    """Answers by the name of the model."""

    name = "fake"

    async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        if model == "reject":
            raise ProviderRejectedError("The upstream said no.", upstream_status=400)
        if model == "down":
            raise ProviderUnavailableError("The upstream is away.")
        words = request.messages[-1].text.split() or ["nothing"]
        if model == "endless":
            try:
                while True:
                    yield LLMChunk(text="x" * 1000)
                    await asyncio.sleep(0)
            finally:
                cancelled.append("endless")
        if model == "hang":
            try:
                yield LLMChunk(text="one ")
                await asyncio.Event().wait()
            finally:
                cancelled.append("hang")
        for word in words:
            yield LLMChunk(text=f"{word} ", wire=_wire({"content": f"{word} "}) if model == "wire" else None)
            if model == "cut":
                raise ProviderUnavailableError("The upstream went away.")
        yield LLMChunk(finish_reason="stop", wire=_wire({}, "stop") if model == "wire" else None)
        usage = Usage(len(words), len(words))
        yield LLMChunk(usage=usage, wire=_wire(None, usage=usage) if model == "wire" else None)

    async def models(self) -> list[str]:
        return ["wire", "plain"]


def _wire(delta: dict[str, str] | None, finish: str | None = None, usage: Usage | None = None) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, **({"finish_reason": finish} if finish else {})}]
    document = {"id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "choices": choices}
    return {**document, "usage": usage.wire} if usage else document


routes = FastAPI()


@routes.get("/hello")
async def hello() -> dict[str, str]:
    """Say hello."""
    return {"hello": "world"}


@routes.get("/crash")
async def crash() -> None:
    """Fail."""
    raise RuntimeError("a secret path /root/secret")


@hookimpl
def register_agents(context: PluginContext) -> Iterable[Agent]:
    return [Echo(), Notes(), Asker(), Slow(), Broken()]


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    return [write_note]


@hookimpl
def register_voices(context: PluginContext) -> Iterable[Voice]:
    return [Voice(name="calm", preamble="Speak calmly.")]


@hookimpl
def register_llm_providers(context: PluginContext) -> Iterable[LLMProvider]:
    return [Fake()]


made: list[str] = []


@routes.get("/made")
async def made_so_far() -> list[str]:
    return made


def make_late_app() -> FastAPI:
    late = FastAPI(openapi_url=None)
    made.append("late")

    @late.post("/body")
    async def body(number: Annotated[int, Body(embed=True)]) -> int:
        return number

    @late.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "No coffee here.", headers={"X-Pot": "tea"})

    @late.get("/number")
    async def number(value: int) -> dict[str, int]:
        if value < 0:
            raise ProviderRejectedError("No number below nought.", upstream_status=400)
        return {"value": value}

    return late


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    late = DeferredApp(make_late_app)
    return [
        PluginRoutes(path="/api/v1/probe", app=routes, permission="agents:read", openapi=routes.openapi),
        PluginRoutes(path="/api/v1/late", app=late, permission="agents:read", openapi=late.openapi),
    ]
