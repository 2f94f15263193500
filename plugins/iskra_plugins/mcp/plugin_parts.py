"""What the hooks of one generation of the plugin share."""

import asyncio
import importlib
import importlib.util
from typing import TYPE_CHECKING

from iskra_plugins.mcp.endpoint import ENDPOINT, Endpoint
from iskra_plugins.mcp.pins import Pins
from iskra_plugins.mcp.routes import admin_routes
from iskra_plugins.mcp.settings import MCPSettings
from iskra_sdk import PluginContext, Tool
from iskra_sdk.routes import PluginRoutes

if TYPE_CHECKING:
    from iskra_plugins.mcp.connection import Connection


class Parts:
    """The connections to MCP servers, and the endpoint for MCP clients.

    Args:
        context: The plugin's.
        settings: Which servers, and what is offered.
    """

    def __init__(self, context: PluginContext, settings: MCPSettings) -> None:
        self.settings = settings
        self._context = context
        self._connections: dict[str, Connection] = {}

    @property
    def tools(self) -> list[Tool]:
        """The tools of all servers; a dead server's stay, and say why they cannot run."""
        return [tool for connection in self._connections.values() for tool in connection.tools]

    @property
    def routes(self) -> list[PluginRoutes]:
        """The endpoint for MCP clients, and what admins see."""
        found = [admin_routes(self._connections)]
        if self.settings.offer.enabled:
            found.append(PluginRoutes(ENDPOINT, Endpoint(self._context, self.settings.offer), "chat"))
        return found

    async def connect(self) -> None:
        """Begin to connect to all servers; none of them is waited for."""
        if not self.settings.servers:
            return
        if importlib.util.find_spec("mcp") is None:
            self._context.logger.error("MCP servers need the package mcp: pip install 'iskra[mcp]'")
            return
        module = await asyncio.to_thread(importlib.import_module, "iskra_plugins.mcp.connection")
        for name, server in self.settings.servers.items():
            pins = Pins(self._context.state, name)
            await pins.load()
            self._connections[name] = module.Connection(
                name,
                server,
                pins,
                clock=self._context.clock,
                logger=self._context.logger,
                on_change=self._context.refresh,
            )
        for connection in self._connections.values():
            self._context.tasks.start(connection.run, name=f"mcp {connection.name}")
