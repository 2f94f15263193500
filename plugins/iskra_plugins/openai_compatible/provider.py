"""A provider of model answers behind an OpenAI-compatible server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from iskra_plugins.openai_compatible.chat_chunks import (
    ChunkReader,
    WrongShapeError,
    chunks_of_answer,
    decode,
    read_answer,
)
from iskra_plugins.openai_compatible.server_sent_events import EventSplitter, LineTooLongError
from iskra_plugins.openai_compatible.settings import EndpointSettings
from iskra_plugins.openai_compatible.upstream_errors import connection_error, not_json, status_error, stream_error
from iskra_sdk.errors import LLMError, ProviderProtocolError, ProviderRejectedError
from iskra_sdk.llm import AnswerBuilder, LLMAnswer, LLMChunk, LLMProvider, LLMRequest

MAX_LINE = 8 * 2**20
"""Most bytes of one event in a stream."""
MAX_STREAM = 256 * 2**20
"""Most bytes of a whole stream."""
MAX_BODY = 32 * 2**20
"""Most bytes of an answer that is not streamed."""
MAX_ERROR_BODY = 64 * 2**10
MAX_LISTING = 8 * 2**20

_LISTING_CONNECT_TIMEOUT = 5.0
_DONE = b"[DONE]"
_GOODBYE = 0.05
"""Seconds to wait for the end of the response after ``[DONE]``, so that its connection can be used again."""
_KEPT_CONNECTIONS = 60.0
"""Seconds an idle connection is kept."""


class OpenAICompatibleProvider(LLMProvider):
    """One server. Makes one attempt per call; deadlines other than the connection's are the caller's.

    Args:
        name: How targets call it.
        settings: Where it is.
        now: Tells the wall-clock time, for ``Retry-After`` dates.
    """

    def __init__(self, name: str, settings: EndpointSettings, *, now: Callable[[], datetime]) -> None:
        self.name = name
        base = URL(settings.base_url)
        path = base.path.rstrip("/")
        self._chat_url = base.with_path(f"{path}/chat/completions", keep_query=True)
        self._models_url = base.with_path(f"{path}/models", keep_query=True)
        # For messages: a query may hold a key.
        self._shown = str(base.with_path(path).with_query(None).with_fragment(None))
        self._settings = settings
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        body = self._body(request, model, is_stream=True)
        async with self._exchange("POST", self._chat_url, request.connect_timeout, body) as response:
            kind = response.content_type
            if kind == "application/json":
                for chunk in await self._whole_as_chunks(response):
                    yield chunk
                return
            if kind == "text/html":
                raise not_json(kind, self._shown, "a web page instead of a stream")
            content = response.content
            splitter = EventSplitter(MAX_LINE)
            reader = ChunkReader()
            received = 0
            is_open = True
            while is_open:
                try:
                    data = await content.readany()
                except (aiohttp.ClientError, OSError):
                    if reader.is_finished:
                        return  # the answer is complete; only the good-bye was lost
                    raise
                received += len(data)
                if received > MAX_STREAM:
                    raise LLMError(f"The answer of {self._shown} is longer than {MAX_STREAM} bytes.")
                if data:
                    events = splitter.feed(data)
                else:
                    events = splitter.close()
                    is_open = False
                for event in events:
                    if event == _DONE:
                        await self._finish(response)
                        is_open = False
                        break
                    wire = decode(event)
                    if wire.get("choices") is None and (error := stream_error(wire, self._shown)):
                        raise self._redacted(error)
                    yield reader.read(wire)
            if not reader.is_finished:
                raise ProviderProtocolError(
                    f"{self._shown} ended its stream without a finish reason; the answer is cut.",
                    mend="Look at the server's logs; it may have been restarted or run out of memory.",
                )
            if usage := reader.remaining_usage():
                yield LLMChunk(usage=usage)

    async def complete(self, request: LLMRequest, model: str) -> LLMAnswer:
        body = self._body(request, model, is_stream=False)
        async with self._exchange("POST", self._chat_url, request.connect_timeout, body) as response:
            data = await self._read(response, MAX_BODY)
            if response.content_type == "text/event-stream":
                return self._joined(data)
            return read_answer(self._decoded(response, data))

    async def models(self) -> Sequence[str]:
        async with self._exchange("GET", self._models_url, _LISTING_CONNECT_TIMEOUT) as response:
            wire = self._decoded(response, await self._read(response, MAX_LISTING))
            listed = wire.get("data")
            if not isinstance(listed, list):
                raise WrongShapeError("JSON of another shape than a list of models")
            names = [model.get("id") for model in listed if isinstance(model, dict)]
            return tuple(name for name in names if isinstance(name, str) and name)

    async def check(self) -> str:
        names = await self.models()
        if not names:
            return f"{self._shown} answers, but lists no models"
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{self._shown} offers {', '.join(names[:3])}{more}"

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _body(self, request: LLMRequest, model: str, *, is_stream: bool) -> bytes:
        body: dict[str, Any] = dict(request.parameters)
        body["model"] = model
        # A message keeps its encoded form, so a long history is not encoded again for every call.
        body["messages"] = [orjson.Fragment(message.encoded) for message in request.messages]
        if request.tools:
            body["tools"] = request.wire_tools
        body.pop("stream", None)
        options = body.pop("stream_options", None)
        if is_stream:
            body["stream"] = True
            if self._settings.stream_usage:
                options = {**(options if isinstance(options, Mapping) else {}), "include_usage": True}
            if options:
                body["stream_options"] = options
        try:
            return orjson.dumps(body)
        except TypeError as exc:
            raise LLMError(f"The parameters of the request have no JSON form: {exc}.") from exc

    @asynccontextmanager
    async def _exchange(
        self, method: str, url: URL, connect_timeout: float, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hold the response; whatever goes wrong inside becomes an ``LLMError``."""
        response: aiohttp.ClientResponse | None = None
        is_whole = False
        try:
            response = await self._open_session().request(
                method,
                url,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=connect_timeout),
            )
            if response.status >= 300:
                raise await self._refusal(response)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                # Nothing is ever unpacked, so a small answer cannot become a huge one.
                raise ProviderProtocolError(
                    f"{self._shown} compressed its answer although it was asked not to.",
                    mend="Turn compression off in the server, or in the proxy before it.",
                )
            yield response
            is_whole = response.content.at_eof()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise self._as_llm_error(exc, connect_timeout, has_begun=response is not None) from exc
        finally:
            if response is not None:
                if is_whole:
                    response.release()
                else:
                    response.close()

    def _as_llm_error(self, exc: Exception, connect_timeout: float, *, has_begun: bool) -> LLMError:
        if isinstance(exc, LineTooLongError):
            return ProviderProtocolError(f"{self._shown} sent one event of more than {MAX_LINE} bytes.")
        if isinstance(exc, WrongShapeError):
            return not_json("", self._shown, str(exc))
        return connection_error(exc, self._shown, connect_timeout=connect_timeout, has_begun=has_begun)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            key = self._settings.key
            if key is None:
                raise ProviderRejectedError(
                    f"The environment variable {self._settings.api_key_env} with the key for {self._shown} is not set.",
                    upstream_status=401,
                    mend="Set it where the server is started, then reload the plugin `openai_compatible`.",
                )
            headers = {
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "iskra",
                **({"Authorization": f"Bearer {key}"} if key else {}),
                **{name: value.get_secret_value() for name, value in self._settings.headers.items()},
            }
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
                auto_decompress=False,
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> LLMError:
        try:
            body = await self._read(response, MAX_ERROR_BODY)
        except (LLMError, aiohttp.ClientError, OSError):
            body = b""  # the status says enough
        return self._redacted(status_error(response.status, response.headers, body, self._shown, self._now()))

    def _redacted(self, error: LLMError) -> LLMError:
        """Take our own secrets out of what the upstream said; some repeat the key they refuse."""
        secrets = [self._settings.key or "", *(value.get_secret_value() for value in self._settings.headers.values())]
        for secret in secrets:
            if len(secret) >= 4 and secret in error.message:
                error.message = error.message.replace(secret, "…")
                error.args = (error.message,)
        return error

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        content = response.content
        pieces: list[bytes] = []
        size = 0
        while data := await content.readany():
            size += len(data)
            if size > limit:
                raise LLMError(f"The answer of {self._shown} is longer than {limit} bytes.")
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _decoded(self, response: aiohttp.ClientResponse, data: bytes) -> dict[str, Any]:
        try:
            wire = decode(data)
        except WrongShapeError as exc:
            raise not_json(response.content_type, self._shown, str(exc)) from exc
        if wire.get("choices") is None and (error := stream_error(wire, self._shown)):
            raise self._redacted(error)
        return wire

    async def _whole_as_chunks(self, response: aiohttp.ClientResponse) -> Sequence[LLMChunk]:
        """Stream what the server sent whole although it was asked for a stream."""
        wire = self._decoded(response, await self._read(response, MAX_BODY))
        read_answer(wire)  # tells a cut or misshapen answer before anything of it is passed on
        reader = ChunkReader()
        return [reader.read(chunk) for chunk in chunks_of_answer(wire)]

    def _joined(self, data: bytes) -> LLMAnswer:
        """Join what the server streamed although it was asked for a whole answer."""
        splitter, reader, builder = EventSplitter(MAX_LINE), ChunkReader(), AnswerBuilder()
        for event in (*splitter.feed(data), *splitter.close()):
            if event == _DONE:
                break
            wire = decode(event)
            if wire.get("choices") is None and (error := stream_error(wire, self._shown)):
                raise self._redacted(error)
            builder.add(reader.read(wire))
        return builder.build()

    async def _finish(self, response: aiohttp.ClientResponse) -> None:
        """Wait briefly for the end of the response after its last event."""
        if response.content.at_eof():
            return
        try:
            async with asyncio.timeout(_GOODBYE):
                await response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            return  # the connection is closed instead of kept
