"""The plugin host: finds, loads, swaps, disables and unloads plugins while the server runs."""

import asyncio
import contextlib
import dataclasses
import inspect
import logging
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeVar, cast

from iskra.loop_guard import BlockedLoop, LoopGuard
from iskra.plugin_host.catalog import Catalog
from iskra.plugin_host.catalog_builder import build_catalog
from iskra.plugin_host.code_owners import CodeOwners
from iskra.plugin_host.discovery import (
    PluginSource,
    discover_entry_points,
    discover_folder,
    flag_conflicts,
)
from iskra.plugin_host.facilities import Facilities, InterceptorPoints
from iskra.plugin_host.failures import FailureCounter
from iskra.plugin_host.generation import Generation, HandlerBus, LoadingRoom, Remains, is_freed, load_generation
from iskra.plugin_host.importing import FreshFinder
from iskra.plugin_host.installation import install_plugin
from iskra.plugin_host.leases import Lease, LeasedCatalog
from iskra.plugin_host.preflight import Preflight
from iskra.plugin_host.receipt import Receipt, Verdict
from iskra.plugin_host.status import PluginState, PluginStatus
from iskra.plugin_host.watcher import watch_folder
from iskra.settings import Settings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    IskraError,
    LLMError,
    PluginBlockedLoopError,
    PluginConflictError,
    PluginDependencyError,
    PluginError,
    PluginExtraError,
    PluginLoadError,
    PluginNotFoundError,
    ShuttingDownError,
    ToolError,
)
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    AppendAudit,
    AuditEntry,
    Change,
    PluginRecord,
    PutPlugin,
    PutPluginValue,
    SessionStore,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")
Sources: TypeAlias = list[PluginSource]
Plugins: TypeAlias = "list[_Plugin]"
Catalogs: TypeAlias = list[LeasedCatalog]

FAILED_STARTS = 3
"""Failed starts in a row, with the same code, that put a plugin into quarantine."""

_KEPT_RECEIPTS = 20
_RECEIPT_PATIENCE = 0.25  # seconds a change waits for the old generation to be gone, to return a complete receipt
_PARK_PATIENCE = 10.0  # seconds parked turns get to let go
_CLOSE_PATIENCE = 20.0  # seconds all plugins together get to close
_MOST_TRIED = 100
_KERNEL_STATE = "kernel"  # no plugin may have this name
_STARTING = "starting"


@dataclass(slots=True)
class _Plugin:
    """Everything the host knows of one plugin name."""

    source: PluginSource
    record: PluginRecord
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
        return self.source.name


class PluginHost:
    """Keeps the plugins and the catalog of what they offer.

    Args:
        settings: The server's settings.
        store: Where enabled plugins, their settings and the audit log are kept.
        bus: Where events go; it also runs the plugins' event handlers.
        points: Where interceptors are put at each swap.
        clock: Time.
        facilities: Parts of the kernel that plugins reach; may be filled in later.
        entry_points: Installed plugins, instead of those of the environment.
        watch: Follow changes in the plugin folder.
        guard_loop: Watch for plugin code that holds the event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: SessionStore,
        bus: HandlerBus,
        points: InterceptorPoints,
        clock: Clock,
        facilities: Facilities | None = None,
        entry_points: Iterable[EntryPoint] | None = None,
        watch: bool = True,
        guard_loop: bool = True,
    ) -> None:
        self.facilities = facilities or Facilities()
        self._settings = settings
        self._store = store
        self._bus = bus
        self._points = points
        self._clock = clock
        self._entry_points = None if entry_points is None else tuple(entry_points)
        self._watches = watch
        self._guards = guard_loop
        self._plugins: dict[str, _Plugin] = {}
        self._rejected: list[PluginSource] = []  # sources whose name another one holds
        self._services: dict[type, tuple[str, object]] = {}
        self._current = LeasedCatalog(Catalog(), self._catalog_idle)
        self._members: dict[LeasedCatalog, list[Generation]] = {}  # of catalogs that are not current any more
        self._old_catalogs: set[LeasedCatalog] = set()
        self._idle: dict[Generation, asyncio.Event] = {}
        self._callbacks: list[Callable[[Catalog], None]] = []
        self._changing = asyncio.Lock()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._owners = CodeOwners()
        self._finder = FreshFinder()
        self._preflight = Preflight()
        self._guard: LoopGuard | None = None
        self._tried_out: dict[tuple[Path, str], PluginError | bool] = {}  # what `_try_out` found, until it is used
        self._stop_watching = asyncio.Event()
        self._is_closing = False
        self._room = LoadingRoom(
            data_dir=settings.data_dir / "plugin-data",
            workspace=settings.workspace.resolve(),
            start_timeout=settings.plugins.start_timeout,
            allowed_private_hosts=settings.allowed_private_hosts,
            clock=clock,
            bus=bus,
            store=store,
            host=self,
            owners=self._owners,
            finder=self._finder,
            import_lock=asyncio.Lock(),
        )

    # Reading ------------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """What the running plugins offer now. Take a :meth:`lease` to use it across an ``await``."""
        return self._current.catalog

    def lease(self) -> Lease:
        """Return a lease on the current catalog; nothing in it goes away until it is released."""
        return Lease(self._current)

    def on_swap(self, callback: Callable[[Catalog], None]) -> None:
        """Have ``callback`` called with the new catalog at each swap, synchronously, before anybody can lease it."""
        self._callbacks.append(callback)

    def list(self) -> Sequence[PluginStatus]:
        """Return how every plugin stands, by name; rejected sources come after the plugin that holds their name."""
        statuses = [self._status(plugin) for plugin in self._plugins.values()]
        statuses += [
            PluginStatus(source.name, PluginState.FAILED, source.kind, source.path, error=source.error)
            for source in self._rejected
        ]
        return sorted(statuses, key=lambda status: status.name)

    def get(self, name: str) -> PluginStatus:
        """Return how a plugin stands.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
        """
        return self._status(self._known(name))

    def receipts(self, name: str) -> Sequence[Receipt]:
        """Return the receipts of a plugin's changes, newest first.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
        """
        plugin = self._known(name)
        return [
            dataclasses.replace(receipt, is_code_freed=is_freed(plugin.modules[receipt.old_generation]))
            if receipt.old_generation in plugin.modules
            else receipt
            for receipt in reversed(plugin.receipts)
        ]

    def service(self, protocol: type[T]) -> T | None:
        """Return what a running plugin offers under a protocol."""
        found = self._services.get(protocol)
        return None if found is None else cast("T", found[1])

    # Life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find and load all plugins, then follow the plugin folder. A broken plugin never keeps this from returning."""
        loop = asyncio.get_running_loop()
        self._finder.install()
        self._owners.watch(loop)
        if self._guards:
            self._guard = LoopGuard(self._owners.of_frame, self._loop_blocked)
            self._guard.start(loop)
        if self._settings.safe_mode:
            logger.warning("safe mode: no plugin is loaded")
            return
        async with self._changing:
            records = {record.name: record for record in await self._store.plugins()}
            crashed = await self._store.plugin_value(_KERNEL_STATE, _STARTING) is not None
            await self._store.apply([PutPluginValue(_KERNEL_STATE, _STARTING, True)])
            await self._discover(records)
            await self._load_all(try_all_out=crashed)
            await self._store.apply([PutPluginValue(_KERNEL_STATE, _STARTING, None)])
        if self._watches:
            with contextlib.suppress(OSError):  # the watcher says what is wrong, and tries again
                await asyncio.to_thread(self._settings.plugin_folder.mkdir, parents=True, exist_ok=True)
            self._own(self._watch(), "watch the plugin folder")

    async def aclose(self) -> None:
        """Unload everything, dependents first; every wait is bounded."""
        self._is_closing = True
        self._stop_watching.set()
        async with self._changing:
            running = [plugin for plugin in self._plugins.values() if plugin.running is not None]
            try:
                async with asyncio.timeout(_CLOSE_PATIENCE):
                    for plugin in reversed(self._in_order(running)):
                        await self._close_plugin(plugin)
            except TimeoutError:
                logger.warning("plugins did not close in time")
        pending = {job for job in self._jobs if job is not asyncio.current_task()}
        if pending:
            _, late = await asyncio.wait(pending, timeout=_PARK_PATIENCE * 2)
            for job in late:
                job.cancel()
            if late:
                await asyncio.wait(late, timeout=_PARK_PATIENCE)
        await self._preflight.close()
        if self._guard is not None:
            self._guard.stop()
        self._owners.unwatch()
        self._finder.remove()

    async def _close_plugin(self, plugin: _Plugin) -> None:
        generation, plugin.running = plugin.running, None
        if generation is None:
            return
        self._swap(out=[generation])
        self._idle[generation].set()  # nobody waits any more: the turns have ended before the plugins go
        receipt = Receipt(plugin=plugin.name, action="close", at=self._clock.now(), old_generation=generation.number)
        await self._drain(plugin, generation, receipt)

    # Changes ------------------------------------------------------------------------------------------------------

    async def enable(self, name: str, *, principal: Principal = SYSTEM) -> Receipt:
        """Load a plugin and remember that it is wanted; ends its quarantine.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
            PluginError: It cannot be loaded; it stays enabled and is tried again when its code changes.
        """
        async with self._changing:
            plugin = self._known(name)
            if name in self._settings.plugins.disabled:
                raise PluginLoadError(
                    name, "the setting `plugins.disabled` names it.", mend="Take it out there and restart the server."
                )
            record = dataclasses.replace(plugin.record, is_enabled=True, failed_starts=0, quarantined_because="")
            await self._remember(plugin, record, "plugin.enable", principal)
            if plugin.running is not None:
                return self._unchanged(plugin, "enable")
            receipt = await self._replace(plugin, plugin.source, action="enable")
            await self._retry_dependents(name)
        return await self._completed(plugin, receipt)

    async def disable(self, name: str, *, principal: Principal = SYSTEM) -> Receipt:
        """Take a plugin out of service at once and remember it; running turns finish on it.

        Plugins that require it go with it, and come back when it does.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
        """
        async with self._changing:
            plugin = self._known(name)
            await self._remember(
                plugin, dataclasses.replace(plugin.record, is_enabled=False), "plugin.disable", principal
            )
            receipt = self._unload(plugin, "disable")
            self._publish(EventType.PLUGIN_DISABLED, plugin, {"by": principal.id})
        return await self._completed(plugin, receipt)

    async def reload(self, name: str, *, principal: Principal = SYSTEM) -> Receipt:
        """Load a plugin's present code and swap it in; ends its quarantine.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
            PluginError: The new code cannot be used; what ran before runs on.
        """
        plugin = self._known(name)
        if self._is_wanted(plugin):
            await self._try_out(await self._look_again(plugin), plugin.record.settings)
        async with self._changing:
            plugin = self._known(name)
            source = await self._look_again(plugin)
            record = dataclasses.replace(plugin.record, failed_starts=0, quarantined_because="")
            await self._remember(plugin, record, "plugin.reload", principal)
            if not self._is_wanted(plugin):
                raise PluginLoadError(name, "it is disabled.", mend=f"Run `iskra plugins enable {name}`.")
            receipt = await self._replace(plugin, source, action="reload")
            await self._retry_dependents(name)
        return await self._completed(plugin, receipt)

    async def configure(self, name: str, settings: Mapping[str, object], *, principal: Principal = SYSTEM) -> Receipt:
        """Change a plugin's settings: load it with them, and remember them if that works.

        Args:
            name: The plugin.
            settings: The given keys are changed; ``None`` takes a key back to what file and defaults say.
            principal: Who does it.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
            PluginSettingsError: They do not fit; nothing is changed.
            PluginError: The plugin does not start with them; nothing is changed.
        """
        async with self._changing:
            plugin = self._known(name)
            merged = {key: value for key, value in {**plugin.record.settings, **settings}.items() if value is not None}
            record = dataclasses.replace(plugin.record, settings=merged)
            if not self._is_wanted(plugin):
                await self._remember(plugin, record, "plugin.configure", principal, keys=sorted(settings))
                return self._unchanged(plugin, "configure")
            receipt = await self._replace(plugin, plugin.source, action="configure", settings=merged)
            await self._remember(plugin, record, "plugin.configure", principal, keys=sorted(settings))
        return await self._completed(plugin, receipt)

    async def install(self, source: str, *, principal: Principal = SYSTEM) -> Sequence[PluginStatus]:
        """Install a plugin and load it.

        Args:
            source: A file or directory that is copied into the plugin folder, or what pip understands: a wheel's
                path or a requirement.
            principal: Who does it.

        Returns:
            How the new and changed plugins stand.

        Raises:
            PluginError: It holds no plugin, or cannot be installed.
        """
        async with self._changing:
            before = {name: plugin.source.hash for name, plugin in self._plugins.items()}
            await install_plugin(source, self._settings.plugin_folder)
            await self._rescan(try_out=True)
            changed = [plugin for name, plugin in self._plugins.items() if before.get(name) != plugin.source.hash]
            await self._store.apply(
                [self._audit("plugin.install", source[:500], principal, plugins=[plugin.name for plugin in changed])]
            )
        if not changed:
            raise PluginLoadError("?", f"nothing new was found after installing {source[:200]!r}.")
        return [self._status(plugin) for plugin in changed]

    async def rescan(self) -> None:
        """Look for plugins that came, changed or went, and load, reload or unload them."""
        for source in await asyncio.to_thread(self._find):
            known = self._plugins.get(source.name)
            is_new = known is None or (known.source.hash, known.source.path) != (source.hash, source.path)
            if is_new and (known is None or known.record.is_enabled):
                await self._try_out(source, {} if known is None else known.record.settings)
        async with self._changing:
            if not self._is_closing:
                await self._rescan(try_out=True)

    def record_failure(self, plugin: str, error: BaseException) -> None:
        """Count what a plugin raised at run time; too many within a minute put it into quarantine.

        Failures that tools and models report in the proper way are no fault of the plugin and do not count.
        """
        known = self._plugins.get(plugin)
        if known is None or isinstance(error, ToolError | LLMError | asyncio.CancelledError | ShuttingDownError):
            return
        if known.failures.add(self._clock.monotonic()) and known.running is not None and not self._is_closing:
            reason = f"it failed {known.failures.recent(self._clock.monotonic())} times within a minute"
            known.failures = FailureCounter()
            self._own(self._quarantine(known, reason, error), f"quarantine {plugin}")

    def provide(self, plugin: str, protocol: type, service: object) -> None:
        """Check that a plugin may offer a service, and put it into service at once if the plugin runs.

        Raises:
            PluginConflictError: Another plugin offers one.
        """
        holder = self._services.get(protocol)
        if holder is not None and holder[0] != plugin:
            raise PluginConflictError(
                plugin,
                f"the plugin {holder[0]!r} already offers {protocol.__name__}.",
                mend="Disable one of them.",
            )
        if holder is None:
            self._services[protocol] = (plugin, service)

    def withdraw(self, protocol: type, service: object) -> None:
        """Take a service back, unless another generation offers its own by now."""
        holder = self._services.get(protocol)
        if holder is not None and holder[1] is service:
            del self._services[protocol]

    # Discovery ----------------------------------------------------------------------------------------------------

    def _find(self) -> Sources:
        return flag_conflicts(
            [*discover_entry_points(self._entry_points), *discover_folder(self._settings.plugin_folder)]
        )

    async def _discover(self, records: Mapping[str, PluginRecord]) -> None:
        sources = await asyncio.to_thread(self._find)
        for source in sources:
            self._admit(source, records.get(source.name) or PluginRecord(source.name))

    def _admit(self, source: PluginSource, record: PluginRecord) -> None:
        if source.name in self._plugins:
            self._rejected.append(source)
            logger.error("plugin rejected", extra={"plugin": source.name, "reason": str(source.error)})
        else:
            self._plugins[source.name] = _Plugin(source, record, error=source.error)

    async def _look_again(self, plugin: _Plugin) -> PluginSource:
        """Return a plugin's source as it is now."""
        for source in await asyncio.to_thread(self._find):
            if source.name == plugin.name and source.path == plugin.source.path:
                return source
        raise PluginLoadError(plugin.name, f"its code is gone from {plugin.source.path}.")

    async def _rescan(self, *, try_out: bool) -> None:
        sources = await asyncio.to_thread(self._find)
        kept = {name: plugin.source.path for name, plugin in self._plugins.items()}
        # A plugin that runs keeps its name, also against a newcomer that is found earlier.
        sources.sort(key=lambda source: kept.get(source.name) != source.path)
        present = {source.name: source for source in reversed(sources)}
        self._rejected = [source for source in sources if present[source.name] is not source]
        for name in [name for name in self._plugins if name not in present]:
            plugin = self._plugins[name]
            self._unload(plugin, "remove")
            self._publish(EventType.PLUGIN_DISABLED, plugin, {"by": "removed"})
            del self._plugins[name]
        records: dict[str, PluginRecord] | None = None
        for name, source in sorted(present.items()):
            known = self._plugins.get(name)
            if known is None:
                if records is None:
                    records = {record.name: record for record in await self._store.plugins()}
                self._admit(source, records.get(name) or PluginRecord(name))
            elif source.hash == known.source.hash and source.path == known.source.path:
                continue
            await self._try(self._plugins[name], source, "load" if known is None else "reload", try_out=try_out)

    async def _watch(self) -> None:
        folder = self._settings.plugin_folder
        async for _ in watch_folder(folder, self._stop_watching):
            try:
                await self.rescan()
            except IskraError as exc:
                logger.warning("the plugin folder could not be read again", extra={"reason": str(exc)})
            except Exception:
                logger.exception("the plugin folder could not be read again")

    # Loading ------------------------------------------------------------------------------------------------------

    async def _load_all(self, *, try_all_out: bool) -> None:
        """Load what is wanted, dependencies first, those that do not depend on one another at the same time."""
        wanted = {plugin.name: plugin for plugin in self._plugins.values() if self._is_wanted(plugin)}
        order = self._sorter(wanted)
        while order.is_active():
            batch = sorted(order.get_ready(), key=list(self._plugins).index)
            loaded = await asyncio.gather(
                *(self._prepare(wanted[name], wanted[name].source, try_out=try_all_out) for name in batch),
                return_exceptions=True,
            )
            for name, outcome in zip(batch, loaded, strict=True):
                plugin = wanted[name]
                if isinstance(outcome, BaseException) and not isinstance(outcome, PluginError):
                    raise outcome
                if isinstance(outcome, Generation):
                    result = await self._commit(plugin, outcome, "load", 0.0)
                else:
                    result = outcome
                if isinstance(result, PluginError):
                    await self._failed(plugin, result, is_start=True)
                else:
                    await self._succeeded(plugin, "load")
            order.done(*batch)

    def _sorter(self, wanted: dict[str, _Plugin]) -> TopologicalSorter[str]:
        """Return the order to load in; what is in a cycle is taken out of ``wanted`` with an error."""
        while True:
            graph = {
                name: {required for required in self._requires(plugin) if required in wanted}
                for name, plugin in wanted.items()
            }
            sorter = TopologicalSorter(graph)
            try:
                sorter.prepare()
            except CycleError as exc:
                cycle = list(dict.fromkeys(exc.args[1]))
                for name in cycle:
                    plugin = wanted.pop(name)
                    plugin.error = PluginDependencyError(
                        name,
                        f"the plugins {', '.join(sorted(cycle))} require one another.",
                        mend="Take one of them out of the other's `requires`.",
                    )
                    logger.error("plugin not loaded", extra={"plugin": name, "reason": str(plugin.error)})
            else:
                return sorter

    async def _prepare(self, plugin: _Plugin, source: PluginSource, **options: Any) -> Generation | PluginError:
        try:
            return await self._load(plugin, source, **options)
        except PluginError as exc:
            return exc

    async def _load(
        self,
        plugin: _Plugin,
        source: PluginSource,
        *,
        try_out: bool,
        settings: Mapping[str, object] | None = None,
    ) -> Generation:
        """Check and load a generation, without putting it into service."""
        self._check(source)
        layers = [
            self._settings.plugin_settings(source.name),
            plugin.record.settings if settings is None else settings,
        ]
        if try_out or not source.is_trusted:
            tried = self._tried_out.pop((source.path, source.hash), None)
            if isinstance(tried, PluginError):
                raise tried
            if tried is None:
                await self._preflight.check(source, layers, self._settings.plugins.start_timeout)
        plugin.generations += 1
        plugin.blocked_loop = None
        again, plugin.was_imported = plugin.was_imported, True
        return await load_generation(source, plugin.generations, layers, self._room, again=again)

    async def _try_out(self, source: PluginSource, settings: Mapping[str, object]) -> None:
        """Try code out before anything is locked: while a bad plugin hangs, others can be changed."""
        if source.manifest is None or self._settings.safe_mode or self._is_closing:
            return
        layers = [self._settings.plugin_settings(source.name), settings]
        outcome: PluginError | bool = True
        try:
            await self._preflight.check(source, layers, self._settings.plugins.start_timeout)
        except PluginError as exc:
            outcome = exc
        if len(self._tried_out) >= _MOST_TRIED:
            self._tried_out.clear()
        self._tried_out[source.path, source.hash] = outcome

    def _check(self, source: PluginSource) -> None:
        """Raise unless the manifest's conditions hold."""
        manifest = source.manifest
        if manifest is None:
            raise source.error or PluginLoadError(source.name, "it has no manifest.")
        for required in manifest.requires:
            other = self._plugins.get(required)
            if other is None or other.running is None:
                state = "not installed" if other is None else str(self._status(other).state)
                raise PluginDependencyError(
                    source.name,
                    f"it requires the plugin {required!r}, which is {state}.",
                    mend=f"Install or enable {required!r}; this one is then loaded by itself.",
                )
        for module, package in manifest.extras.items():
            if not _is_installed(module):
                raise PluginExtraError(
                    source.name, f"it needs {module!r}, which is not installed.", mend=f'Run `pip install "{package}"`.'
                )

    async def _try(self, plugin: _Plugin, source: PluginSource, action: str, *, try_out: bool) -> None:
        """Load changed code if the plugin is wanted; a failure is kept in its status."""
        if source.hash != plugin.source.hash or source.error is None:
            record = dataclasses.replace(plugin.record, failed_starts=0, quarantined_because="")
            if record != plugin.record:
                await self._remember(plugin, record)
        if not self._is_wanted(plugin):
            plugin.source, plugin.error = source, source.error
            return
        try:
            await self._replace(plugin, source, action=action, try_out=try_out)
        except PluginError:
            return  # `_replace` has put it down
        await self._retry_dependents(plugin.name)

    async def _replace(
        self,
        plugin: _Plugin,
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
        if self._is_closing:
            raise ShuttingDownError("The server is stopping; plugins are not changed any more.")
        started = self._clock.monotonic()
        try:
            generation = await self._load(plugin, source, try_out=try_out, settings=settings)
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
        self, plugin: _Plugin, generation: Generation, action: str, load_seconds: float
    ) -> Receipt | PluginError:
        """Swap a generation in; where its names are taken, dispose of it and return the error."""
        old = plugin.running
        began = time.perf_counter()
        try:
            self._swap(out=[old] if old is not None else [], into=generation)
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
            turns_drained=self._users(old) if old is not None else 0,
            verdict=Verdict.CLEAN if old is None else Verdict.DRAINING,
        )
        plugin.receipts.append(receipt)
        if old is not None:
            self._own(self._drain(plugin, old, receipt), f"drain {plugin.name} {old.number}")
        return receipt

    async def _succeeded(self, plugin: _Plugin, action: str) -> None:
        if plugin.record.failed_starts:
            await self._remember(plugin, dataclasses.replace(plugin.record, failed_starts=0))
        is_reload = plugin.receipts[-1].old_generation != 0
        kind = EventType.PLUGIN_RELOADED if is_reload else EventType.PLUGIN_LOADED
        self._publish(kind, plugin, {"action": action, "generation": plugin.generations})
        logger.info("plugin loaded", extra={"plugin": plugin.name, "generation": plugin.generations, "action": action})

    async def _failed(self, plugin: _Plugin, error: PluginError, *, is_start: bool) -> None:
        """Put a failure into status, log and event; too many failed starts put the plugin into quarantine."""
        plugin.error = error
        if isinstance(error, PluginExtraError):
            logger.info("plugin left out", extra={"plugin": plugin.name, "reason": str(error)})
            return
        logger.error("plugin not loaded", extra={"plugin": plugin.name, "reason": str(error)})
        self._publish(
            EventType.ERROR,
            plugin,
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
        await self._remember(plugin, record)
        if failed >= FAILED_STARTS:
            self._publish(
                EventType.PLUGIN_QUARANTINED, plugin, {"reason": record.quarantined_because}, severity=Severity.ERROR
            )

    async def _quarantine(self, plugin: _Plugin, reason: str, error: BaseException) -> None:
        async with self._changing:
            if plugin.running is None:
                return
            text = f"{reason}, lastly with {type(error).__name__}"
            record = dataclasses.replace(plugin.record, quarantined_because=text)
            await self._remember(plugin, record, "plugin.quarantine", SYSTEM, reason=text)
            self._unload(plugin, "quarantine")
            plugin.error = PluginLoadError(
                plugin.name, f"{text}.", mend=f"Mend it, then run `iskra plugins enable {plugin.name}`."
            )
            self._publish(EventType.PLUGIN_QUARANTINED, plugin, {"reason": text}, severity=Severity.ERROR)
            logger.error("plugin quarantined", extra={"plugin": plugin.name, "reason": text})

    def _unload(self, plugin: _Plugin, action: str) -> Receipt:
        """Take a plugin and those that require it out of service, in one swap."""
        going = [plugin, *self._dependents(plugin.name)]
        leaving = [one for one in going if one.running is not None]
        began = time.perf_counter()
        self._swap(out=[one.running for one in leaving if one.running is not None])
        swap_seconds = time.perf_counter() - began
        result = self._unchanged(plugin, action)
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
                turns_drained=self._users(generation),
                verdict=Verdict.DRAINING,
            )
            one.receipts.append(receipt)
            if one is plugin:
                result = receipt
            else:
                one.error = PluginDependencyError(
                    one.name, f"it requires the plugin {plugin.name!r}, which was unloaded."
                )
                self._publish(EventType.PLUGIN_DISABLED, one, {"by": plugin.name})
            self._own(self._drain(one, generation, receipt), f"drain {one.name} {generation.number}")
        return result

    async def _retry_dependents(self, name: str) -> None:
        """Load what waited for a plugin."""
        for other in list(self._plugins.values()):
            manifest = other.source.manifest
            waits = (
                manifest is not None and name in manifest.requires and isinstance(other.error, PluginDependencyError)
            )
            if waits and other.running is None and self._is_wanted(other):
                with contextlib.suppress(PluginError):
                    await self._replace(other, other.source, action="load", try_out=False)
                    await self._retry_dependents(other.name)

    # Swapping and draining ----------------------------------------------------------------------------------------

    def _swap(self, *, out: Sequence[Generation], into: Generation | None = None) -> None:
        """Make a new catalog current, all at once.

        Raises:
            PluginConflictError: ``into`` claims a name that another plugin holds; nothing is changed.
        """
        staying = [
            plugin.running
            for plugin in self._plugins.values()
            if plugin.running is not None and plugin.running not in out
        ]
        generations = [*staying, into] if into is not None else staying
        generations.sort(key=lambda generation: list(self._plugins).index(generation.name))
        catalog = build_catalog(generations, newest=into)
        old = self._current
        new = LeasedCatalog(catalog, self._catalog_idle)
        for generation in generations:
            generation.holders += 1
        for generation in out:
            self._idle[generation] = asyncio.Event()
            generation.take_out_of_service()
        if into is not None:
            for protocol, service in into.services.items():
                self._services[protocol] = (into.name, service)
            into.put_in_service()
        self._points.rebuild(catalog.interceptors)
        self._current = new
        old.is_current = False
        self._old_catalogs.add(old)
        self._members[old] = [*staying, *out]
        for callback in self._callbacks:
            try:
                callback(catalog)
            except Exception:
                logger.exception("a callback failed at the swap of plugins")
        if old.leases == 0:
            self._catalog_idle(old)

    def _catalog_idle(self, old: LeasedCatalog) -> None:
        """Let go of a catalog that is not current and that nobody uses any more."""
        self._old_catalogs.discard(old)
        for generation in self._members.pop(old, ()):
            generation.holders -= 1
            if generation.holders == 0 and (event := self._idle.get(generation)) is not None:
                event.set()

    def _holding(self, generation: Generation) -> Catalogs:
        return [old for old in self._old_catalogs if generation in self._members.get(old, ())]

    def _users(self, generation: Generation) -> int:
        """Return how many leases keep a generation that is out of service."""
        return sum(old.leases for old in self._holding(generation))

    async def _drain(self, plugin: _Plugin, generation: Generation, receipt: Receipt) -> None:
        """Wait until nobody uses a generation, dispose of it, and complete the receipt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        idle = self._idle[generation]
        parked = 0
        try:
            async with asyncio.timeout(self._settings.plugins.drain_deadline):
                await idle.wait()
        except TimeoutError:
            parked = await self._park(generation, idle)
        remains = await self._dispose(generation)
        self._idle.pop(generation, None)
        complete = dataclasses.replace(
            receipt,
            drain_seconds=loop.time() - began,
            turns_drained=max(0, receipt.turns_drained - parked),
            turns_parked=parked,
            released=remains.released,
            leaked=remains.leaked,
            kept_modules=remains.kept_modules,
            verdict=remains.verdict,
        )
        plugin.modules[generation.number] = remains.module
        for gone in sorted(plugin.modules)[:-_KEPT_RECEIPTS]:
            del plugin.modules[gone]
        with contextlib.suppress(ValueError):
            plugin.receipts[plugin.receipts.index(receipt)] = complete
        level = logging.INFO if complete.verdict is Verdict.CLEAN else logging.WARNING
        logger.log(
            level,
            "plugin generation gone",
            extra={
                "plugin": plugin.name,
                "generation": generation.number,
                "verdict": complete.verdict.value,
                "leaked": sorted(complete.leaked),
            },
        )

    async def _park(self, generation: Generation, idle: asyncio.Event) -> int:
        """Ask those who still use a generation to go on with the current one; return how many there were."""
        holding = self._holding(generation)
        users = self._users(generation)
        if self.facilities.park is not None:
            for old in holding:
                try:
                    waiting = self.facilities.park(old.catalog)
                    if inspect.isawaitable(waiting):
                        async with asyncio.timeout(_PARK_PATIENCE):
                            await waiting
                except TimeoutError:
                    logger.warning("turns did not leave an old plugin generation in time")
                except Exception:
                    logger.exception("parking turns failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PARK_PATIENCE):
                    await idle.wait()
        return users

    async def _dispose(self, generation: Generation) -> Remains:
        try:
            return await generation.dispose()
        except Exception as exc:
            logger.exception("disposing of a plugin generation failed", extra={"plugin": generation.name})
            return Remains({}, {"stuck": (type(exc).__name__,)}, (), Verdict.LEAKY, None)

    async def _completed(self, plugin: _Plugin, receipt: Receipt) -> Receipt:
        """Wait a moment for the old generation to go, so that the receipt can be complete."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RECEIPT_PATIENCE):
                jobs = [job for job in self._jobs if job.get_name() == f"drain {plugin.name} {receipt.old_generation}"]
                if jobs:
                    await asyncio.wait(jobs)
        for newest in self.receipts(plugin.name):
            if (newest.old_generation, newest.new_generation) == (receipt.old_generation, receipt.new_generation):
                return newest
        return receipt

    # Small things -------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> _Plugin:
        plugin = self._plugins.get(name)
        if plugin is None:
            raise PluginNotFoundError(
                f"There is no plugin {name[:64]!r}.", mend="`iskra plugins list` shows those there are."
            )
        return plugin

    def _is_wanted(self, plugin: _Plugin) -> bool:
        return (
            plugin.record.is_enabled
            and not plugin.record.quarantined_because
            and plugin.name not in self._settings.plugins.disabled
            and not self._settings.safe_mode
        )

    def _requires(self, plugin: _Plugin) -> Sequence[str]:
        return () if plugin.source.manifest is None else plugin.source.manifest.requires

    def _dependents(self, name: str) -> Plugins:
        """Return the running plugins that require ``name``, directly or through others."""
        found: dict[str, _Plugin] = {}
        waiting = [name]
        while waiting:
            required = waiting.pop()
            for other in self._plugins.values():
                if other.running is None or other.name in found:
                    continue
                if required in other.running.manifest.requires:
                    found[other.name] = other
                    waiting.append(other.name)
        return list(found.values())

    def _in_order(self, plugins: Sequence[_Plugin]) -> Plugins:
        """Return plugins, those that others require first."""
        by_name = {plugin.name: plugin for plugin in plugins}
        graph = {name: [other for other in self._requires(one) if other in by_name] for name, one in by_name.items()}
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]

    def _status(self, plugin: _Plugin) -> PluginStatus:
        running = plugin.running
        manifest = running.manifest if running is not None else plugin.source.manifest
        record = plugin.record
        error = plugin.error or plugin.blocked_loop
        if record.quarantined_because:
            state = PluginState.QUARANTINED
            error = error or PluginLoadError(
                plugin.name,
                f"{record.quarantined_because}.",
                mend=f"Mend it, then run `iskra plugins enable {plugin.name}`.",
            )
        elif running is not None:
            state = PluginState.RUNNING
        elif not self._is_wanted(plugin):
            state = PluginState.DISABLED
        elif isinstance(error, PluginExtraError):
            state = PluginState.UNAVAILABLE
        else:
            state = PluginState.FAILED
        return PluginStatus(
            plugin.name,
            state,
            plugin.source.kind,
            plugin.source.path,
            version=manifest.version if manifest else "",
            description=manifest.description if manifest else "",
            permissions=[permission.value for permission in manifest.permissions] if manifest else (),
            requires=manifest.requires if manifest else (),
            generation=running.number if running is not None else 0,
            source_hash=(running.source if running is not None else plugin.source).hash,
            loaded_at=running.loaded_at if running is not None else None,
            error=error,
            failures=plugin.failures.recent(self._clock.monotonic()),
            offers=running.contributions.offers if running is not None else {},
            settings=running.settings.model_dump(mode="json") if running is not None else {},
        )

    def _unchanged(self, plugin: _Plugin, action: str) -> Receipt:
        return Receipt(plugin=plugin.name, action=action, at=self._clock.now())

    async def _remember(
        self,
        plugin: _Plugin,
        record: PluginRecord,
        action: str = "",
        principal: Principal = SYSTEM,
        **facts: object,
    ) -> None:
        changes: list[Change] = [PutPlugin(record)]
        if action:
            changes.append(self._audit(action, plugin.name, principal, **facts))
        await self._store.apply(changes)
        plugin.record = record

    def _audit(self, action: str, target: str, principal: Principal, **facts: object) -> AppendAudit:
        return AppendAudit(AuditEntry(self._clock.now(), principal.id, action, target, facts))

    def _publish(
        self,
        kind: EventType,
        plugin: _Plugin,
        data: Mapping[str, object],
        *,
        severity: Severity = Severity.INFO,
    ) -> None:
        self._bus.publish_nowait(Event(kind, {"plugin": plugin.name, **data}, at=self._clock.now(), severity=severity))

    def _loop_blocked(self, blocked: BlockedLoop) -> None:
        """Take note that plugin code held the event loop."""
        plugin = self._plugins.get(blocked.plugin)
        if plugin is None:
            return
        error = PluginBlockedLoopError(
            blocked.plugin,
            f"its code held the event loop for {blocked.seconds:.1f} s at {blocked.place}.",
            mend="Await what waits, and put long calculations into `asyncio.to_thread`.",
            facts={"seconds": blocked.seconds, "place": blocked.place, "interrupted": blocked.was_interrupted},
        )
        plugin.blocked_loop = error
        logger.error("plugin held the event loop", extra={"plugin": blocked.plugin, "place": blocked.place})
        self._publish(
            EventType.ERROR,
            plugin,
            {"code": error.code, "message": error.message, "mend": error.mend, **blocked.facts},
            severity=Severity.ERROR,
        )
        self.record_failure(blocked.plugin, error)

    def _own(self, job: Any, name: str) -> None:
        task = asyncio.create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a job of the plugin host failed", extra={"job": task.get_name()}, exc_info=error)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
