"""Where the plugin's applications are mounted, and what each asks of a caller."""

from collections.abc import Sequence

from iskra_chaos.api.access import READ
from iskra_chaos.api.chaos_routes import chaos_app
from iskra_chaos.api.control_routes import control_app
from iskra_chaos.api.fault_routes import fault_app
from iskra_chaos.api.monitor_routes import monitor_app
from iskra_chaos.api.realtime import realtime_app
from iskra_chaos.api.sift_routes import sift_app
from iskra_chaos.parts import ChaosParts
from iskra_sdk.routes import PluginRoutes


def routes(parts: ChaosParts) -> Sequence[PluginRoutes]:
    """Return all mounts; the longest path wins."""
    chaos, faults, sift, control = chaos_app(parts), fault_app(parts), sift_app(parts), control_app(parts)
    monitor = monitor_app(parts)
    return (
        PluginRoutes("/api/v1/chaos", chaos, READ, openapi=chaos.openapi),
        PluginRoutes("/api/v1/chaos/faults", faults, READ, openapi=faults.openapi),
        PluginRoutes("/api/v1/sift", sift, READ, openapi=sift.openapi),
        PluginRoutes("/api/v1/control", control, "chat", openapi=control.openapi),
        PluginRoutes("/api/v1/monitor", monitor, READ, openapi=monitor.openapi),
        PluginRoutes("/api/v1/realtime", realtime_app(parts), READ),
    )
