"""What admins see of MCP servers over HTTP."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from iskra_sdk.errors import NotFoundError
from iskra_sdk.routes import DeferredApp, PluginRoutes

if TYPE_CHECKING:
    from iskra_plugins.mcp.connection import Connection

PATH = "/api/v1/mcp"


def admin_routes(connections: "Mapping[str, Connection]") -> PluginRoutes:
    """Return the routes."""
    app = DeferredApp(lambda: _app(connections))
    return PluginRoutes(PATH, app, "admin:plugins", openapi=app.openapi)


def _app(connections: "Mapping[str, Connection]") -> FastAPI:
    app = FastAPI(title="MCP servers", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/servers", tags=["mcp"])
    async def list_mcp_servers() -> JSONResponse:
        """List MCP servers, whether they are connected, and their tools."""
        return JSONResponse({"data": [_wire(connection) for connection in connections.values()]})

    @app.post("/servers/{server}/tools/{tool:path}/accept", tags=["mcp"])
    async def accept_mcp_tool(server: str, tool: str, digest: str = "") -> JSONResponse:
        """Offer a tool whose description has changed; with `digest` only the description that the list showed."""
        connection = connections.get(server)
        if connection is None:
            raise NotFoundError(f"There is no MCP server {server!r}.", mend="The list names those in the settings.")
        if not await connection.accept(tool, digest):
            raise NotFoundError(f"No tool {tool!r} of {server!r} waits to be looked at.", mend="Look at the list.")
        return JSONResponse(_wire(connection))

    return app


def _wire(connection: "Connection") -> dict[str, Any]:
    names = connection.names
    return {
        "name": connection.name,
        "connected": not connection.problem,
        "problem": connection.problem,
        "protocol_version": connection.protocol_version,
        "tools": [
            {
                "name": card.name,
                "offered_as": names.get(card.name),
                "changed": card.name in connection.changed,
                "risk": connection.risk(card.name),
                "description": card.description,
                "parameters": card.schema,
                "hints": card.hints,
                "digest": card.digest,
            }
            for card in connection.cards.values()
        ],
    }
