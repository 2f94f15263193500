"""The endpoint for MCP clients. The library behind it is large, so it is loaded with the first request."""

import asyncio
import importlib
import importlib.util
from contextlib import AsyncExitStack
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
_FAILED = {
    "title": "Service Unavailable",
    "status": 503,
    "mend": "The server's log has the details. The next request tries again.",
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
        self._start: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if importlib.util.find_spec("mcp") is None:
            await _respond(send, _MISSING)
            return
        try:
            manager = self._manager or await self._started()
        except Exception as exc:  # the library is foreign; everything else on this server goes on without it
            await _respond(send, {**_FAILED, "detail": f"The MCP endpoint did not start: {_cause(exc)}."})
            return
        await manager.handle_request(scope, receive, send)

    async def _started(self) -> "StreamableHTTPSessionManager":
        """Start, or wait for the start that is under way; whoever waits for one shares what comes of it."""
        start = self._start
        if start is None or start.done():
            start = self._start = asyncio.get_running_loop().create_future()
            self._context.tasks.start(lambda: self._run(start), name="mcp endpoint")
        await asyncio.wait([start])  # not the future itself, which a client that leaves would cancel for all
        return start.result()

    async def _run(self, start: "asyncio.Future[StreamableHTTPSessionManager]") -> None:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_START_TIMEOUT):
                    offering = await asyncio.to_thread(importlib.import_module, "iskra_plugins.mcp.offering")
                    manager: StreamableHTTPSessionManager = offering.make_manager(self._context, self._settings)
                    await stack.enter_async_context(manager.run())
            except asyncio.CancelledError:
                _fail(start, RuntimeError("the plugin was stopped"))
                raise
            except Exception as exc:
                self._context.logger.error("MCP endpoint did not start", extra={"cause": _cause(exc)}, exc_info=exc)
                _fail(start, exc)
                return
            start.set_result(manager)
            self._manager = manager
            try:
                await asyncio.Event().wait()
            finally:
                self._manager = None


def _fail(start: asyncio.Future[Any], error: Exception) -> None:
    start.set_exception(error)
    start.exception()  # counts as told, also if everybody who waited has left


def _cause(error: Exception) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"[:300]


async def _respond(send: Any, problem: dict[str, object]) -> None:
    body = to_json(problem)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body})
