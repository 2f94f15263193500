"""Joins what the running generations offer into one catalog."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from iskra.plugin_host.catalog import Catalog, Owned
from iskra.plugin_host.generation import Generation
from iskra_sdk.errors import PluginConflictError

_NAMED = ("agents", "tools", "voices", "voices_off", "providers", "context_strategies", "notifiers", "permissions")
_LISTED = ("routes", "rules", "advisors", "interceptors", "event_handlers")


def build_catalog(generations: Sequence[Generation], *, newest: Generation | None = None) -> Catalog:
    """Return the catalog of these generations.

    Raises:
        PluginConflictError: Two of them claim one name; the error blames ``newest``.
    """
    parts: dict[str, dict[str, Owned[Any]]] = {}
    lists: dict[str, list[Owned[Any]]] = {}
    paths: dict[str, str] = {}
    for generation in generations:
        offered = generation.contributions
        for kind in _NAMED:
            named = parts.setdefault(kind, {})
            for name, value in getattr(offered, kind).items():
                holder = named.get(name)
                if holder is not None:
                    raise _taken(kind.rstrip("s"), name, holder.plugin, generation.name, newest)
                named[name] = Owned(value, generation.name, generation.number)
        for kind in _LISTED:
            lists.setdefault(kind, []).extend(
                Owned(value, generation.name, generation.number) for value in getattr(offered, kind)
            )
        for mount in offered.routes:
            if mount.path in paths:
                raise _taken("route", mount.path, paths[mount.path], generation.name, newest)
            paths[mount.path] = generation.name
    fields: dict[str, Any] = {kind: MappingProxyType(named) for kind, named in parts.items()}
    fields |= {kind: tuple(items) for kind, items in lists.items()}
    return Catalog(
        generations=MappingProxyType({generation.name: generation.number for generation in generations}), **fields
    )


def _taken(kind: str, name: str, one: str, other: str, newest: Generation | None) -> PluginConflictError:
    blamed = newest.name if newest is not None and newest.name in (one, other) else other
    holder = one if blamed == other else other
    return PluginConflictError(
        blamed,
        f"its {kind.replace('_', ' ')} {name!r} has the name of one that the plugin {holder!r} registers.",
        mend="Rename it, or disable the other plugin.",
    )
