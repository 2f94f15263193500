"""Puts the HTTP layer together: the edge, the raw routes, the framework's routes, the plugins' routes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from iskra.http.admin import add_admin_routes
from iskra.http.approvals import add_approval_routes
from iskra.http.auth import Authenticator
from iskra.http.catalogue import Models, add_catalogue_routes
from iskra.http.chat_completions import ChatCompletions
from iskra.http.chat_turns import ChatTurns
from iskra.http.client_watch import ClientWatch
from iskra.http.edge import Edge, HostPolicy
from iskra.http.exchange import EXCHANGE, Exchange
from iskra.http.gateway import Gateway
from iskra.http.health import Health
from iskra.http.inputs import TurnInput, invalid
from iskra.http.login import Login
from iskra.http.openapi_document import OpenAPIDocument
from iskra.http.plugin_routes import PluginDispatcher
from iskra.http.problems import HTTPError, render, unexpected
from iskra.http.responses import Responses
from iskra.http.routing import PUBLIC, Endpoint, RawRoute, permitted_route
from iskra.http.sessions import Sessions, add_session_routes
from iskra.http.websocket import WebSocketRoute
from iskra.kernel import Kernel
from iskra_sdk.errors import IskraError


@dataclass
class HTTPLayer:
    """The HTTP layer of a running kernel; an ASGI application.

    Attributes:
        authenticator: For the one-time login that the server prints.
        watch: Started and closed by the server around its life.
        stopping: Set by the server when it begins to stop.
    """

    kernel: Kernel
    authenticator: Authenticator
    watch: ClientWatch
    framework: FastAPI
    raw_routes: list[RawRoute]
    openapi: OpenAPIDocument
    edge: Edge
    stopping: asyncio.Event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.edge(scope, receive, send)


def create_app(kernel: Kernel, *, token: str, stop: Callable[[], None] | None = None) -> HTTPLayer:
    """Build the HTTP layer of a kernel.

    Args:
        kernel: What is served.
        token: The owner's token.
        stop: Stops the server; for ``POST /api/v1/admin/shutdown``.
    """
    settings = kernel.settings
    authenticator = Authenticator(
        token=token,
        users=settings.users,
        store=kernel.store,
        clock=kernel.clock,
        requests_per_minute=settings.limits.requests_per_minute,
    )
    watch = ClientWatch()
    framework = FastAPI(
        title="Iskra", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, **_no_body_limit()
    )
    router = framework.router
    router.route_class = permitted_route(authenticator)
    stopping = asyncio.Event()
    sessions = Sessions(kernel, watch)
    raw_routes = _raw_routes(kernel, authenticator, watch, sessions, stopping)
    openapi = OpenAPIDocument(framework, kernel.plugins)
    raw_routes += [
        RawRoute(path, serve, permission=PUBLIC, authenticator=authenticator, describe={"get": {"summary": summary}})
        for path, serve, summary in (
            ("/openapi.json", openapi.serve, "This interface for programs."),
            ("/docs", openapi.serve_page, "This interface for people."),
        )
    ]
    openapi.describe(raw_routes)
    for route in raw_routes:
        router.routes.append(route)
    add_session_routes(router, kernel, sessions)
    add_approval_routes(router, kernel)
    add_catalogue_routes(router, kernel)
    add_admin_routes(router, kernel, authenticator, stop)
    router.routes.append(WebSocketRoute(kernel, authenticator, frozenset(settings.cors_origins)))
    router.default = PluginDispatcher(kernel.plugins, authenticator)
    for kind in (IskraError, RequestValidationError, HTTPException, Exception):
        framework.add_exception_handler(kind, _render_error)
    edge = Edge(
        framework,
        hot={route.path: route for route in raw_routes if "{" not in route.path},
        hosts=HostPolicy(settings.host, settings.allowed_hosts),
        cors_origins=settings.cors_origins,
        body_limit=settings.limits.body_bytes,
    )
    return HTTPLayer(kernel, authenticator, watch, framework, raw_routes, openapi, edge, stopping)


def _no_body_limit() -> dict[str, Any]:
    """The edge limits bodies, before the framework sees them."""
    return {"max_body_size": None}


def _raw_routes(
    kernel: Kernel,
    authenticator: Authenticator,
    watch: ClientWatch,
    sessions: Sessions,
    stopping: asyncio.Event,
) -> list[RawRoute]:
    chat = ChatCompletions(Gateway(kernel.llm, kernel.plugins, watch), ChatTurns(kernel, watch))
    responses = Responses(kernel, watch)
    models = Models(kernel)
    health = Health(kernel, stopping.is_set)
    login = Login(authenticator)

    def route(
        method: str, path: str, endpoint: Endpoint, permission: str, summary: str, **operation: object
    ) -> RawRoute:
        methods = method.split()
        describe = {verb.lower(): {"summary": summary, **operation} for verb in methods}
        return RawRoute(
            path, endpoint, permission=permission, authenticator=authenticator, methods=methods, describe=describe
        )

    stream = {"responses": {"200": {"description": "OK", "content": {"application/json": {}, "text/event-stream": {}}}}}
    return [
        route("GET", "/health", health.live, PUBLIC, "Whether the server lives."),
        route("GET", "/ready", health.ready, PUBLIC, "Whether the server and what it depends on are ready."),
        route("GET POST", "/login", login, PUBLIC, "Log a browser in, by one-time code or by token."),
        route("POST", "/logout", login.log_out, PUBLIC, "Log a browser out."),
        route("GET", "/v1/models", models.list_all, "chat", "List everything that answers.", tags=["openai"]),
        route("GET", "/v1/models/{model:path}", models.get, "chat", "Read one model.", tags=["openai"]),
        route(
            "POST",
            "/v1/chat/completions",
            chat,
            "chat",
            "Answer a chat, streamed or whole.",
            tags=["openai"],
            requestBody=_body(
                {"model": {"type": "string"}, "messages": {"type": "array", "items": {"type": "object"}}},
                required=["model", "messages"],
                stream={"type": "boolean"},
                stream_options={"type": "object"},
                metadata={"type": "object"},
            ),
            **stream,
        ),
        route(
            "POST",
            "/v1/responses",
            responses.create,
            "chat",
            "Answer an input, streamed, whole or in the background.",
            tags=["openai"],
            requestBody=_body(
                {"model": {"type": "string"}, "input": {}},
                required=["model", "input"],
                stream={"type": "boolean"},
                background={"type": "boolean"},
                instructions={"type": "string"},
                previous_response_id={"type": "string"},
            ),
            **stream,
        ),
        route(
            "GET",
            "/v1/responses/{response_id}",
            responses.read,
            "chat",
            "Read a response, or stream it after an event.",
            tags=["openai"],
            **stream,
        ),
        route(
            "POST",
            "/v1/responses/{response_id}/cancel",
            responses.cancel,
            "chat",
            "Cancel a response.",
            tags=["openai"],
        ),
        route(
            "POST",
            "/api/v1/sessions/{session_id}/turns",
            sessions.start_turn,
            "sessions:write",
            "Send a message: 202 with its turn, or the turn's events with `Accept: text/event-stream`.",
            tags=["turns"],
            requestBody={"required": True, "content": {"application/json": {"schema": TurnInput.model_json_schema()}}},
            responses={"202": {"description": "Committed", "content": {"application/json": {}}}, **stream["responses"]},
        ),
        route(
            "GET",
            "/api/v1/sessions/{session_id}/events",
            sessions.events,
            "sessions:read",
            "Follow a session's events after `?after=N` or `Last-Event-ID`; a page with `Accept: application/json`.",
            tags=["sessions"],
            **stream,
        ),
    ]


def _body(properties: dict[str, Any], *, required: list[str], **more: object) -> dict[str, object]:
    schema = {"type": "object", "properties": {**properties, **more}, "required": required}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


async def _render_error(request: Request, error: Exception) -> Response:
    """Render what the framework's routes raise as the edge renders the rest."""
    if request.scope["type"] == "websocket":
        raise error  # the framework would drop the answer; the edge refuses the handshake
    exchange: Exchange = request.scope[EXCHANGE]
    known = _as_iskra_error(error, exchange.correlation_id)
    status, headers, body = render(known, exchange.path, exchange.correlation_id)
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


def _as_iskra_error(error: Exception, correlation_id: str) -> IskraError:
    if isinstance(error, IskraError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid(list(error.errors()))
    if isinstance(error, HTTPException):
        return HTTPError(error.status_code, str(error.detail), headers=error.headers)
    return unexpected(correlation_id)  # the edge, which gets it next, logs it
