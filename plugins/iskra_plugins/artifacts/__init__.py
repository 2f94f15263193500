"""Artefacts: what a tool returned beyond what a model should read at once.

A long result is kept whole as a file of the session; the model gets its beginning and its end, and the tool
``read_artifact`` for the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from iskra_plugins.artifacts.artifact_store import ArtifactStore
from iskra_sdk import (
    Event,
    EventHandler,
    Interceptor,
    PluginContext,
    Point,
    Tool,
    ToolContext,
    ToolResult,
    hookimpl,
    tool,
)
from iskra_sdk.interceptor import Proceed
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.tool import ToolInvocation

__all__ = ["ArtifactSettings", "settings_schema"]

READ_ARTIFACT = "read_artifact"
_TIDY_SECONDS = 3600.0
_HEAD = 0.75  # share of what is shown that comes from the beginning


class ArtifactSettings(BaseModel):
    """What is kept, and for how long."""

    model_config = ConfigDict(extra="forbid")

    shown: int = Field(default=24_000, ge=2_000, le=100_000, description="Characters of a result that a model gets.")
    longest: int = Field(
        default=20_000_000,
        ge=100_000,
        description="Characters of one result that are kept; the middle of more is lost.",
    )
    total_bytes: int = Field(default=1_000_000_000, ge=1_000_000, description="Bytes of all artefacts; the oldest go.")
    days: float = Field(default=30, gt=0, description="Days that an artefact is kept.")


def _store(context: PluginContext) -> ArtifactStore:
    settings = _settings(context)
    return ArtifactStore(context.data_dir / "sessions", settings.total_bytes, settings.days)


def _settings(context: PluginContext) -> ArtifactSettings:
    return ArtifactSettings.model_validate(context.settings.model_dump())


@hookimpl
def settings_schema() -> type[BaseModel]:
    return ArtifactSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    store = _store(context)

    async def tidy() -> None:
        while True:
            await asyncio.to_thread(store.tidy)
            await context.clock.sleep(_TIDY_SECONDS)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        context.tasks.start(tidy, name="tidy artefacts")
        yield

    return running()


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    store = _store(context)

    async def forget(event: Event) -> None:
        if event.session_id:
            await asyncio.to_thread(store.forget, event.session_id)

    return (EventHandler("session.deleted", forget),)


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    store, settings = _store(context), _settings(context)

    async def keep_the_rest(invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
        result: ToolResult = await proceed(invocation)
        text = result.content
        if len(text) <= settings.shown or invocation.tool.name == READ_ARTIFACT:
            return result
        call = invocation.context
        whole = shortened(text, settings.longest, "… {} characters lost …")
        try:
            artifact_id = await asyncio.to_thread(
                store.keep, call.session_id, call.effect_id or call.tool_call_id, whole
            )
        except OSError as exc:
            context.logger.warning("a long result could not be kept", exc_info=exc)
            return result  # the kernel cuts it, and says so
        rest = f'{READ_ARTIFACT}("{artifact_id}", offset={int(settings.shown * _HEAD)})'
        note = f"… {{}} characters left out; {rest} has them …"
        return replace(result, content=shortened(text, settings.shown, note))

    return (Interceptor(Point.TOOL_CALL, keep_the_rest, name="artifacts"),)


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    store, settings = _store(context), _settings(context)

    @tool(risk="read", reads=("artifact:{artifact_id}",), timeout=15.0)
    async def read_artifact(artifact_id: str, context: ToolContext, offset: int = 0, length: int = 20_000) -> str:
        """Read a piece of a long result that was shortened.

        Args:
            artifact_id: The id that the shortened result names.
            offset: Characters to skip.
            length: Characters to return.
        """
        text = await asyncio.to_thread(store.read, context.session_id, artifact_id)
        begin = min(max(0, offset), len(text))
        end = min(len(text), begin + max(1, min(length, settings.shown)))
        return f"[characters {begin} to {end} of {len(text)}]\n{text[begin:end]}"

    return (read_artifact,)


def shortened(text: str, most: int, note: str) -> str:
    """Return a text with its middle left out where it is longer than ``most``; ``note`` gets the number left out."""
    if len(text) <= most:
        return text
    head = int(most * _HEAD)
    tail = most - head
    return f"{text[:head]}\n{note.format(len(text) - most)}\n{text[-tail:]}"
