"""Loads plugins, swaps them while turns run on, and gives their parts to the rest of the kernel."""

from typing import TYPE_CHECKING

from iskra.plugin_host.catalog import Catalog, Owned

if TYPE_CHECKING:
    from iskra.plugin_host.facilities import Facilities
    from iskra.plugin_host.host import PluginHost
    from iskra.plugin_host.leases import Lease
    from iskra.plugin_host.receipt import Receipt, Verdict
    from iskra.plugin_host.status import PluginState, PluginStatus

__all__ = [
    "Catalog",
    "Facilities",
    "Lease",
    "Owned",
    "PluginHost",
    "PluginState",
    "PluginStatus",
    "Receipt",
    "Verdict",
]

_PLACES = {
    "Facilities": "facilities",
    "Lease": "leases",
    "PluginHost": "host",
    "PluginState": "status",
    "PluginStatus": "status",
    "Receipt": "receipt",
    "Verdict": "receipt",
}


def __getattr__(name: str) -> object:
    # Resolved late: the process that tries plugins out imports only two modules of this package and has to be small.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
