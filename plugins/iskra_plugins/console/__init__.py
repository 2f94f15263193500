"""The web console: one page on ``/`` without foreign resources.

The page itself is public and holds no data. Everything it shows it asks from the server's own HTTP interface, with the
cookie that the login link sets, so it can do nothing that another client with the same rights could not.
"""

from collections.abc import Iterable
from importlib.resources import files

from iskra_plugins.console.static_site import StaticSite
from iskra_sdk.hookspecs import hookimpl
from iskra_sdk.routes import PluginRoutes


@hookimpl
def register_routes() -> Iterable[PluginRoutes]:
    return [PluginRoutes(path="/", app=StaticSite.read(files(__name__) / "static"), permission="public")]
