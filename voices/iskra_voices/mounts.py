"""Where the plugin's applications are mounted.

They are made, and their schemas imported, at their first request: most servers start without anybody asking for them.
"""

from collections.abc import Sequence

from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.routes import ASGIApp, DeferredApp, PluginRoutes
from iskra_voices.assembly import Assembly

VOICES_PATH = "/api/v1/voices"
METRICS_PATH = "/api/v1/conversation_metrics"


def mounts(context: PluginContext, assembly: Assembly, permission: str) -> Sequence[PluginRoutes]:
    """Return the mounts.

    Args:
        context: The plugin's.
        assembly: What the hooks share.
        permission: What the voices ask of a caller; the metrics ask for ``sessions:read``.
    """

    def make_voices() -> ASGIApp:
        from iskra_voices.routes import voice_app

        return voice_app(context, assembly)

    def make_metrics() -> ASGIApp:
        from iskra_voices.routes import metric_app

        return metric_app(assembly)

    voices, metrics = DeferredApp(make_voices), DeferredApp(make_metrics)
    return (
        PluginRoutes(VOICES_PATH, voices, permission, openapi=voices.openapi),
        PluginRoutes(METRICS_PATH, metrics, "sessions:read", openapi=metrics.openapi),
    )
