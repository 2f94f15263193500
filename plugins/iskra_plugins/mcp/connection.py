"""Keeps one MCP server connected: connects, lists its tools, follows changes, and tries again when it is gone."""

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import anyio
import httpx2
from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from iskra_plugins.mcp.pins import Pins, ToolCard
from iskra_plugins.mcp.remote_tools import card_of, make_tool, offered, risk_of, tool_name
from iskra_plugins.mcp.settings import RemoteServer
from iskra_sdk import Tool, ToolContext
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConflictError, ToolError, ToolTimeoutError

CONNECT_TIMEOUT = 20.0
HEARTBEAT = 30.0
"""Seconds between two looks at the list of tools, which also tell whether the server is there."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LEAST_PAUSE = 0.5
"""Seconds between two looks at the list of tools, however often a server says that it has changed."""
_MOST_TOOLS = 200
_MOST_PAGES = 50
_LONGEST_LOG_LINE = 500


class Connection:
    """One MCP server.

    Args:
        name: Its name in the settings.
        settings: How it is reached, and what is offered of it.
        pins: What its tools said of themselves.
        clock: For pauses.
        logger: The plugin's.
        on_change: Called when other tools are offered than before.
    """

    def __init__(
        self,
        name: str,
        settings: RemoteServer,
        pins: Pins,
        *,
        clock: Clock,
        logger: logging.Logger,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self.settings = settings
        self.problem = "it was not reached yet"
        """Why it is not connected; empty while it is."""
        self.protocol_version = ""
        self.cards: dict[str, ToolCard] = {}
        self.changed: set[str] = set()
        """Tools that say something else of themselves than before, and are not offered until somebody has looked."""
        self._pins = pins
        self._clock = clock
        self._logger = logger
        self._on_change = on_change
        self._client: Client | None = None
        self._look_again = asyncio.Event()

    # Offering --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> dict[str, str]:
        """Remote name → our name of what is offered."""
        found: dict[str, str] = {}
        for card in offered(self.cards, self.settings):
            if card.name not in self.changed:
                found[card.name] = tool_name(self.name, card.name, tuple(found.values()))
        return found

    @property
    def tools(self) -> list[Tool]:
        """What is offered now."""
        return [
            make_tool(self.name, self.cards[remote], self.settings, self.call, name=name)
            for remote, name in self.names.items()
        ]

    def risk(self, remote: str) -> str:
        """Return the risk that a tool counts as."""
        return str(risk_of(self.cards[remote], self.settings))

    async def accept(self, remote: str, digest: str = "") -> bool:
        """Offer a tool with its changed description; return whether there is such a tool.

        Args:
            remote: The tool's name there.
            digest: How that of the description begins that somebody has looked at.

        Raises:
            ConflictError: It describes itself differently again by now.
        """
        if remote not in self.changed:
            return False
        if not self.cards[remote].digest.startswith(digest):
            raise ConflictError(
                f"The tool {remote!r} of {self.name!r} describes itself differently again by now.",
                mend="Look at the list once more.",
            )
        await self._pins.accept(self.cards[remote])
        self.changed.discard(remote)
        await self._on_change()
        return True

    async def call(self, remote: str, arguments: dict[str, Any], context: ToolContext) -> CallToolResult:
        """Call a tool.

        Raises:
            ToolError: The server is not connected, refuses, or is gone in the middle.
            ToolTimeoutError: It takes too long.
        """
        client = self._client
        if client is None:
            raise ToolError(
                f"The MCP server {self.name!r} is not connected: {self.problem}.",
                mend="It is tried again and again; look at its settings if that does not help.",
            )

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            await context.progress(f"{share} {message or ''}".strip())

        has_answered = False
        try:
            async with asyncio.timeout(self.settings.timeout):
                answer = await client.call_tool(remote, arguments, progress_callback=tell)
                has_answered = True
                return answer
        except TimeoutError as exc:
            raise ToolTimeoutError(
                f"The MCP server {self.name!r} did not answer within {self.settings.timeout:g} s.",
                mend="Raise its `timeout`, or ask for less.",
            ) from exc
        except MCPError as exc:
            raise ToolError(f"The MCP server {self.name!r} refused the call: {exc.error.message[:500]}") from exc
        except ValidationError as exc:
            raise ToolError(f"The MCP server {self.name!r} answered with something that is no result.") from exc
        except (OSError, RuntimeError, httpx2.HTTPError, anyio.ClosedResourceError, anyio.BrokenResourceError) as exc:
            raise ToolError(
                f"The MCP server {self.name!r} was lost during the call, which may have taken effect: {_told(exc)}."
            ) from exc
        finally:
            if not has_answered:
                self._look_again.set()  # the first sign that the server is gone

    # Connecting ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await self._stay()
                self.problem = "it ended the connection"
            except asyncio.CancelledError:
                raise
            except BaseException as exc:  # the library raises groups of all kinds of errors
                self.problem = _told(exc)
            finally:
                self._client = None
            if self._clock.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            self._logger.warning(
                "MCP server not connected",
                extra={"server": self.name, "problem": self.problem, "next_try_seconds": round(pause, 1)},
            )
            await self._clock.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _stay(self) -> None:
        async with self._transport() as transport:
            client = Client(transport, message_handler=self._hear, cache=None)
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await stack.enter_async_context(client)
                self.protocol_version = client.protocol_version
                await self._list(client)
                self._client, self.problem = client, ""
                self._logger.info(
                    "MCP server connected",
                    extra={"server": self.name, "protocol": self.protocol_version, "tools": len(self.cards)},
                )
                async with asyncio.TaskGroup() as group:
                    if self.protocol_version in MODERN_PROTOCOL_VERSIONS:
                        group.create_task(self._listen(client), name=f"mcp {self.name}: listen")
                    group.create_task(self._watch(client), name=f"mcp {self.name}: watch")

    async def _watch(self, client: Client) -> None:
        """List the tools again when they have changed, and now and then."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._look_again.wait()
            self._look_again.clear()
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._list(client)
            await self._clock.sleep(_LEAST_PAUSE)

    async def _listen(self, client: Client) -> None:
        """Hear of changed tools from a server of the newest protocol; the watch goes on without."""
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._look_again.set()
        except (MCPError, RuntimeError, TimeoutError) as exc:
            self._logger.debug("MCP server tells no changes", extra={"server": self.name, "cause": _told(exc)})

    async def _hear(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._look_again.set()

    async def _list(self, client: Client) -> None:
        cards: dict[str, ToolCard] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            for remote in page.tools:
                cards.setdefault(remote.name, card_of(remote))
            cursor = page.next_cursor
            if cursor is None or len(cards) >= _MOST_TOOLS:
                break
        cards = dict(list(cards.items())[:_MOST_TOOLS])
        changed = await self._pins.admit(list(cards.values()))
        for name in changed - self.changed:
            self._logger.warning(
                "an MCP tool describes itself differently than before and is not offered until an admin accepts it",
                extra={"server": self.name, "tool": name},
            )
        if cards != self.cards or changed != self.changed:
            self.cards, self.changed = cards, changed
            await self._on_change()

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[AbstractAsyncContextManager[Any]]:
        settings = self.settings
        if settings.url is not None:
            headers = {name: secret.get_secret_value() for name, secret in settings.headers.items()}
            timeout = httpx2.Timeout(CONNECT_TIMEOUT, read=None)
            async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as http:
                yield streamable_http_client(str(settings.url), http_client=http)
            return
        program = StdioServerParameters(
            command=settings.command[0],
            args=settings.command[1:],
            env={name: secret.get_secret_value() for name, secret in settings.env.items()},
            cwd=Path(settings.folder) if settings.folder else None,
            encoding_error_handler="replace",
        )
        async with _logged_pipe(self._log) as errors:
            yield stdio_client(program, errlog=errors)

    def _log(self, line: str) -> None:
        self._logger.debug("MCP server says", extra={"server": self.name, "line": line[:_LONGEST_LOG_LINE]})


class _Lines(asyncio.Protocol):
    """Hands over the lines of a pipe."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take

    def data_received(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines()[:20]:
            self._take(line)


@asynccontextmanager
async def _logged_pipe(take: Callable[[str], None]) -> AsyncIterator[TextIO]:
    """Yield something that a program can write its errors to; what it writes is handed over by lines."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(writing, "w") as sink:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: _Lines(take), source)
        try:
            yield sink
        finally:
            transport.close()


def _told(error: BaseException) -> str:
    """Return the first cause of an error in a sentence."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return f"{type(error).__name__}: {str(error)[:300]}".rstrip(": ")
