"""Upstreams that hang, seen through the router: each call ends, as an error, within its deadlines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from iskra.interceptors import Points
from iskra.llm import LLMRouter
from iskra.plugin_host.catalog import Owned
from iskra.settings import AliasSettings, LLMSettings
from iskra_plugins.openai_compatible.provider import OpenAICompatibleProvider
from iskra_plugins.openai_compatible.settings import EndpointSettings
from iskra_sdk.clock import SystemClock
from iskra_sdk.errors import LLMError, ProviderTimeoutError, StreamInterruptedError
from iskra_sdk.llm import LLMChunk, LLMProvider, LLMRequest
from iskra_sdk.message import Message
from iskra_sdk.testing.memory_bus import MemoryEventBus

REQUEST = LLMRequest((Message.user("hi"),))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'

Send = Callable[[bytes], Awaitable[None]]


async def drip(send: Send, data: bytes) -> None:
    for byte in data:
        await send(bytes([byte]))
        await asyncio.sleep(0.01)


async def drip_the_head(send: Send) -> None:
    await drip(send, HEAD)


async def drip_the_first_token(send: Send) -> None:
    await send(HEAD)
    await drip(send, TOKEN * 100)


async def ping_for_ever(send: Send) -> None:
    await send(HEAD)
    await drip(send, b":\n" * 10_000)


async def drip_after_the_first_token(send: Send) -> None:
    await send(HEAD + TOKEN)
    await drip(send, TOKEN * 100)


async def be_silent(send: Send) -> None:
    """Take the request and say nothing."""


async def be_silent_after_the_head(send: Send) -> None:
    await send(HEAD)


async def be_silent_after_the_first_token(send: Send) -> None:
    await send(HEAD + TOKEN)


class Line:
    """An upstream that answers one way, behind a router with short deadlines."""

    def __init__(self, router: LLMRouter, provider: LLMProvider) -> None:
        self.hung_up = asyncio.Event()
        self.reached = asyncio.Event()
        self._router = router
        self._providers = {"up": Owned(provider, "openai_compatible", 1)}

    def stream(self) -> AsyncIterator[LLMChunk]:
        return self._router.stream(REQUEST, self._providers)

    async def text(self) -> str:
        return "".join([chunk.text async for chunk in self.stream()])


@asynccontextmanager
async def line(behave: Callable[[Send], Awaitable[None]], *, patience: float = 0.15) -> AsyncIterator[Line]:
    opened: Line | None = None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert opened is not None

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        async def answer() -> None:
            await behave(send)
            await asyncio.get_running_loop().create_future()

        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # a slow machine gave the request up before it was sent
            writer.transport.abort()
            opened.hung_up.set()
            return
        opened.reached.set()
        answering = asyncio.create_task(answer())
        try:
            while await reader.read(65_536):
                pass  # the rest of the request; after it comes only the end
        except ConnectionError:
            pass
        finally:
            answering.cancel()
            await asyncio.wait([answering])
            writer.transport.abort()
            opened.hung_up.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    clock = SystemClock()
    provider = OpenAICompatibleProvider("up", EndpointSettings(base_url=url), now=clock.now)
    router = LLMRouter(
        LLMSettings(first_token_timeout=patience, gap_timeout=patience, total_timeout=max(5, patience), retries=0),
        {"default": AliasSettings(targets=("up/m",))},
        clock=clock,
        bus=MemoryEventBus(),
        points=Points(),
        record_usage=lambda caller, target, usage: None,
    )
    opened = Line(router, provider)
    try:
        yield opened
    finally:
        await provider.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (be_silent, ProviderTimeoutError),
        (be_silent_after_the_head, ProviderTimeoutError),
        (be_silent_after_the_first_token, StreamInterruptedError),
        (drip_the_head, ProviderTimeoutError),
        (drip_the_first_token, ProviderTimeoutError),
        (ping_for_ever, ProviderTimeoutError),
        (drip_after_the_first_token, StreamInterruptedError),
    ],
)
async def test_no_kind_of_hanging_outlasts_the_deadlines(
    behave: Callable[[Send], Awaitable[None]], kind: type[LLMError]
) -> None:
    async with line(behave) as upstream:
        async with asyncio.timeout(30):
            with pytest.raises(kind):
                await upstream.text()
            await upstream.hung_up.wait()


@pytest.mark.parametrize("behave", [be_silent, be_silent_after_the_first_token])
async def test_a_reader_that_leaves_ends_the_upstreams_call_at_once(
    behave: Callable[[Send], Awaitable[None]],
) -> None:
    async with line(behave, patience=60) as upstream:
        reader = asyncio.create_task(upstream.text())
        async with asyncio.timeout(30):
            await upstream.reached.wait()
        reader.cancel()
        async with asyncio.timeout(20):  # far below the upstream's and the router's own ends
            await asyncio.wait([reader])
            await upstream.hung_up.wait()
        assert reader.cancelled()
