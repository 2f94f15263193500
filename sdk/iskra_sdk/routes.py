"""HTTP routes of plugins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ASGIApp = Callable[[Any, Any, Any], Any]
"""Any ASGI application: a FastAPI, Starlette or other app."""


@dataclass(frozen=True, slots=True)
class PluginRoutes:
    """An ASGI application mounted while its plugin is enabled.

    The kernel checks the credential, the permission, the body limit and the host before the application is called;
    ``scope["state"]["principal"]`` is the :class:`~iskra_sdk.principal.Principal`. Errors under ``IskraError`` that it
    raises are answered as the kernel answers its own.

    Attributes:
        path: Where it is mounted, e.g. ``/api/v1/weather``; ``/`` serves what nothing else does.
        app: The application.
        permission: What a caller needs; ``public`` lets everybody in, without a principal, and must be meant.
        openapi: Returns the application's OpenAPI document, merged into the server's; FastAPI's ``app.openapi``.
    """

    path: str
    app: ASGIApp
    permission: str
    openapi: Callable[[], Mapping[str, Any]] | None = None
