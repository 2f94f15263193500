"""MCP in both directions: tools of MCP servers as tools of ours, and agents and tools of ours for MCP clients.

It needs the extra ``mcp``, and loads it only where it is used; without it, it says how to install it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from iskra_plugins.mcp.command import mcp
from iskra_plugins.mcp.plugin_parts import Parts
from iskra_plugins.mcp.settings import MCPSettings, OfferedServer, RemoteServer
from iskra_plugins.mcp.tool_runner import ToolRunner
from iskra_sdk import Agent, Command, PluginContext, Tool, hookimpl
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.routes import PluginRoutes

__all__ = ["MCPSettings", "OfferedServer", "RemoteServer", "settings_schema"]

_parts: WeakKeyDictionary[PluginContext, Parts] = WeakKeyDictionary()


def _parts_of(context: PluginContext) -> Parts:
    """Return what the hooks of one generation share."""
    if context not in _parts:
        _parts[context] = Parts(context, MCPSettings.model_validate(context.settings.model_dump()))
    return _parts[context]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return MCPSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await _parts_of(context).connect()
        yield

    return running()


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    return _parts_of(context).tools


@hookimpl
def register_agents(context: PluginContext) -> Iterable[Agent]:
    offered = _parts_of(context).settings.offer
    return (ToolRunner(offered.tools),) if offered.enabled and offered.tools else ()


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    return _parts_of(context).routes


@hookimpl
def register_commands() -> Iterable[Command]:
    return (Command("mcp", "MCP servers and their tools: list, accept SERVER TOOL [DIGEST].", mcp),)
