"""HTTP routes of plugins."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

ASGIApp = Callable[[Any, Any, Any], Any]
"""Any ASGI application: a FastAPI, Starlette or other app."""


class DeferredApp:
    """An application that is made when the first request for it comes, in a thread.

    For a plugin whose applications take long to build: with it the server starts, and the plugin is reloaded, without
    waiting for what perhaps nobody asks for.

    Example::

        app = DeferredApp(build)
        PluginRoutes("/api/v1/weather", app, "weather:read", openapi=app.openapi)

    Args:
        make: Returns the application; called once.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None
        self._lock = Lock()
        self.on_made: Callable[[ASGIApp], None] = lambda _app: None
        """Called with the application once it is made; for the kernel."""

    def made(self) -> ASGIApp:
        """Return the application, made now if it was not yet."""
        with self._lock:
            if self._made is None:
                made = self._make()
                self.on_made(made)
                self._made = made
            return self._made

    def openapi(self) -> Mapping[str, Any]:
        """Return what the application's own ``openapi()`` does, as FastAPI's has one."""
        document: Mapping[str, Any] = self.made().openapi()  # type: ignore[attr-defined]  # or it is not asked for
        return document

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        app = self._made if self._made is not None else await asyncio.to_thread(self.made)
        await app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class PluginRoutes:
    """An ASGI application mounted while its plugin is enabled.

    The kernel checks the credential, the permission, the body limit and the host before the application is called;
    ``scope["state"]["principal"]`` is the :class:`~iskra_sdk.principal.Principal`. Errors under ``IskraError`` that it
    raises are answered as the kernel answers its own.

    Attributes:
        path: Where it is mounted, e.g. ``/api/v1/weather``; ``/`` serves what nothing else does.
        app: The application, or a :class:`DeferredApp`.
        permission: What a caller needs; ``public`` lets everybody in, without a principal, and must be meant.
        openapi: Returns the application's OpenAPI document, merged into the server's; FastAPI's ``app.openapi``.
    """

    path: str
    app: ASGIApp
    permission: str
    openapi: Callable[[], Mapping[str, Any]] | None = None
