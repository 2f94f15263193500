"""The first thing a request meets: one pure ASGI middleware that knows no route and trusts nothing."""

import ipaddress
import logging
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from iskra.correlation import correlation_id
from iskra.http.exchange import (
    EXCHANGE,
    SECURITY_HEADERS,
    ASGIApp,
    ClientLeftError,
    Exchange,
    Message,
    Receive,
    Scope,
    Send,
    body_too_large,
)
from iskra.http.problems import Header, HTTPError, unexpected
from iskra.http.routing import RawRoute
from iskra_sdk.errors import IskraError

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "ip6-localhost"})
_LONGEST_REQUEST_ID = 128
_REMEMBERED_HOSTS = 64
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What a page of ours may load: nothing foreign."""

_CORS_REQUEST_HEADERS = (
    b"authorization, content-type, idempotency-key, last-event-id, x-iskra-session, x-session-id, x-request-id"
)
_CORS_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_CORS_ANSWER_HEADERS = b"x-request-id, x-iskra-session, retry-after"


class HostPolicy:
    """Decides which ``Host`` headers are ours, so that a foreign name that resolves to us gets nothing.

    Loopback names, the bound host and the allowed ones are ours. A server bound to all addresses answers to any literal
    address too: rebinding needs a name.
    """

    def __init__(self, bound: str, allowed: Iterable[str]) -> None:
        self._names = {_bracketed(name.lower()) for name in allowed} | {_bracketed(bound.lower())} | _LOOPBACK_NAMES
        self._allows_any = "*" in self._names
        self._allows_addresses = bound in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
        self._seen: set[bytes] = set()

    def allows(self, header: bytes) -> bool:
        """Return whether a request with this ``Host`` header is meant for us."""
        if header in self._seen:
            return True
        if not self._judge(header):
            return False
        if len(self._seen) < _REMEMBERED_HOSTS:
            self._seen.add(header)
        return True

    def _judge(self, header: bytes) -> bool:
        try:
            text = header.decode("ascii").lower()
        except UnicodeDecodeError:
            return False
        name, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            name, port = text, ""
        if (port and not port.isdigit()) or not name:
            return False
        if self._allows_any:
            return not any(character in name for character in "/@\\?# ")
        if name in self._names:
            return True
        if not self._allows_addresses:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Edge:
    """Gives every request a correlation id, checks its head, and renders what went wrong behind it.

    Args:
        app: Everything that is not a raw route with a fixed path.
        hot: Raw routes by their path; they skip the framework.
        hosts: Which hosts are ours.
        cors_origins: Web origins whose pages may call with a token; never with the cookie.
        body_limit: Bytes a request body may have.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hot: Mapping[str, RawRoute],
        hosts: HostPolicy,
        cors_origins: Iterable[str] = (),
        body_limit: int,
    ) -> None:
        self._app = app
        self._hot = dict(hot)
        self._hosts = hosts
        self._cors_origins = frozenset(origin.encode() for origin in cors_origins)
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        exchange.body_limit = self._body_limit
        scope[EXCHANGE] = exchange
        try:
            self._read_head(exchange)
            if kind == "http":
                await self._serve_http(exchange)
            else:
                await self._app(scope, receive, send)
        except IskraError as error:
            await self._fail(exchange, error)
        except Exception as error:
            logger.error("request failed", exc_info=error, extra={"path": exchange.path})
            await self._fail(exchange, unexpected(exchange.correlation_id))
        finally:
            del scope[EXCHANGE]  # it knows the scope: a circle that only the garbage collector could free

    def _read_head(self, exchange: Exchange) -> None:
        request_id = b""
        host_count = 0
        for name, value in exchange.scope["headers"]:
            match name:
                case b"host":
                    exchange.host = value
                    host_count += 1
                case b"authorization":
                    # Two credentials: neither counts.
                    exchange.authorization = value if not exchange.authorization else b"ambiguous"
                case b"content-type":
                    exchange.content_type = value
                case b"content-length":
                    exchange.content_length = int(value) if value.isdigit() else -1
                case b"cookie":
                    exchange.cookie = exchange.cookie + b"; " + value if exchange.cookie else value
                case b"origin":
                    exchange.origin = value
                case b"x-request-id":
                    request_id = value
        text = request_id.decode("latin-1")
        is_sane = (
            0 < len(text) <= _LONGEST_REQUEST_ID
            and text.isascii()
            and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
        )
        exchange.correlation_id = text if is_sane else f"req_{secrets.token_hex(8)}"
        correlation_id.set(exchange.correlation_id)
        if host_count != 1 and not (host_count == 0 and exchange.scope.get("http_version") == "1.0"):
            raise HTTPError(400, "The request needs exactly one Host header.")
        if host_count and not self._hosts.allows(exchange.host):
            raise HTTPError(
                421,
                "This server does not answer to that host name.",
                mend="Use its address, or add the name to the setting `allowed_hosts`.",
            )
        path = exchange.path
        if not path.startswith("/") or not path.isprintable() or "\\" in path:
            raise HTTPError(400, "The path is not valid.")

    async def _serve_http(self, exchange: Exchange) -> None:
        scope = exchange.scope
        method = scope["method"]
        if method not in _METHODS:
            raise HTTPError(
                405, f"The method {method} is not supported.", headers={"allow": ", ".join(sorted(_METHODS))}
            )
        if exchange.content_length > self._body_limit:
            raise body_too_large(self._body_limit)
        if exchange.origin and exchange.origin in self._cors_origins:
            exchange.response_headers = (
                *SECURITY_HEADERS,
                (b"access-control-allow-origin", exchange.origin),
                (b"access-control-expose-headers", _CORS_ANSWER_HEADERS),
                (b"vary", b"origin"),
            )
            if method == "OPTIONS" and exchange.header(b"access-control-request-method"):
                await exchange.respond(
                    204,
                    b"",
                    [
                        (b"access-control-allow-methods", _CORS_METHODS),
                        (b"access-control-allow-headers", _CORS_REQUEST_HEADERS),
                        (b"access-control-max-age", b"600"),
                    ],
                )
                return
        route = self._hot.get(exchange.path)
        if route is not None:
            await route.serve(exchange)
            return
        await self._app(scope, _bounded(exchange), _completed(exchange))

    async def _fail(self, exchange: Exchange, error: IskraError) -> None:
        if isinstance(error, ClientLeftError):
            return
        scope = exchange.scope
        if scope["type"] == "websocket":
            await _deny_websocket(exchange, error)
            return
        if exchange.is_started:
            # Half an answer is out: cut it, so that nobody takes it for whole.
            if not exchange.is_finished:
                exchange.abort()
                exchange.is_finished = True
            return
        await exchange.fail(error)


def _bounded(exchange: Exchange) -> Receive:
    """Return a ``receive`` that stops at the body limit, whatever the head promised."""
    if 0 <= exchange.content_length <= exchange.body_limit:
        return exchange.receive
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await exchange.receive()
        received += len(message.get("body", b""))
        if received > exchange.body_limit:
            raise body_too_large(exchange.body_limit)
        return message

    return receive


def _completed(exchange: Exchange) -> Send:
    """Return a ``send`` that adds the headers every answer carries and notes how far the answer is."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.is_started = True
            headers: list[Header] = list(message.get("headers", ()))
            given = {name.lower(): value for name, value in headers}
            for name, value in exchange.response_headers:
                if name == b"content-security-policy" and given.get(b"content-type", b"").startswith(b"text/html"):
                    value = _PAGE_POLICY
                if name not in given:
                    headers.append((name, value))
            headers.append((b"x-request-id", exchange.correlation_id.encode()))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            exchange.is_finished = True
        await exchange.send(message)

    return send


async def _deny_websocket(exchange: Exchange, error: IskraError) -> None:
    extensions: Mapping[str, Any] = exchange.scope.get("extensions") or {}
    if exchange.is_started:
        await exchange.send({"type": "websocket.close", "code": 1011})
        return
    exchange.is_started = True
    if "websocket.http.response" not in extensions:
        await exchange.send({"type": "websocket.close", "code": 1008})
        return
    body = str(error).encode()
    await exchange.send(
        {
            "type": "websocket.http.response.start",
            "status": error.http_status,
            "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))],
        }
    )
    await exchange.send({"type": "websocket.http.response.body", "body": body})
