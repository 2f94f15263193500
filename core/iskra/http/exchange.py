"""One HTTP request and its answer, as the edge hands it to raw routes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from iskra.http.problems import Header, HTTPError, render
from iskra_sdk.errors import BadInputError, InputTooLargeError, IskraError
from iskra_sdk.principal import Principal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCHANGE = "iskra.exchange"
"""Key of the exchange in the ASGI scope."""

JSON = (b"content-type", b"application/json")
_PROBABLY_DEEP = 200  # brackets; fewer than this cannot be nested too deeply
_BODY_GAP = 4.0  # seconds without a byte
_BODY_DEADLINE = 120.0  # seconds for the whole body
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

_NO_PRINCIPAL = Principal(id="", name="nobody")


class Exchange:
    """What the edge found out about a request, and the one way to answer it without a framework."""

    __slots__ = (
        "address",
        "authorization",
        "body_limit",
        "content_length",
        "content_type",
        "cookie",
        "correlation_id",
        "host",
        "is_finished",
        "is_started",
        "origin",
        "path",
        "principal",
        "receive",
        "response_headers",
        "scope",
        "send",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.path: str = scope["path"]
        client = scope.get("client")
        self.address: str = client[0] if client else ""
        self.correlation_id = ""
        self.host = b""
        self.authorization = b""
        self.cookie = b""
        self.origin = b""
        self.content_type = b""
        self.content_length = -1
        self.body_limit = 0
        self.principal = _NO_PRINCIPAL
        self.is_started = False
        self.is_finished = False
        self.response_headers: tuple[Header, ...] = SECURITY_HEADERS

    def header(self, name: bytes) -> str:
        """Return a request header by its lower-case name, or the empty string."""
        for key, value in self.scope["headers"]:
            if key == name:
                text: str = value.decode("latin-1")
                return text
        return ""

    @property
    def method(self) -> str:
        """The request method."""
        method: str = self.scope["method"]
        return method

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; the last of several with one name counts."""
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send the head of the answer."""
        self.is_started = True
        await self.send({"type": "http.response.start", "status": status, "headers": self.finish_headers(headers)})

    def finish_headers(self, headers: Iterable[Header]) -> list[Header]:
        """Return the headers with those every answer carries."""
        return [*headers, *self.response_headers, (b"x-request-id", self.correlation_id.encode())]

    async def respond(self, status: int, body: bytes, headers: Iterable[Header] = (JSON,)) -> None:
        """Send a whole answer."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        self.is_finished = True
        await self.send({"type": "http.response.body", "body": body})

    async def respond_json(self, document: object, status: int = 200) -> None:
        """Send a document as JSON."""
        await self.respond(status, orjson.dumps(document, default=str))

    async def fail(self, error: IskraError) -> None:
        """Send the answer about an error."""
        status, headers, body = render(error, self.path, self.correlation_id)
        if status == 408:
            headers.append((b"connection", b"close"))
        await self.respond(status, body, headers)

    def abort(self) -> None:
        """Cut the connection at once, without sending what is buffered."""
        cut = self.scope.get("iskra.abort")
        if cut is not None:
            cut()

    def require_json(self) -> None:
        """Refuse a request with a body that does not say it is JSON; browsers cannot forge that across sites.

        Raises:
            HTTPError: 415.
        """
        if self.method not in _METHODS_WITH_BODY:
            return
        content_type = self.content_type.partition(b";")[0].strip().lower()
        if content_type == b"application/json":
            return
        if not content_type and self.content_length <= 0 and not self.header(b"transfer-encoding"):
            return
        raise HTTPError(
            415,
            "The body must be JSON.",
            mend="Send it with the header `Content-Type: application/json`.",
        )

    async def read_body(self) -> bytes:
        """Read the body.

        Raises:
            InputTooLargeError: It is over the limit.
            HTTPError: 408, it came too slowly.
            ClientLeftError: The client closed the connection.
        """
        body, is_complete = await self._receive_body()
        if is_complete:
            return body
        deadline = time.monotonic() + _BODY_DEADLINE
        pieces = [body]
        size = len(body)
        while not is_complete:
            piece, is_complete = await self._receive_body()
            size += len(piece)
            if size > self.body_limit:
                raise body_too_large(self.body_limit)
            if time.monotonic() > deadline:
                raise _too_slow()
            pieces.append(piece)
        return b"".join(pieces)

    async def _receive_body(self) -> tuple[bytes, bool]:
        try:
            async with asyncio.timeout(_BODY_GAP):
                message = await self.receive()
        except TimeoutError as exc:
            raise _too_slow() from exc
        if message["type"] == "http.disconnect":
            raise ClientLeftError("The client left before its request was complete.")
        return message.get("body", b""), not message.get("more_body", False)

    async def read_json(self) -> dict[str, Any]:
        """Read the body as a JSON object.

        Raises:
            BadInputError: It is none, or is nested too deeply.
        """
        return decode_object(await self.read_body())


def _too_slow() -> HTTPError:
    return HTTPError(408, "The body of the request came too slowly.", mend="Send it again over a better connection.")


class ClientLeftError(IskraError):
    """The client closed the connection; nobody reads the answer."""

    code = "client_left"
    http_status = 400


def body_too_large(limit: int) -> InputTooLargeError:
    """Return the error about a body over the limit."""
    return InputTooLargeError(
        f"The request is larger than {limit:,} bytes.",
        mend="Send less, or raise the setting `limits.body_bytes`.",
        facts={"limit": limit},
    )


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        BadInputError: The body is none, or is nested too deeply.
    """
    document = decode_json(body)
    if not isinstance(document, dict):
        raise BadInputError("The body must be a JSON object.", mend='Send something like {"model": …}.')
    return document


def decode_json(body: bytes) -> Any:
    """Decode JSON as strictly as we encode it: UTF-8, no lone surrogates, no NaN, at most 254 levels.

    Raises:
        BadInputError: The body is no such JSON.
    """
    try:
        document = orjson.loads(body)
        if body.count(b"[") + body.count(b"{") > _PROBABLY_DEEP:
            orjson.dumps(document)  # refuses what is nested more deeply than encoders allow
    except (ValueError, TypeError, RecursionError) as exc:
        reason = "it is nested too deeply" if not isinstance(exc, orjson.JSONDecodeError) else exc.msg
        raise BadInputError(f"The body is not valid JSON: {reason}.", mend="Send one JSON document in UTF-8.") from exc
    return document
