"""Which tools an agent may use."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from weakref import WeakKeyDictionary

from iskra.plugin_host.catalog import Catalog, Owned
from iskra_sdk.agent import Agent
from iskra_sdk.tool import Tool


class ToolChoice:
    """Matches an agent's globs against a catalog, once per catalog and agent."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Catalog, dict[tuple[str, ...], Mapping[str, Owned[Tool]]]] = WeakKeyDictionary()

    def tools_of(self, catalog: Catalog, agent: Agent) -> Mapping[str, Owned[Tool]]:
        """Return the tools whose names match one of the agent's globs, by name."""
        globs = tuple(agent.tools)
        known = self._known.setdefault(catalog, {})
        chosen = known.get(globs)
        if chosen is None:
            chosen = known[globs] = MappingProxyType(
                {
                    name: owned
                    for name, owned in sorted(catalog.tools.items())
                    if any(fnmatchcase(name, glob) for glob in globs)
                }
            )
        return chosen
