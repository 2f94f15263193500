"""The endpoint for MCP clients. The library behind it is large, so it is loaded with the first request."""

import asyncio
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from iskra_plugins.mcp.settings import OfferedServer
from iskra_sdk import PluginContext

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

ENDPOINT = "/mcp"
_START_TIMEOUT = 10.0
_MISSING = {
    "title": "Not Implemented",
    "status": 501,
    "detail": "MCP needs the Python package mcp, which is not installed.",
    "mend": "Install it with: pip install 'iskra[mcp]'",
}


class Endpoint:
    """An ASGI application that speaks MCP over streamable HTTP.

    Each request stands alone, so a client that comes back after a restart notices nothing.

    Args:
        context: The plugin's.
        settings: What is offered.
    """

    def __init__(self, context: PluginContext, settings: OfferedServer) -> None:
        self._context = context
        self._settings = settings
        self._manager: StreamableHTTPSessionManager | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if importlib.util.find_spec("mcp") is None:
            body = to_json(_MISSING)
            headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 501, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        async with self._starting:
            if self._manager is None:
                await self._start()
        if self._manager is not None:
            await self._manager.handle_request(scope, receive, send)

    async def _start(self) -> None:
        offering = await asyncio.to_thread(importlib.import_module, "iskra_plugins.mcp.offering")
        manager = offering.make_manager(self._context, self._settings)
        is_running = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                is_running.set()
                await asyncio.Event().wait()

        self._context.tasks.start(run, name="mcp endpoint")
        async with asyncio.timeout(_START_TIMEOUT):  # a start that fails must not hold up all later requests
            await is_running.wait()
        self._manager = manager
