"""Routes that say which permission they need; without one a route cannot be made."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import Receive, Scope, Send

from iskra.http.auth import Authenticator
from iskra.http.exchange import EXCHANGE, Exchange, decode_json
from iskra.http.problems import HTTPError
from iskra_sdk.principal import Principal

PUBLIC = "public"
"""The permission of a route that anybody may use, and is meant to be so."""

PERMISSION = "x-iskra-permission"
"""Where a route's permission stands in the OpenAPI document."""

Endpoint = Callable[[Exchange], Awaitable[None]]


async def admit(exchange: Exchange, permission: str, authenticator: Authenticator) -> None:
    """Let a request in to a route that has matched, or raise.

    Raises:
        AuthenticationError: No valid credential.
        PermissionDeniedError: Not this principal.
    """
    if permission != PUBLIC:
        principal = await authenticator.authenticate(exchange)
        principal.require(permission)


class RawRoute(BaseRoute):
    """A route answered without the framework, for what must be fast or streams.

    Args:
        path: May have parameters, ``{name}``; without them the edge finds the route by a look-up.
        permission: What a caller needs; :data:`PUBLIC` lets everybody in.
        endpoint: Gets the exchange after the permission was checked.
        describe: The operations in OpenAPI's form, by lower-case method.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        permission: str,
        authenticator: Authenticator,
        methods: Iterable[str] = ("GET",),
        describe: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        if not permission:
            raise TypeError(f"the route {path} needs a permission")
        self.path = path
        self.methods = frozenset(methods)
        self.permission = permission
        self.describe = describe or {}
        self._endpoint = endpoint
        self._authenticator = authenticator
        self._pattern, self.path_format, _ = compile_path(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        found = self._pattern.match(scope["path"])
        if found is None:
            return Match.NONE, {}
        if scope["method"] not in self.methods:
            return Match.PARTIAL, {"path_params": {}}
        return Match.FULL, {"path_params": found.groupdict()}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope[EXCHANGE])

    async def serve(self, exchange: Exchange) -> None:
        """Check the method and the caller, then answer."""
        if exchange.scope["method"] not in self.methods:
            raise HTTPError(
                405,
                f"The method {exchange.method} is not allowed here.",
                headers={"allow": ", ".join(sorted(self.methods))},
            )
        await admit(exchange, self.permission, self._authenticator)
        exchange.require_json()
        await self._endpoint(exchange)


class _StrictRequest(Request):
    """A request whose body was read and decoded as strictly as everywhere else, before the framework looks at it."""

    @classmethod
    async def read(cls, request: Request) -> "_StrictRequest":
        exchange: Exchange = request.scope[EXCHANGE]
        strict = cls(request.scope, request.receive)
        strict._body = await exchange.read_body()
        if strict._body:
            strict._json = decode_json(strict._body)
        return strict


def permitted_route(authenticator: Authenticator) -> type[APIRoute]:
    """Return the class of the framework's routes: each checks its permission before anything is parsed."""

    class PermittedRoute(APIRoute):
        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            super().__init__(path, endpoint, **options)
            permission = (self.openapi_extra or {}).get(PERMISSION)
            if not permission:
                raise TypeError(f"the route {path} needs a permission")
            self.permission: str = permission

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            exchange: Exchange = scope[EXCHANGE]
            if self.methods and scope["method"] in self.methods:
                await admit(exchange, self.permission, authenticator)
                exchange.require_json()
            await super().handle(scope, receive, send)

        def get_route_handler(self) -> Callable[[Request], Any]:
            answer = super().get_route_handler()

            async def strict(request: Request) -> Response:
                response: Response = await answer(await _StrictRequest.read(request))
                return response

            return strict

    return PermittedRoute


def needs(permission: str) -> dict[str, Any]:
    """Return the declaration of a route's permission: ``@router.get(path, openapi_extra=needs("chat"))``."""
    return {PERMISSION: permission}


def principal_of(request: Request) -> Principal:
    """Return who sent the request; a dependency."""
    exchange: Exchange = request.scope[EXCHANGE]
    return exchange.principal


def exchange_of(request: Request) -> Exchange:
    """Return the exchange of a request; a dependency."""
    exchange: Exchange = request.scope[EXCHANGE]
    return exchange


class JSONAnswer(Response):
    """A document as JSON, encoded once, without a model in between."""

    media_type = "application/json"

    def __init__(self, document: object, status_code: int = 200) -> None:
        body = orjson.dumps(document, default=_plain, option=orjson.OPT_NON_STR_KEYS)
        super().__init__(body, status_code, media_type=self.media_type)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    return str(value)
