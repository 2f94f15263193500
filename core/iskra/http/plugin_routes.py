"""Routes of plugins: mounted while their plugin runs, checked by the kernel before the plugin sees a request."""

import asyncio
import logging
from collections.abc import Sequence

from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from iskra.http.auth import Authenticator, require_same_origin
from iskra.http.exchange import EXCHANGE, Exchange
from iskra.http.inputs import invalid, not_json
from iskra.http.problems import HTTPError, render
from iskra.http.routing import PUBLIC, admit
from iskra.plugin_host import Catalog, Owned, PluginHost
from iskra_sdk.errors import IskraError
from iskra_sdk.routes import ASGIApp, DeferredApp, PluginRoutes

logger = logging.getLogger(__name__)

_FORBIDDEN_TYPES = (b"text/plain", b"")
_UNREADABLE = "There was an error parsing the body"
"""What FastAPI says of a body that it cannot decode, whatever the cause."""
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class PluginDispatcher:
    """Finds the plugin application for a path no route of the kernel has; the longest mount wins, ``/`` is last.

    Args:
        plugins: Whose catalog is followed.
        authenticator: Checks the credential.
    """

    def __init__(self, plugins: PluginHost, authenticator: Authenticator) -> None:
        self._plugins = plugins
        self._authenticator = authenticator
        self._mounts: Sequence[Owned[PluginRoutes]] = ()
        self._follow(plugins.catalog)
        plugins.on_swap(self._follow)

    def _follow(self, catalog: Catalog) -> None:
        self._mounts = sorted(catalog.routes, key=lambda owned: len(owned.value.path), reverse=True)
        for owned in self._mounts:
            app = owned.value.app
            if isinstance(app, DeferredApp):
                app.on_made = _render_like_ours
            else:
                _render_like_ours(app)

    def find(self, path: str) -> Owned[PluginRoutes] | None:
        """Return the mount a path belongs to."""
        for owned in self._mounts:
            mount = owned.value.path.rstrip("/")
            if path == mount or path.startswith(f"{mount}/"):
                return owned
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        with self._plugins.lease():
            owned = self.find(scope["path"])
            if owned is None:
                raise HTTPError(404, "There is nothing at this path.", mend="See /docs for what there is.")
            routes = owned.value
            await admit(exchange, routes.permission, self._authenticator)
            if scope["type"] == "websocket":
                if exchange.origin:
                    require_same_origin(exchange)
            else:
                _refuse_forgeable(exchange)
            mount = routes.path.rstrip("/")
            state = {**scope.get("state", {}), "principal": None if routes.permission == PUBLIC else exchange.principal}
            inner = {**scope, "state": state, "root_path": scope.get("root_path", "") + mount}
            inner.pop("app", None)
            inner.pop("router", None)
            inner.pop("route", None)
            await self._call(owned, inner, receive, send)

    async def _call(self, owned: Owned[PluginRoutes], scope: Scope, receive: Receive, send: Send) -> None:
        """Call the plugin's application; whatever it raises is its failure and not the server's."""
        exchange: Exchange = scope[EXCHANGE]
        is_websocket = scope["type"] == "websocket"
        failure: BaseException
        try:
            await owned.value.app(scope, receive, _noted(exchange, send) if is_websocket else send)
            if is_websocket and not exchange.is_started:
                raise HTTPError(404, "There is no WebSocket at this path.", mend="See /docs for what there is.")
        except (IskraError, asyncio.CancelledError):
            raise
        except BaseException as exc:
            failure = exc
        else:
            return
        self._plugins.record_failure(owned.plugin, failure)
        logger.error("plugin route failed", exc_info=failure, extra={"plugin": owned.plugin, "path": scope["path"]})
        if not exchange.is_started:
            raise _PluginRouteError(owned.plugin) from failure
        if not exchange.is_finished:  # half an answer must not look whole
            exchange.abort()


def _render_like_ours(app: ASGIApp) -> None:
    """Have an application render our errors, and what does not fit its routes, as the kernel does."""
    if not isinstance(app, Starlette):
        return
    handlers = app.exception_handlers
    if IskraError not in handlers:
        app.add_exception_handler(IskraError, _render_problem)  # or it would answer 500 by itself
    if handlers.get(RequestValidationError) is request_validation_exception_handler:
        app.add_exception_handler(RequestValidationError, _render_problem)  # its own echoes the whole input
    if handlers.get(HTTPException) in (None, http_exception_handler):
        app.add_exception_handler(HTTPException, _render_problem)  # its own says neither the code nor what to do


async def _render_problem(request: Request, error: Exception) -> Response:
    """Render our errors that a plugin's application raises as the kernel's own routes do."""
    if isinstance(error, RequestValidationError):
        error = invalid(list(error.errors()))
    elif isinstance(error, HTTPException):
        if error.status_code < 400:
            return await http_exception_handler(request, error)
        error = _of_framework(error)
    if request.scope["type"] == "websocket" or not isinstance(error, IskraError):
        raise error
    exchange: Exchange = request.scope[EXCHANGE]
    status, headers, body = render(error, exchange.path, exchange.correlation_id)
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


def _of_framework(error: HTTPException) -> IskraError:
    """Return what a framework says without an explanation as an error of ours."""
    if error.detail == _UNREADABLE:
        return not_json(
            "it is nested too deeply" if isinstance(error.__cause__, RecursionError) else "it cannot be decoded"
        )
    is_path = error.status_code in (404, 405) and error.detail in ("Not Found", "Method Not Allowed")
    mend = "See /docs for what there is." if is_path else ""
    return HTTPError(error.status_code, f"{str(error.detail).rstrip('.')}.", mend=mend, headers=error.headers)


def _noted(exchange: Exchange, send: Send) -> Send:
    """Return a ``send`` that notes that the handshake is answered; for requests the edge does that."""

    async def noted(message: Message) -> None:
        exchange.is_started = True
        await send(message)

    return noted


class _PluginRouteError(IskraError):
    """A plugin's route raised."""

    code = "plugin_route_failed"

    def __init__(self, plugin: str) -> None:
        super().__init__(
            f"The plugin {plugin!r} could not answer.",
            mend="The server's log has the details.",
            facts={"plugin": plugin},
        )


def _refuse_forgeable(exchange: Exchange) -> None:
    """Refuse what a form or script of a foreign page could send without being asked; plugins may take uploads."""
    if exchange.method not in _METHODS_WITH_BODY or exchange.content_length == 0:
        return
    content_type = exchange.content_type.partition(b";")[0].strip().lower()
    has_body = exchange.content_length > 0 or bool(exchange.header(b"transfer-encoding"))
    if has_body and content_type in _FORBIDDEN_TYPES:
        raise HTTPError(415, "The body must say what it is.", mend="Send `Content-Type: application/json`.")
