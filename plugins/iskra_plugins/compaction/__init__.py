"""Fits long conversations into a model's context.

The strategy ``compact`` keeps what matters, replaces the rest by a summary that says what it replaces, and never tears
a tool call from its result. The tool ``read_message`` returns anything that was left out.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from iskra_plugins.compaction.pinned import MOST, Pinned
from iskra_plugins.compaction.reading import find_message, read_message_tool
from iskra_plugins.compaction.settings import CompactionSettings
from iskra_plugins.compaction.strategy import Compact
from iskra_sdk import PluginContext, Tool, hookimpl
from iskra_sdk.context_strategy import ContextStrategy
from iskra_sdk.errors import BadInputError, NotFoundError
from iskra_sdk.ids import SessionId
from iskra_sdk.pins import Pins
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.routes import DeferredApp, PluginRoutes

__all__ = ["CompactionSettings", "settings_schema"]

_Id = Annotated[str, Path(max_length=100)]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return CompactionSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    """Tell other plugins which messages are pinned, as long as the plugin runs."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        # A Protocol names the service; mypy takes concrete classes only there.
        context.provide(Pins, Pinned(context))  # type: ignore[type-abstract]
        yield

    return running()


@hookimpl
def register_context_strategies(context: PluginContext) -> Iterable[ContextStrategy]:
    settings = CompactionSettings.model_validate(context.settings.model_dump())
    return (Compact(context.llm, Pinned(context), settings),)


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    return (read_message_tool(lambda: context),)


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    """Offer to pin messages: they stay in view, however long the conversation gets."""
    app = DeferredApp(lambda: _app(context))
    return (PluginRoutes("/api/v1/pins", app, "sessions:write", openapi=app.openapi),)


def _app(context: PluginContext) -> FastAPI:
    app = FastAPI(title="Pinned messages", openapi_url=None, docs_url=None, redoc_url=None)
    pinned = Pinned(context)

    @app.get("/{session_id}", tags=["sessions"])
    async def list_pins(request: Request, session_id: _Id) -> JSONResponse:
        """List the pinned messages of a session."""
        session = await context.sessions.session(request.scope["state"]["principal"], SessionId(session_id))
        return JSONResponse({"data": await pinned.in_session(session.id)})

    @app.put("/{session_id}/{message_id}", tags=["sessions"])
    async def pin_message(request: Request, session_id: _Id, message_id: _Id) -> JSONResponse:
        """Keep a message in view."""
        principal = request.scope["state"]["principal"]
        if await find_message(context, principal, SessionId(session_id), message_id) is None:
            raise NotFoundError(f"The session has no message {message_id!r}.", mend="List the session's messages.")
        ids = await pinned.in_session(SessionId(session_id))
        if message_id not in ids:
            if len(ids) >= MOST:
                raise BadInputError(f"A session can have {MOST} pinned messages.", mend="Unpin one first.")
            await pinned.put(SessionId(session_id), [*ids, message_id])
        return JSONResponse({"data": await pinned.in_session(SessionId(session_id))})

    @app.delete("/{session_id}/{message_id}", tags=["sessions"])
    async def unpin_message(request: Request, session_id: _Id, message_id: _Id) -> JSONResponse:
        """Let a message go with the others."""
        session = await context.sessions.session(request.scope["state"]["principal"], SessionId(session_id))
        ids = [pin for pin in await pinned.in_session(session.id) if pin != message_id]
        await pinned.put(session.id, ids)
        return JSONResponse({"data": ids})

    return app
