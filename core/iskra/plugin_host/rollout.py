"""Brings generations into service and takes them out, and keeps the books on what came of it."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence

from iskra.plugin_host.catalog_switch import CatalogSwitch
from iskra.plugin_host.discovery import PluginSource
from iskra.plugin_host.generation import Generation
from iskra.plugin_host.known_plugin import KnownPlugin, load_order, running_dependents
from iskra.plugin_host.loader import PluginLoader
from iskra.plugin_host.plugin_records import PluginRecords
from iskra.plugin_host.receipt import Receipt, Verdict
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    PluginConflictError,
    PluginDependencyError,
    PluginError,
    PluginExtraError,
    ShuttingDownError,
)
from iskra_sdk.event import EventType, Severity

logger = logging.getLogger(__name__)

FAILED_STARTS = 3
"""Failed starts in a row, with the same code, that put a plugin into quarantine."""


class Rollout:
    """Replaces, adds and removes what runs. The host calls one method at a time.

    Args:
        plugins: All plugins the host knows, by name, in the order they were found.
        loader: Makes generations.
        switch: Puts them into service.
        records: Where outcomes are written down.
        clock: Time.
    """

    def __init__(
        self,
        plugins: Mapping[str, KnownPlugin],
        *,
        loader: PluginLoader,
        switch: CatalogSwitch,
        records: PluginRecords,
        clock: Clock,
    ) -> None:
        self._plugins = plugins
        self._loader = loader
        self._switch = switch
        self._records = records
        self._clock = clock
        self.is_closing = False
        """Whether nothing new may be loaded any more."""

    def refresh(self, plugin: KnownPlugin) -> None:
        """Put what a running plugin offers now in the place of what it offered before.

        Raises:
            PluginError: It cannot be offered; what was offered before stays.
        """
        generation = plugin.running
        if generation is None:
            return
        before = generation.offer_again()
        try:
            self.swap(out=(), changed=generation)
        except PluginConflictError:
            generation.contributions = before
            raise

    async def load_all(self, *, try_all_out: bool) -> None:
        """Load what is wanted, dependencies first, those that do not depend on one another at the same time."""
        wanted = {plugin.name: plugin for plugin in self._plugins.values() if plugin.is_wanted}
        candidates = list(wanted.values())
        order = load_order(wanted)
        for plugin in candidates:
            if plugin.name not in wanted:
                logger.error("plugin not loaded", extra={"plugin": plugin.name, "reason": str(plugin.error)})
        while order.is_active():
            batch = [wanted[name] for name in sorted(order.get_ready(), key=list(self._plugins).index)]
            loaded = await self._loader.load_together(batch, try_out=try_all_out)
            for plugin, outcome in zip(batch, loaded, strict=True):
                result = (
                    await self._commit(plugin, outcome, "load", 0.0) if isinstance(outcome, Generation) else outcome
                )
                if isinstance(result, PluginError):
                    await self._failed(plugin, result, is_start=True)
                else:
                    await self._succeeded(plugin, "load")
            order.done(*(plugin.name for plugin in batch))

    async def replace(
        self,
        plugin: KnownPlugin,
        source: PluginSource,
        *,
        action: str,
        try_out: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> Receipt:
        """Load ``source`` and swap it in for what runs.

        Raises:
            PluginError: It cannot be used; what ran before runs on, and the status says why.
        """
        if self.is_closing:
            raise ShuttingDownError("The server is stopping; plugins are not changed any more.")
        started = self._clock.monotonic()
        try:
            generation = await self._loader.load(plugin, source, try_out=try_out, settings=settings)
        except PluginError as exc:
            if settings is None:
                plugin.source = source  # so that the same code is not tried again at each scan
                await self._failed(plugin, exc, is_start=plugin.running is None)
            raise
        outcome = await self._commit(plugin, generation, action, self._clock.monotonic() - started)
        if isinstance(outcome, PluginError):
            await self._failed(plugin, outcome, is_start=plugin.running is None)
            raise outcome
        await self._succeeded(plugin, action)
        return outcome

    async def _commit(
        self, plugin: KnownPlugin, generation: Generation, action: str, load_seconds: float
    ) -> Receipt | PluginError:
        """Swap a generation in; where its names are taken, dispose of it and return the error."""
        old = plugin.running
        began = time.perf_counter()
        try:
            self.swap(out=[old] if old is not None else [], into=generation)
        except PluginError as exc:
            await generation.dispose()
            generation.undo_import()
            return exc
        swap_seconds = time.perf_counter() - began
        plugin.source, plugin.running, plugin.error = generation.source, generation, None
        receipt = Receipt(
            plugin=plugin.name,
            action=action,
            at=self._clock.now(),
            old_generation=old.number if old is not None else 0,
            new_generation=generation.number,
            old_hash=old.source.hash if old is not None else "",
            new_hash=generation.source.hash,
            load_seconds=load_seconds,
            swap_seconds=swap_seconds,
            turns_drained=self._switch.users(old) if old is not None else 0,
            verdict=Verdict.CLEAN if old is None else Verdict.DRAINING,
        )
        plugin.receipts.append(receipt)
        if old is not None:
            self._switch.start_draining(plugin, old, receipt)
        return receipt

    async def _succeeded(self, plugin: KnownPlugin, action: str) -> None:
        if plugin.record.failed_starts:
            await self._records.remember(plugin, dataclasses.replace(plugin.record, failed_starts=0))
        is_reload = plugin.receipts[-1].old_generation != 0
        kind = EventType.PLUGIN_RELOADED if is_reload else EventType.PLUGIN_LOADED
        self._records.publish(kind, plugin.name, {"action": action, "generation": plugin.generations})
        logger.info("plugin loaded", extra={"plugin": plugin.name, "generation": plugin.generations, "action": action})

    async def _failed(self, plugin: KnownPlugin, error: PluginError, *, is_start: bool) -> None:
        """Put a failure into status, log and event; too many failed starts put the plugin into quarantine."""
        plugin.error = error
        if isinstance(error, PluginExtraError):
            logger.info("plugin left out", extra={"plugin": plugin.name, "reason": str(error)})
            return
        logger.error("plugin not loaded", extra={"plugin": plugin.name, "reason": str(error)})
        self._records.publish(
            EventType.ERROR,
            plugin.name,
            {"code": error.code, "message": error.message, "mend": error.mend},
            severity=Severity.ERROR,
        )
        if not is_start or isinstance(error, PluginDependencyError | PluginConflictError):
            return  # not this plugin's own fault, or the generation before still runs
        failed = plugin.record.failed_starts + 1
        record = dataclasses.replace(plugin.record, failed_starts=failed)
        if failed >= FAILED_STARTS:
            record = dataclasses.replace(
                record, quarantined_because=f"it failed to start {failed} times: {error.reason}"
            )
        await self._records.remember(plugin, record)
        if failed >= FAILED_STARTS:
            self._records.publish(
                EventType.PLUGIN_QUARANTINED,
                plugin.name,
                {"reason": record.quarantined_because},
                severity=Severity.ERROR,
            )

    def unload(self, plugin: KnownPlugin, action: str) -> Receipt:
        """Take a plugin and those that require it out of service, in one swap."""
        going = [plugin, *running_dependents(self._plugins.values(), plugin.name)]
        leaving = [one for one in going if one.running is not None]
        began = time.perf_counter()
        self.swap(out=[one.running for one in leaving if one.running is not None])
        swap_seconds = time.perf_counter() - began
        result = self.unchanged(plugin, action)
        for one in leaving:
            generation = one.running
            if generation is None:
                continue
            one.running = None
            receipt = Receipt(
                plugin=one.name,
                action=action if one is plugin else "unload",
                at=self._clock.now(),
                old_generation=generation.number,
                old_hash=generation.source.hash,
                swap_seconds=swap_seconds,
                turns_drained=self._switch.users(generation),
                verdict=Verdict.DRAINING,
            )
            one.receipts.append(receipt)
            if one is plugin:
                result = receipt
            else:
                one.error = PluginDependencyError(
                    one.name, f"it requires the plugin {plugin.name!r}, which was unloaded."
                )
                self._records.publish(EventType.PLUGIN_DISABLED, one.name, {"by": plugin.name})
            self._switch.start_draining(one, generation, receipt)
        return result

    async def retry_dependents(self, name: str) -> None:
        """Load what waited for a plugin."""
        for other in list(self._plugins.values()):
            manifest = other.source.manifest
            waits = (
                manifest is not None and name in manifest.requires and isinstance(other.error, PluginDependencyError)
            )
            if waits and other.running is None and other.is_wanted:
                with contextlib.suppress(PluginError):
                    await self.replace(other, other.source, action="load", try_out=False)
                    await self.retry_dependents(other.name)

    def swap(
        self, *, out: Sequence[Generation], into: Generation | None = None, changed: Generation | None = None
    ) -> None:
        """Make a catalog without some generations, with a new one, or with one that offers something else, current.

        Raises:
            PluginConflictError: ``into`` or ``changed`` claims a name that another plugin holds; nothing is changed.
        """
        running = [plugin.running for plugin in self._plugins.values() if plugin.running is not None]
        generations = [*running, into] if into is not None else running
        generations.sort(key=lambda generation: list(self._plugins).index(generation.name))
        self._switch.swap(generations, out=out, into=into, changed=changed)

    def unchanged(self, plugin: KnownPlugin, action: str) -> Receipt:
        """Return the receipt of a change that swapped nothing."""
        return Receipt(plugin=plugin.name, action=action, at=self._clock.now())
