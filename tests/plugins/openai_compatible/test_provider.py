import asyncio
import contextlib
import gzip
import json
import logging
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from iskra_plugins.openai_compatible.provider import MAX_LINE, OpenAICompatibleProvider
from iskra_plugins.openai_compatible.settings import EndpointSettings
from iskra_sdk.errors import (
    LLMError,
    ProviderProtocolError,
    ProviderRateLimitError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from iskra_sdk.llm import AnswerBuilder, LLMAnswer, LLMChunk, LLMProvider, LLMRequest, ToolSpec, Usage
from iskra_sdk.message import Message, ToolCall
from iskra_sdk.testing.provider_conformance import TEXT, ProviderConformance, Scenario

KEY = "sk-very-secret-key"
REQUEST = LLMRequest((Message.user("hi"),))
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

Behaviour = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request at the fake upstream, and the means to answer it byte by byte."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.line, *lines = head.decode().split("\r\n")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
        }
        self.body: dict[str, Any] = json.loads(body) if body else {}
        self.writer = writer
        self.gone = asyncio.Event()

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes | object, status: str = "200 OK", **headers: str) -> None:
        """Send a whole response."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"content-type": "application/json", "content-length": str(len(data))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        await self.send(
            f"HTTP/1.1 {status}\r\n".encode()
            + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields.items())
            + b"\r\n"
            + data
        )

    async def begin_stream(self) -> None:
        await self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, data: bytes | object) -> None:
        encoded = data if isinstance(data, bytes) else json.dumps(data).encode()
        await self.chunk(b"data: " + encoded + b"\n\n")

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def until_closed(self) -> None:
        """Wait until the other side hangs up."""
        await self.gone.wait()


class Upstream:
    """A server on this machine that behaves as it is told."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.open = 0
        self.hung_up = asyncio.Event()
        self._behaviours = behaviours
        self.url = ""

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Upstream"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
        try:
            yield self
        finally:
            server.close()
            self._stop()
            await server.wait_closed()

    def _stop(self) -> None:
        for exchange in self.exchanges:
            exchange.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                exchange = Exchange(head, await reader.readexactly(length), writer)
                self.exchanges.append(exchange)
                behaviour = self._behaviours[min(len(self.exchanges), len(self._behaviours)) - 1]
                async with asyncio.TaskGroup() as tasks:
                    answering = tasks.create_task(_answer(behaviour, exchange))
                    watching = tasks.create_task(self._watch(reader, exchange))
                    await answering
                    watching.cancel()
                if writer.transport.is_closing():
                    return
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            self.hung_up.set()
            writer.transport.abort()

    async def _watch(self, reader: asyncio.StreamReader, exchange: Exchange) -> None:
        """Notice that the other side hangs up; it sends nothing before it has the answer."""
        with contextlib.suppress(OSError):
            await reader.read(1)
        exchange.gone.set()
        exchange.writer.transport.abort()


async def _answer(behaviour: Behaviour, exchange: Exchange) -> None:
    try:
        await behaviour(exchange)
    except (ConnectionError, OSError):
        exchange.writer.transport.abort()


def chunk_wire(finish_reason: str | None = None, **delta: object) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def answer_wire(**message: object) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


USAGE = {**chunk_wire(), "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def events(*wires: object, done: bool = True) -> Behaviour:
    """Stream events, then end properly."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for wire in wires:
            await exchange.event(wire)
        if done:
            await exchange.event(b"[DONE]")
        await exchange.end()

    return behave


def raw(*pieces: bytes, close: bool = True) -> Behaviour:
    """Send bytes as they are, then hang up or fall silent."""

    async def behave(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
        if close:
            exchange.writer.close()
        else:
            await exchange.until_closed()

    return behave


def whole(body: bytes | object, status: str = "200 OK", **headers: str) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.answer(body, status, **headers)

    return behave


@asynccontextmanager
async def provider_of(
    behaviour: Behaviour | str, *more: Behaviour, **settings: Any
) -> AsyncIterator[tuple[OpenAICompatibleProvider, Upstream]]:
    """Open a provider whose upstream behaves so; a string is the URL of some other upstream."""
    upstream = Upstream(*(() if isinstance(behaviour, str) else (behaviour, *more)))
    async with upstream.running():
        settings.setdefault("api_key", SecretStr(KEY))
        url = behaviour if isinstance(behaviour, str) else upstream.url
        provider = OpenAICompatibleProvider("up", EndpointSettings(base_url=url, **settings), now=lambda: NOW)
        try:
            yield provider, upstream
        finally:
            await provider.aclose()


async def chunks_of(provider: LLMProvider, request: LLMRequest = REQUEST) -> list[LLMChunk]:
    async with asyncio.timeout(10):
        return [chunk async for chunk in provider.stream(request, "m")]


async def joined(provider: LLMProvider) -> LLMAnswer:
    builder = AnswerBuilder()
    for chunk in await chunks_of(provider):
        builder.add(chunk)
    return builder.build()


async def stream_failure(behaviour: Behaviour | str, **settings: Any) -> LLMError:
    async with provider_of(behaviour, **settings) as (provider, _):
        with pytest.raises(LLMError) as caught:
            await chunks_of(provider)
    assert KEY not in f"{caught.value} {caught.value!r} {caught.value.facts}"
    return caught.value


async def failures(behaviour: Behaviour | str) -> list[LLMError]:
    """Return the errors of a streamed and of a whole call."""
    async with provider_of(behaviour) as (provider, _):
        with pytest.raises(LLMError) as caught:
            async with asyncio.timeout(10):
                await provider.complete(REQUEST, "m")
    return [await stream_failure(behaviour), caught.value]


def _conforming(scenario: Scenario) -> Behaviour:
    calls = [
        {"id": f"call_{city}", "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}
        for city in ("Paris", "Rome")
    ]

    async def behave(exchange: Exchange) -> None:
        if "/models" in exchange.line:
            await exchange.answer({"object": "list", "data": [{"id": "m"}]})
        elif scenario is Scenario.FAILING:
            await exchange.answer({"error": {"message": "overloaded"}}, "503 Service Unavailable")
        elif scenario is Scenario.SILENT:
            await exchange.until_closed()
        elif not exchange.is_stream:
            if scenario is Scenario.TEXT:
                await exchange.answer(answer_wire(content=TEXT))
            else:
                wire = answer_wire(content=None, tool_calls=calls)
                wire["choices"][0]["finish_reason"] = "tool_calls"
                await exchange.answer(wire)
        elif scenario is Scenario.TEXT:
            pieces = [chunk_wire(content=letter) for letter in TEXT]
            await events(chunk_wire(role="assistant", content=""), *pieces, chunk_wire("stop"), USAGE)(exchange)
        elif scenario is Scenario.TOOL_CALLS:
            pieces = []
            for index, call in enumerate(calls):
                arguments = call["function"]["arguments"]  # type: ignore[index] # a literal above
                head = {**call, "index": index, "function": {"name": "weather", "arguments": arguments[:5]}}
                tail = {"index": index, "function": {"arguments": arguments[5:]}}
                pieces += [chunk_wire(tool_calls=[head]), chunk_wire(tool_calls=[tail])]
            await events(*pieces, chunk_wire("tool_calls"))(exchange)
        else:
            await exchange.begin_stream()
            while not exchange.writer.transport.is_closing():
                await exchange.event(chunk_wire(content="on and on "))
                await asyncio.sleep(0.005)

    return behave


class TestConformance(ProviderConformance):
    @asynccontextmanager
    async def open_provider(self, scenario: Scenario) -> AsyncIterator[tuple[LLMProvider, str]]:
        async with provider_of(_conforming(scenario)) as (provider, upstream):
            self.upstream = upstream
            yield provider, "m"

    async def wait_until_stopped(self, provider: LLMProvider) -> None:
        await self.upstream.hung_up.wait()


async def test_the_request_goes_out_as_it_should() -> None:
    schema = {"type": "object", "properties": {}}
    request = LLMRequest(
        (Message.system("Be brief."), Message(encoded=b'{"role":"user","content":"hi","x":1}')),
        tools=(ToolSpec("t", "A tool.", schema),),
        parameters={"temperature": 0.5, "model": "other", "stream": False, "seed": 7, "stream_options": {"x": 1}},
    )
    async with provider_of(
        events(chunk_wire("stop", content="x")), whole(answer_wire(content="y")), headers={"X-Team": SecretStr("blue")}
    ) as (provider, upstream):
        await chunks_of(provider, request)
        await provider.complete(request, "m")
    streamed, plain = upstream.exchanges
    assert streamed.line == "POST /v1/chat/completions HTTP/1.1"
    assert streamed.headers["authorization"] == f"Bearer {KEY}"
    assert streamed.headers["accept-encoding"] == "identity"
    assert streamed.headers["x-team"] == "blue"
    assert "cookie" not in streamed.headers
    common = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi", "x": 1}],
        "tools": [{"type": "function", "function": {"name": "t", "description": "A tool.", "parameters": schema}}],
        "temperature": 0.5,
        "seed": 7,
    }
    assert streamed.body == {**common, "stream": True, "stream_options": {"x": 1, "include_usage": True}}
    assert plain.body == common


async def test_a_connection_is_used_again() -> None:
    async with provider_of(events(chunk_wire("stop", content="x"))) as (provider, upstream):
        for _ in range(3):
            await chunks_of(provider)
    assert upstream.connections == 1


async def test_chunks_keep_what_the_upstream_sent() -> None:
    first = {**chunk_wire(content="a"), "system_fingerprint": "fp"}
    async with provider_of(events(first, chunk_wire("stop"), USAGE)) as (provider, _):
        chunks = await chunks_of(provider)
    assert [chunk.wire for chunk in chunks] == [first, chunk_wire("stop"), USAGE]
    assert chunks[-1].usage == Usage(3, 2)


async def test_tokens_come_out_as_they_come_in() -> None:
    release = asyncio.Event()

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk_wire(content="first"))
        await release.wait()
        await exchange.event(chunk_wire("stop", content="second"))
        await exchange.end()

    async with provider_of(behave) as (provider, _):
        stream = provider.stream(REQUEST, "m")
        async with asyncio.timeout(5):
            assert (await anext(stream)).text == "first"
            release.set()
            assert (await anext(stream)).text == "second"
            assert [chunk async for chunk in stream] == []


async def test_events_may_be_cut_anywhere() -> None:
    data = b"".join(
        b"data:" + json.dumps(wire, ensure_ascii=False).encode() + b"\r\n\r\n"
        for wire in (chunk_wire(content="При"), chunk_wire(content="вет 🌞"), chunk_wire("stop"))
    )

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for position in range(0, len(data), 7):
            await exchange.chunk(data[position : position + 7])
        await exchange.chunk(b": comment\r\n\r\nevent: x\r\ndata: [DONE]")
        await exchange.end()

    async with provider_of(behave) as (provider, _):
        assert (await joined(provider)).message.text == "Привет 🌞"


@pytest.mark.parametrize(
    "name", ["done", "no done", "reset after the finish", "no blank line at the end", "silence after done"]
)
async def test_a_finished_answer_is_complete_however_the_stream_ends(name: str) -> None:
    finish = chunk_wire("stop", content="x")

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        if name == "no blank line at the end":
            await exchange.chunk(b"data: " + json.dumps(finish).encode())
        else:
            await exchange.event(finish)
        if name == "reset after the finish":
            exchange.writer.close()
        elif name == "silence after done":
            await exchange.event(b"[DONE]")
            await exchange.until_closed()
        else:
            if name == "done":
                await exchange.event(b"[DONE]")
            await exchange.end()

    async with provider_of(behave) as (provider, _):
        assert (await joined(provider)).message.text == "x"


@pytest.mark.parametrize(
    "behaviour",
    [
        events(chunk_wire(content="half"), done=False),
        events(chunk_wire(content="half")),
        events(done=False),
        raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:"),
        raw(b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {"choices": [{"del'),
        raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"),
    ],
    ids=["no end", "done without a finish", "nothing", "reset", "half an event", "closed after the head"],
)
async def test_a_cut_stream_is_an_error(behaviour: Behaviour) -> None:
    error = await stream_failure(behaviour)
    assert error.transient
    assert error.is_provider_fault


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"\x16\x03\x01garbage\r\n\r\n"),
        raw(b"HTTP/1.1 banana\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nbad\r\n"),
        whole(b"<html><body>Sign in</body></html>", content_type="text/html"),
        whole(b'{"id": "x", "choices": [{"mess'),
        whole(b"[1, 2]"),
        whole(b"null"),
        whole(b""),
        whole(b"[" * 100_000),
        whole({"choices": []}),
        whole({"choices": [{"index": 0, "message": {"content": "cut"}}]}),
        whole({"choices": "no"}),
        whole({"hello": "world"}),
        whole(b"", "204 No Content"),
        whole(b"oops", "500 Internal Server Error", content_type="text/plain"),
        whole(gzip.compress(b"0" * 20_000_000), content_encoding="gzip"),
    ],
    ids=[
        "closed at once",
        "garbage",
        "bad status line",
        "shorter than announced",
        "bad chunks",
        "web page",
        "half a JSON",
        "a list",
        "null",
        "empty",
        "deep",
        "no choices",
        "no finish reason",
        "wrong shape",
        "other JSON",
        "no content",
        "500",
        "gzip bomb",
    ],
)
async def test_garbage_is_an_error_that_says_whose_fault_it_is(answer: Behaviour) -> None:
    for error in await failures(answer):
        assert error.is_provider_fault
        assert "127.0.0.1" in error.message or "upstream" in error.message
        assert error.mend


async def test_five_thousand_headers_do_no_harm() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(5000))
    for error in await failures(raw(head + b"content-length: 2\r\n\r\n{}")):
        assert error.is_provider_fault


async def test_a_refused_connection_says_what_to_check() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        error = await stream_failure(url)
    assert isinstance(error, ProviderUnavailableError)
    assert url in error.message
    assert "Is the server running? Check `model_url`." in error.mend


async def test_a_host_that_does_not_exist_says_so() -> None:
    error = await stream_failure("http://nowhere.invalid/v1")
    assert isinstance(error, ProviderUnavailableError)
    assert "cannot be resolved" in error.message


async def test_a_connection_that_is_not_made_in_time_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the backlog is full, so further connections hang
            filler.setblocking(False)
            filler.connect_ex(address)
        async with provider_of(f"http://127.0.0.1:{address[1]}/v1") as (provider, _):
            with pytest.raises(ProviderTimeoutError) as caught:
                await chunks_of(provider, LLMRequest(REQUEST.messages, connect_timeout=0.1))
        for filler in fillers:
            filler.close()
    assert caught.value.phase == "connect"


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        ("400 Bad Request", ProviderRejectedError, False),
        ("401 Unauthorized", ProviderRejectedError, False),
        ("404 Not Found", ProviderRejectedError, False),
        ("408 Request Timeout", ProviderUnavailableError, True),
        ("422 Unprocessable", ProviderRejectedError, False),
        ("429 Too Many", ProviderRateLimitError, True),
        ("500 Error", ProviderUnavailableError, True),
        ("501 Not Implemented", ProviderRejectedError, False),
        ("503 Unavailable", ProviderUnavailableError, True),
        ("529 Overloaded", ProviderUnavailableError, True),
        ("302 Found", ProviderRejectedError, False),
    ],
)
async def test_statuses_become_errors_that_say_what_to_do(status: str, kind: type[LLMError], transient: bool) -> None:
    body = {"error": {"message": f"It went\nwrong with {KEY}\x1b[31m", "type": "x"}}
    for error in await failures(whole(body, status, location="http://elsewhere.invalid/")):
        assert type(error) is kind
        assert error.transient is transient
        assert "It went wrong with …" in error.message
        assert "\x1b" not in error.message
        assert error.mend


async def test_a_redirect_is_not_followed() -> None:
    async with provider_of(whole(answer_wire(content="x"))) as (_, other):
        await stream_failure(whole(b"", "307 Temporary Redirect", location=f"{other.url}/chat/completions"))
        assert not other.exchanges


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("1e300", 86_400.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
async def test_retry_after_is_read_in_all_its_forms(value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"retry_after": value}
    error = await stream_failure(whole({"error": "slow down"}, "429 Too Many Requests", **headers))
    assert error.retry_after == seconds


async def test_a_used_up_quota_is_not_worth_a_retry() -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    error = await stream_failure(whole(body, "429 Too Many Requests"))
    assert isinstance(error, ProviderRejectedError)
    assert "billing" in error.mend


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom"}, ProviderUnavailableError),
        ("boom", ProviderUnavailableError),
        ({"message": "boom", "code": 429}, ProviderRateLimitError),
        ({"message": "boom", "type": "rate_limit_error"}, ProviderRateLimitError),
        ({"message": "boom", "code": "context_length_exceeded"}, ProviderRejectedError),
        ({"message": "boom", "status": "503"}, ProviderUnavailableError),
    ],
)
async def test_an_error_inside_the_stream_is_an_error(error: object, kind: type[LLMError]) -> None:
    caught = await stream_failure(events(chunk_wire(content="a"), {"error": error}))
    assert type(caught) is kind
    assert "boom" in caught.message


async def test_an_error_with_a_good_status_is_an_error() -> None:
    for error in await failures(whole({"error": {"message": "no such model", "code": 404}})):
        assert isinstance(error, ProviderRejectedError)
        assert "no such model" in error.message


async def test_a_line_without_end_is_cut_off() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(b"data: ")
        while not exchange.writer.transport.is_closing():
            await exchange.chunk(b"x" * 1_000_000)

    async with provider_of(behave) as (provider, upstream):
        with pytest.raises(ProviderProtocolError, match=str(MAX_LINE)):
            await chunks_of(provider)
        await asyncio.wait_for(upstream.hung_up.wait(), 5)


async def test_a_stream_or_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra_plugins.openai_compatible.provider.MAX_STREAM", 10_000)
    monkeypatch.setattr("iskra_plugins.openai_compatible.provider.MAX_BODY", 10_000)

    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        while not exchange.writer.transport.is_closing():
            await exchange.event(chunk_wire(content="x" * 100))

    for error in await failures(behave):
        assert "longer than 10000 bytes" in error.message
        assert not error.is_provider_fault, "whoever asks for a long answer must not shut the target for others"


async def test_text_that_databases_refuse_is_cleaned() -> None:
    wire = json.dumps(chunk_wire("stop", content="a\0b")).encode()
    surrogate = json.dumps(chunk_wire(content="MARK")).encode().replace(b"MARK", b"\\ud800c")
    raw_bytes = json.dumps(chunk_wire(content="MARK")).encode().replace(b"MARK", b"\x00\xffd")
    async with provider_of(events(surrogate, raw_bytes, wire)) as (provider, _):
        chunks = await chunks_of(provider)
    assert [chunk.text for chunk in chunks] == ["\ufffdc", "\ufffd\ufffdd", "a\ufffdb"]
    for chunk in chunks:
        assert chunk.wire is not None
        assert chunk.wire["choices"][0]["delta"]["content"] == chunk.text


@pytest.mark.parametrize("style", ["index", "no index", "whole calls without an index", "arguments as an object"])
async def test_tool_calls_are_put_together_whatever_their_style(style: str) -> None:
    def piece(position: int, call_id: str, arguments: object) -> dict[str, Any]:
        function = {"name": "t" if call_id else None, "arguments": arguments}
        call: dict[str, Any] = {"id": call_id or None, "type": "function", "function": function}
        if style == "index":
            call["index"] = position
        return chunk_wire(tool_calls=[call])

    if style == "whole calls without an index":
        pieces = [piece(0, "a", '{"n":1}'), piece(1, "b", '{"n":2}')]
    elif style == "arguments as an object":
        pieces = [piece(0, "a", {"n": 1}), piece(1, "b", {"n": 2})]
    else:
        pieces = [piece(0, "a", '{"n'), piece(0, "", '":1}'), piece(1, "b", '{"n":'), piece(1, "", "2}")]
    async with provider_of(events(*pieces, chunk_wire("tool_calls"))) as (provider, _):
        answer = await joined(provider)
    assert answer.message.tool_calls == (ToolCall("a", "t", '{"n":1}'), ToolCall("b", "t", '{"n":2}'))


async def test_malformed_arguments_pass_through() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "t", "arguments": '{"n": '}}
    async with provider_of(events(chunk_wire("tool_calls", tool_calls=[call]))) as (provider, _):
        assert (await joined(provider)).message.tool_calls[0].arguments == '{"n": '


async def test_thinking_is_kept_apart() -> None:
    pieces = [chunk_wire(reasoning_content="hm "), chunk_wire(reasoning="well"), chunk_wire("stop", content="yes")]
    async with provider_of(events(*pieces)) as (provider, _):
        answer = await joined(provider)
    assert (answer.reasoning, answer.message.text) == ("hm well", "yes")
    async with provider_of(whole(answer_wire(content="yes", reasoning_content="hm"))) as (provider, _):
        assert (await provider.complete(REQUEST, "m")).reasoning == "hm"


async def test_odd_but_harmless_streams_are_read() -> None:
    running = {"prompt_tokens": 3, "completion_tokens": 1}
    parts = [{"type": "thinking"}, {"type": "text", "text": "b"}]
    second_choice = {**chunk_wire(), "choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    pieces = [
        {**chunk_wire(content="a"), "usage": running},
        chunk_wire("", content=parts),
        second_choice,
        {**chunk_wire(), "choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        chunk_wire("stop"),
        {**chunk_wire("stop"), "usage": {"prompt_tokens": "x"}},
    ]
    async with provider_of(events(*pieces)) as (provider, _):
        chunks = await chunks_of(provider)
    assert "".join(chunk.text for chunk in chunks) == "ab"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]


async def test_a_usage_told_too_early_is_told_at_the_end() -> None:
    early = {**chunk_wire(content="a"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    async with provider_of(events(early, chunk_wire("stop"))) as (provider, _):
        chunks = await chunks_of(provider)
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(3, 1)]


@pytest.mark.parametrize("wire", [{"choices": 3}, {"choices": [3]}, {"choices": [{"delta": "x"}]}], ids=str)
async def test_chunks_of_a_wrong_shape_are_an_error(wire: object) -> None:
    assert isinstance(await stream_failure(events(wire)), ProviderProtocolError)


async def test_a_whole_answer_to_a_stream_request_is_streamed() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    async with provider_of(whole(answer_wire(content="x", tool_calls=[call]))) as (provider, _):
        chunks = await chunks_of(provider)
    assert [chunk.finish_reason for chunk in chunks] == [None, "stop", None]
    assert chunks[0].text == "x"
    assert chunks[0].tool_calls[0].name == "t"
    assert chunks[0].wire is not None
    assert chunks[0].wire["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert chunks[-1].usage == Usage(3, 2)


async def test_a_stream_for_a_whole_answer_is_joined() -> None:
    async with provider_of(events(chunk_wire(content="a"), chunk_wire("stop", content="b"), USAGE)) as (provider, _):
        answer = await provider.complete(REQUEST, "m")
    assert (answer.message.text, answer.usage) == ("ab", Usage(3, 2))
    async with provider_of(events({"error": "boom"})) as (provider, _):
        with pytest.raises(ProviderUnavailableError, match="boom"):
            await provider.complete(REQUEST, "m")


async def test_models_are_listed_and_the_check_names_them() -> None:
    listing = {"data": [{"id": name} for name in "abcd"] + [{"id": None}, "x"]}
    async with provider_of(whole(listing)) as (provider, upstream):
        assert await provider.models() == ("a", "b", "c", "d")
        assert await provider.check() == f"{upstream.url} offers a, b, c and 1 more"
        assert upstream.exchanges[0].line == "GET /v1/models HTTP/1.1"
    async with provider_of(whole({"data": []})) as (provider, upstream):
        assert await provider.check() == f"{upstream.url} answers, but lists no models"
    async with provider_of(whole({"models": []})) as (provider, _):
        with pytest.raises(ProviderProtocolError):
            await provider.models()


async def test_a_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UP_KEY", "from-env")
    settings = {"api_key": SecretStr(""), "api_key_env": "UP_KEY"}
    async with provider_of(events(chunk_wire("stop", content="x")), **settings) as (provider, upstream):
        await chunks_of(provider)
        assert upstream.exchanges[0].headers["authorization"] == "Bearer from-env"
    monkeypatch.delenv("UP_KEY")
    error = await stream_failure(events(chunk_wire("stop", content="x")), **settings)
    assert "UP_KEY" in error.message


async def test_without_a_key_none_is_sent() -> None:
    async with provider_of(events(chunk_wire("stop", content="x")), api_key=SecretStr("")) as (provider, upstream):
        await chunks_of(provider)
        assert "authorization" not in upstream.exchanges[0].headers


async def test_the_key_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await failures(whole({"error": f"bad key {KEY}"}, "401 Unauthorized"))
    assert KEY not in caplog.text


async def test_a_query_in_the_base_url_is_kept_but_not_shown() -> None:
    upstream = Upstream(whole({"error": "no"}, "404 Not Found"))
    async with upstream.running(), provider_of(f"{upstream.url}/?api-version=1&sig=hidden") as (provider, _):
        with pytest.raises(ProviderRejectedError) as caught:
            await chunks_of(provider)
    assert upstream.exchanges[0].line == "POST /v1/chat/completions?api-version=1&sig=hidden HTTP/1.1"
    assert "hidden" not in str(caught.value)


async def test_parameters_without_a_json_form_are_told() -> None:
    async with provider_of(events()) as (provider, _):
        with pytest.raises(LLMError, match="no JSON form"):
            await chunks_of(provider, LLMRequest(REQUEST.messages, parameters={"x": object()}))


async def test_a_server_may_be_spared_the_question_for_usage() -> None:
    async with provider_of(events(chunk_wire("stop", content="x")), stream_usage=False) as (provider, upstream):
        await chunks_of(provider)
        assert "stream_options" not in upstream.exchanges[0].body


async def test_leaving_a_stream_hangs_up_at_once() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(chunk_wire(content="a"))
        await exchange.until_closed()

    async with provider_of(behave) as (provider, upstream):
        stream: Any = provider.stream(REQUEST, "m")
        async with aclosing(stream):
            await anext(stream)
            assert upstream.open == 1
        async with asyncio.timeout(30):
            await upstream.hung_up.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for some other name."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=elsewhere.invalid",
            ),
            *("-subj", "/CN=elsewhere.invalid", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


async def test_a_certificate_that_is_not_trusted_ends_the_call(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    upstream = Upstream(whole(answer_wire(content="x")))
    async with upstream.running(context):
        error = await stream_failure(upstream.url)
    assert "not trusted" in error.message
    assert not upstream.exchanges


async def test_a_server_without_tls_ends_the_call() -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1000))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        error = await stream_failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    assert isinstance(error, ProviderUnavailableError)
    assert "does not speak TLS" in error.message
    assert KEY.encode() not in b"".join(received)
