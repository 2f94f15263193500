"""Where the plugin's applications are mounted, and what each asks of a caller.

They are made at their first request: their schemas are large, and most servers start without anybody asking for them.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

from iskra_chaos.api.access import READ
from iskra_chaos.parts import ChaosParts
from iskra_sdk.routes import ASGIApp, DeferredApp, PluginRoutes

_APPS = (
    ("/api/v1/chaos", "chaos_routes", "chaos_app", READ),
    ("/api/v1/chaos/faults", "fault_routes", "fault_app", READ),
    ("/api/v1/chaos/experiments", "experiment_routes", "experiment_app", READ),
    ("/api/v1/sift", "sift_routes", "sift_app", READ),
    ("/api/v1/control", "control_routes", "control_app", "chat"),
    ("/api/v1/monitor", "monitor_routes", "monitor_app", READ),
)
"""Path, module, function and the permission that the mount asks for; each route asks for what it needs beyond that."""


def routes(parts: ChaosParts) -> Sequence[PluginRoutes]:
    """Return all mounts; the longest path wins."""
    mounts = []
    for path, module, function, permission in _APPS:
        app = DeferredApp(_maker(module, function, parts))
        mounts.append(PluginRoutes(path, app, permission, openapi=app.openapi))
    realtime = DeferredApp(_maker("realtime", "realtime_app", parts))
    return (*mounts, PluginRoutes("/api/v1/realtime", realtime, READ))


def _maker(module: str, function: str, parts: ChaosParts) -> Callable[[], ASGIApp]:
    def make() -> ASGIApp:
        parts.clearing  # noqa: B018  # made here, in a thread: it reads the rules
        app: ASGIApp = getattr(import_module(f".{module}", __package__), function)(parts)
        return app

    return make
