"""Streams: clients that leave, stop reading or wait in silence."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from http_probe import TOKEN, chat, read_events, until
from iskra.http import client_watch
from iskra.http.client_watch import ClientWatch, WatchedClient
from iskra.http.exchange import Exchange
from iskra.http.sse import PING, EventStream, encode_data, encode_events
from iskra.server import Server
from iskra_sdk.errors import ShuttingDownError
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId

MEMORY = re.compile(r"VmRSS:\s+(\d+) kB")


def resident_mb() -> float:
    found = MEMORY.search(Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def request_of(server: Server, model: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
    body = json.dumps(chat(model, "go", stream=True)).encode()
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return reader, writer


def provider_ends(server: Server) -> list[str]:
    """Return what the probe plugin noted about calls that were ended."""
    assert server.layer is not None
    provider = server.layer.kernel.plugins.catalog.providers["fake"].value
    ends: list[str] = type(provider).stream.__globals__["cancelled"]
    return ends


def has_more_ends(server: Server, than: int) -> bool:
    return len(provider_ends(server)) > than


async def test_a_client_that_leaves_ends_the_call_of_the_provider_within_a_second(
    client: httpx.AsyncClient, server: Server
) -> None:
    for _ in range(3):
        ends = len(provider_ends(server))
        async with client.stream(
            "POST", "/v1/chat/completions", json=chat("llm:default/hang", "x", stream=True)
        ) as answer:
            await anext(read_events(answer))
        await until(partial(has_more_ends, server, ends), 1.5)


async def test_a_client_that_resets_the_connection_ends_the_call_too(server: Server) -> None:
    ends = len(provider_ends(server))
    reader, writer = await request_of(server, "llm:default/hang")
    await reader.readuntil(b"one ")
    writer.transport.abort()
    await until(partial(has_more_ends, server, ends), 1.5)


async def test_readers_that_stop_are_cut_and_cost_no_memory(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_watch, "_STALLED_TICKS", 2)
    before = resident_mb()
    ends = len(provider_ends(server))
    connections = [await request_of(server, "llm:default/endless") for _ in range(20)]
    assert (await client.get("/health")).status_code == 200
    await until(lambda: len(provider_ends(server)) >= ends + 20, 15)
    assert resident_mb() - before < 64
    for _, writer in connections:
        writer.transport.abort()


class Wire:
    """An ASGI server's end of one request."""

    def __init__(self, path: str = "/v1/chat/completions") -> None:
        self.sent: list[dict[str, object]] = []
        self.left = asyncio.Event()
        self.is_full = False
        self.is_cut = False
        self.exchange = Exchange(
            {"type": "http", "path": path, "method": "POST", "headers": [], "iskra.abort": self.abort},
            self.receive,
            self.send,
        )

    def abort(self) -> None:
        self.is_cut = True

    async def receive(self) -> dict[str, object]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: object) -> None:
        if self.is_full:
            await asyncio.Event().wait()
        assert isinstance(message, dict)
        self.sent.append(message)

    @property
    def bodies(self) -> list[object]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]


async def test_silence_is_filled_with_pings_that_open_the_stream() -> None:
    wire, watch = Wire(), ClientWatch()
    async with EventStream(wire.exchange, watch) as stream:
        for _ in range(int(client_watch.PING_AFTER / client_watch.TICK) + 1):
            stream.tick()
        assert [message["type"] for message in wire.sent] == ["http.response.start", "http.response.body"]
        assert wire.bodies == [PING]
        await stream.write(b"data: x\n\n")
        stream.tick()
        stream.tick()
        assert wire.bodies == [PING, b"data: x\n\n"]


async def test_a_ping_never_waits_for_a_full_buffer() -> None:
    wire, watch = Wire(), ClientWatch()
    async with EventStream(wire.exchange, watch) as stream:
        wire.is_full = True
        stream.ping()
        assert wire.bodies == []


def look_often(stream: EventStream) -> None:
    for _ in range(int(client_watch.STALLED_AFTER / client_watch.TICK) + 1):
        stream.tick()


async def test_a_reader_that_does_not_read_is_cut() -> None:
    wire, watch = Wire(), ClientWatch()
    async with asyncio.timeout(5):
        async with EventStream(wire.exchange, watch) as stream:
            wire.is_full = True
            asyncio.get_running_loop().call_later(0.01, look_often, stream)
            await stream.write(b"data: x\n\n")
    assert stream.is_gone
    assert wire.is_cut


async def test_a_client_that_left_cancels_only_the_work_for_it() -> None:
    wire, watch = Wire(), ClientWatch()
    async with asyncio.timeout(5):
        async with WatchedClient(wire.exchange, watch) as client:
            client.tick()
            wire.left.set()
            await asyncio.Event().wait()
    assert client.is_gone
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert not watch.clients


async def test_a_cancellation_from_elsewhere_passes() -> None:
    wire, watch = Wire(), ClientWatch()

    async def work() -> None:
        async with WatchedClient(wire.exchange, watch):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stopping_server_tells_streams_and_refuses_what_has_no_answer_yet() -> None:
    watch = ClientWatch()
    begun, fresh = Wire(), Wire("/api/v1/x")

    async def stream() -> None:
        async with EventStream(begun.exchange, watch) as client:
            await client.write(b"data: x\n\n")
            await asyncio.Event().wait()

    async def whole() -> None:
        async with WatchedClient(fresh.exchange, watch):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(stream()), asyncio.create_task(whole())]
    await asyncio.sleep(0.01)
    watch.tell_stopping()
    await tasks[0]
    with pytest.raises(ShuttingDownError):
        await tasks[1]
    last = begun.bodies[-1]
    assert isinstance(last, bytes)
    assert b"shutting_down" in last


def test_events_are_written_as_the_standard_says() -> None:
    event = Event("turn.completed", {"text": "line\nbreak\r\n\u2028"}, SessionId("ses_1"), seq=7)
    lines = encode_events([event]).decode().split("\n")
    assert lines[:2] == ["id: 7", "event: turn.completed"]
    assert lines[2].startswith("data: ")
    assert json.loads(lines[2][6:])["data"]["text"] == "line\nbreak\r\n\u2028"
    assert lines[3:] == ["", ""]
    assert encode_data({"a": "\n"}) == b'data: {"a":"\\n"}\n\n'
