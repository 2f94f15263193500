"""What the host knows of each plugin, and how plugins depend on one another."""

import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from types import ModuleType

from iskra.plugin_host.discovery import PluginSource
from iskra.plugin_host.failures import FailureCounter
from iskra.plugin_host.generation import Generation, is_freed
from iskra.plugin_host.receipt import Receipt
from iskra.plugin_host.status import PluginState, PluginStatus
from iskra_sdk.errors import (
    PluginBlockedLoopError,
    PluginDependencyError,
    PluginError,
    PluginExtraError,
    PluginLoadError,
)
from iskra_sdk.session_store import PluginRecord

_KEPT_RECEIPTS = 20


@dataclass(slots=True)
class KnownPlugin:
    """Everything the host knows of one plugin name.

    Attributes:
        source: Its code as it was last looked at.
        record: What the store says: enabled, settings, failed starts, quarantine.
        is_allowed: Whether the server's settings let it run.
        running: The generation in service.
        error: Why it does not run, or why its present code does not.
        blocked_loop: How it last held the event loop.
        generations: How many were loaded.
        was_imported: Whether its code was imported before.
        failures: What it raised lately.
        receipts: Of its changes, oldest first.
        modules: The modules of generations that are gone, to see whether their code was freed.
    """

    source: PluginSource
    record: PluginRecord
    is_allowed: bool
    running: Generation | None = None
    error: PluginError | None = None
    blocked_loop: PluginBlockedLoopError | None = None
    generations: int = 0
    was_imported: bool = False
    failures: FailureCounter = field(default_factory=FailureCounter)
    receipts: "deque[Receipt]" = field(default_factory=lambda: deque(maxlen=_KEPT_RECEIPTS))
    modules: "dict[int, weakref.ref[ModuleType] | None]" = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.source.name

    @property
    def requires(self) -> Sequence[str]:
        """The plugins it needs, by name."""
        return () if self.source.manifest is None else self.source.manifest.requires

    @property
    def is_wanted(self) -> bool:
        """Whether it should run."""
        return self.is_allowed and self.record.is_enabled and not self.record.quarantined_because

    def has_gone(self, generation: Generation, module: "weakref.ref[ModuleType] | None") -> None:
        """Keep the module of a generation that was disposed of, and forget the oldest ones."""
        self.modules[generation.number] = module
        for number in sorted(self.modules)[:-_KEPT_RECEIPTS]:
            del self.modules[number]

    def newest_receipts(self) -> Sequence[Receipt]:
        """Return its receipts, newest first, with what is known now about the old code."""
        return [
            replace(receipt, is_code_freed=is_freed(self.modules[receipt.old_generation]))
            if receipt.old_generation in self.modules
            else receipt
            for receipt in reversed(self.receipts)
        ]

    def status(self, now: float) -> PluginStatus:
        """Return how it stands.

        Args:
            now: Monotonic time in seconds.
        """
        running = self.running
        manifest = running.manifest if running is not None else self.source.manifest
        error = self.error or self.blocked_loop
        if self.record.quarantined_because:
            error = error or PluginLoadError(
                self.name,
                f"{self.record.quarantined_because}.",
                mend=f"Mend it, then run `iskra plugins enable {self.name}`.",
            )
        return PluginStatus(
            self.name,
            self.state,
            self.source.kind,
            self.source.path,
            version=manifest.version if manifest else "",
            description=manifest.description if manifest else "",
            permissions=[permission.value for permission in manifest.permissions] if manifest else (),
            requires=manifest.requires if manifest else (),
            generation=running.number if running is not None else 0,
            source_hash=(running.source if running is not None else self.source).hash,
            loaded_at=running.loaded_at if running is not None else None,
            error=error,
            failures=self.failures.recent(now),
            offers=running.contributions.offers if running is not None else {},
            settings=running.settings.model_dump(mode="json") if running is not None else {},
        )

    @property
    def state(self) -> PluginState:
        """Where it stands."""
        if self.record.quarantined_because:
            return PluginState.QUARANTINED
        if self.running is not None:
            return PluginState.RUNNING
        if not self.is_wanted:
            return PluginState.DISABLED
        return PluginState.UNAVAILABLE if isinstance(self.error, PluginExtraError) else PluginState.FAILED


def load_order(wanted: dict[str, KnownPlugin]) -> "TopologicalSorter[str]":
    """Return a prepared sorter that gives what others require first.

    Plugins that require one another in a circle are taken out of ``wanted``; their error says so.
    """
    while True:
        sorter = TopologicalSorter(_graph(wanted))
        try:
            sorter.prepare()
        except CycleError as exc:
            cycle = list(dict.fromkeys(exc.args[1]))
            for name in cycle:
                wanted.pop(name).error = PluginDependencyError(
                    name,
                    f"the plugins {', '.join(sorted(cycle))} require one another.",
                    mend="Take one of them out of the other's `requires`.",
                )
        else:
            return sorter


def dependents_last(plugins: Iterable[KnownPlugin]) -> list[KnownPlugin]:
    """Return plugins that can be loaded together, those that others require first."""
    by_name = {plugin.name: plugin for plugin in plugins}
    return [by_name[name] for name in TopologicalSorter(_graph(by_name)).static_order()]


def running_dependents(plugins: Iterable[KnownPlugin], name: str) -> list[KnownPlugin]:
    """Return the running plugins that require ``name``, directly or through others."""
    running = [(plugin, plugin.running.manifest.requires) for plugin in plugins if plugin.running is not None]
    found: dict[str, KnownPlugin] = {}
    waiting = [name]
    while waiting:
        required = waiting.pop()
        for other, requires in running:
            if required in requires and other.name not in found:
                found[other.name] = other
                waiting.append(other.name)
    return list(found.values())


def _graph(plugins: dict[str, KnownPlugin]) -> dict[str, list[str]]:
    return {name: [other for other in plugin.requires if other in plugins] for name, plugin in plugins.items()}
