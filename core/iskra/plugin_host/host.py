"""The plugin host: finds, loads, swaps, disables and unloads plugins while the server runs."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import TypeAlias, TypeVar

from iskra.loop_guard import BlockedLoop, LoopGuard
from iskra.plugin_host.catalog import Catalog
from iskra.plugin_host.catalog_switch import CatalogSwitch
from iskra.plugin_host.code_owners import CodeOwners
from iskra.plugin_host.discovery import (
    PluginSource,
    discover_entry_points,
    discover_folder,
    flag_conflicts,
)
from iskra.plugin_host.facilities import Facilities, InterceptorPoints, InterceptorSlot
from iskra.plugin_host.failures import FailureCounter
from iskra.plugin_host.generation import HandlerBus, LoadingRoom
from iskra.plugin_host.importing import FreshFinder
from iskra.plugin_host.installation import install_plugin
from iskra.plugin_host.known_plugin import KnownPlugin, dependents_last
from iskra.plugin_host.leases import Lease
from iskra.plugin_host.loader import PluginLoader
from iskra.plugin_host.plugin_records import PluginRecords
from iskra.plugin_host.receipt import Receipt
from iskra.plugin_host.rollout import Rollout
from iskra.plugin_host.status import PluginState, PluginStatus
from iskra.plugin_host.watcher import watch_folder
from iskra.settings import Settings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    IskraError,
    LLMError,
    PluginBlockedLoopError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    ShuttingDownError,
    ToolError,
)
from iskra_sdk.event import EventType, Severity
from iskra_sdk.interceptor import Point
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import PluginRecord, SessionStore

logger = logging.getLogger(__name__)

T = TypeVar("T")
Sources: TypeAlias = list[PluginSource]

_CLOSE_PATIENCE = 20.0  # seconds all plugins together get to close


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
        self._clock = clock
        self._entry_points = None if entry_points is None else tuple(entry_points)
        self._watches = watch
        self._guards = guard_loop
        self._plugins: dict[str, KnownPlugin] = {}
        self._rejected: list[PluginSource] = []  # sources whose name another one holds
        self._changing = asyncio.Lock()
        self._owners = CodeOwners()
        self._finder = FreshFinder()
        self._guard: LoopGuard | None = None
        self._stop_watching = asyncio.Event()
        self._records = PluginRecords(store, bus, clock)
        self._points = points
        self._switch = CatalogSwitch(points, self.facilities, settings.plugins.drain_deadline)
        room = LoadingRoom(
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
        self._loader = PluginLoader(settings, room, self._plugins)
        self._rollout = Rollout(
            self._plugins, loader=self._loader, switch=self._switch, records=self._records, clock=clock
        )

    # Reading ------------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """What the running plugins offer now. Take a :meth:`lease` to use it across an ``await``."""
        return self._switch.catalog

    def lease(self) -> Lease:
        """Return a lease on the current catalog; nothing in it goes away until it is released."""
        return self._switch.lease()

    def on_swap(self, callback: Callable[[Catalog], None]) -> None:
        """Have ``callback`` called with the new catalog at each swap, synchronously, before anybody can lease it."""
        self._switch.on_swap(callback)

    @property
    def is_draining(self) -> bool:
        """Whether an old generation of some plugin is still there."""
        return bool(self._switch.jobs)

    def list(self) -> Sequence[PluginStatus]:
        """Return how every plugin stands, by name; rejected sources come after the plugin that holds their name."""
        statuses = [plugin.status(self._clock.monotonic()) for plugin in self._plugins.values()]
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
        return self._known(name).status(self._clock.monotonic())

    def receipts(self, name: str) -> Sequence[Receipt]:
        """Return the receipts of a plugin's changes, newest first.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
        """
        return self._known(name).newest_receipts()

    def service(self, protocol: type[T]) -> T | None:
        """Return what a running plugin offers under a protocol."""
        return self._switch.service(protocol)

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
            records = await self._records.read()
            crashed = await self._records.begin_start()
            for source in await asyncio.to_thread(self._find):
                self._admit(source, records.get(source.name) or PluginRecord(source.name))
            await self._rollout.load_all(try_all_out=crashed)
            await self._records.end_start()
        if self._watches:
            with contextlib.suppress(OSError):  # the watcher says what is wrong, and tries again
                await asyncio.to_thread(self._settings.plugin_folder.mkdir, parents=True, exist_ok=True)
            self._switch.own(self._watch(), "watch the plugin folder")

    async def aclose(self) -> None:
        """Unload everything, dependents first; every wait is bounded."""
        self._rollout.is_closing = True
        self._stop_watching.set()
        async with self._changing:
            running = [plugin for plugin in self._plugins.values() if plugin.running is not None]
            try:
                async with asyncio.timeout(_CLOSE_PATIENCE):
                    for plugin in reversed(dependents_last(running)):
                        await self._close_plugin(plugin)
            except TimeoutError:
                logger.warning("plugins did not close in time")
        await self._switch.finish_jobs()
        await self._loader.aclose()
        if self._guard is not None:
            self._guard.stop()
        self._owners.unwatch()
        self._finder.remove()

    async def _close_plugin(self, plugin: KnownPlugin) -> None:
        generation, plugin.running = plugin.running, None
        if generation is None:
            return
        self._rollout.swap(out=[generation])
        self._switch.release_at_once(generation)
        receipt = Receipt(plugin=plugin.name, action="close", at=self._clock.now(), old_generation=generation.number)
        await self._switch.drain(plugin, generation, receipt)

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
            await self._records.remember(plugin, record, "plugin.enable", principal)
            if plugin.running is not None:
                return self._rollout.unchanged(plugin, "enable")
            receipt = await self._rollout.replace(plugin, plugin.source, action="enable")
            await self._rollout.retry_dependents(name)
        return await self._switch.completed(plugin, receipt)

    async def disable(self, name: str, *, principal: Principal = SYSTEM) -> Receipt:
        """Take a plugin out of service at once and remember it; running turns finish on it.

        Plugins that require it go with it, and come back when it does.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
        """
        async with self._changing:
            plugin = self._known(name)
            await self._records.remember(
                plugin, dataclasses.replace(plugin.record, is_enabled=False), "plugin.disable", principal
            )
            receipt = self._rollout.unload(plugin, "disable")
            self._records.publish(EventType.PLUGIN_DISABLED, plugin.name, {"by": principal.id})
        return await self._switch.completed(plugin, receipt)

    async def reload(self, name: str, *, principal: Principal = SYSTEM) -> Receipt:
        """Load a plugin's present code and swap it in; ends its quarantine.

        Raises:
            PluginNotFoundError: No plugin of this name was found.
            PluginError: The new code cannot be used; what ran before runs on.
        """
        plugin = self._known(name)
        if plugin.is_wanted:
            await self._loader.try_out(await self._look_again(plugin), plugin.record.settings)
        async with self._changing:
            plugin = self._known(name)
            source = await self._look_again(plugin)
            record = dataclasses.replace(plugin.record, failed_starts=0, quarantined_because="")
            await self._records.remember(plugin, record, "plugin.reload", principal)
            if not plugin.is_wanted:
                raise PluginLoadError(name, "it is disabled.", mend=f"Run `iskra plugins enable {name}`.")
            receipt = await self._rollout.replace(plugin, source, action="reload")
            await self._rollout.retry_dependents(name)
        return await self._switch.completed(plugin, receipt)

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
            if not plugin.is_wanted:
                await self._records.remember(plugin, record, "plugin.configure", principal, keys=sorted(settings))
                return self._rollout.unchanged(plugin, "configure")
            receipt = await self._rollout.replace(plugin, plugin.source, action="configure", settings=merged)
            await self._records.remember(plugin, record, "plugin.configure", principal, keys=sorted(settings))
        return await self._switch.completed(plugin, receipt)

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
            names = [plugin.name for plugin in changed]
            await self._records.audit("plugin.install", source[:500], principal, plugins=names)
        if not changed:
            raise PluginLoadError("?", f"nothing new was found after installing {source[:200]!r}.")
        return [plugin.status(self._clock.monotonic()) for plugin in changed]

    async def rescan(self) -> None:
        """Look for plugins that came, changed or went, and load, reload or unload them."""
        for source in await asyncio.to_thread(self._find):
            known = self._plugins.get(source.name)
            if self._settings.safe_mode or self._rollout.is_closing:
                break
            is_new = known is None or (known.source.hash, known.source.path) != (source.hash, source.path)
            if is_new and (known is None or known.record.is_enabled):
                await self._loader.try_out(source, {} if known is None else known.record.settings)
        async with self._changing:
            if not self._rollout.is_closing:
                await self._rescan(try_out=True)

    def set_log_level(self, name: str, level: str) -> Sequence[str]:
        """Set what a plugin logs until it is loaded again, and return the names of its loggers.

        Args:
            name: The plugin.
            level: ``debug``, ``info``, ``warning``, ``error``, or ``default`` for that of the server.

        Raises:
            PluginNotFoundError: There is no such plugin.
        """
        running = self._known(name).running
        loggers = [f"iskra.plugin.{name}", *([running.prefix] if running is not None else ())]
        for logger_name in loggers:
            logging.getLogger(logger_name).setLevel(logging.NOTSET if level == "default" else level.upper())
        return loggers

    async def refresh(self, plugin: str) -> None:
        """Offer again what a running plugin has to offer; see ``iskra_sdk.PluginContext.refresh``."""
        async with self._changing:
            self._rollout.refresh(self._known(plugin))

    def record_failure(self, plugin: str, error: BaseException) -> None:
        """Count what a plugin raised at run time; too many within a minute put it into quarantine.

        Failures that tools and models report in the proper way are no fault of the plugin and do not count.
        """
        known = self._plugins.get(plugin)
        if known is None or isinstance(error, ToolError | LLMError | asyncio.CancelledError | ShuttingDownError):
            return
        if known.failures.add(self._clock.monotonic()) and known.running is not None and not self._rollout.is_closing:
            reason = f"it failed {known.failures.recent(self._clock.monotonic())} times within a minute"
            known.failures = FailureCounter()
            self._switch.own(self._quarantine(known, reason, error), f"quarantine {plugin}")

    def slot(self, point: Point) -> InterceptorSlot:
        """Return where the interceptors of a point are found."""
        return self._points.slot(point)

    def provide(self, plugin: str, protocol: type, service: object) -> None:
        """Check that a plugin may offer a service, and put it into service at once if the plugin runs.

        Raises:
            PluginConflictError: Another plugin offers one.
        """
        self._switch.provide(plugin, protocol, service)

    def withdraw(self, protocol: type, service: object) -> None:
        """Take a service back, unless another generation offers its own by now."""
        self._switch.withdraw(protocol, service)

    # Discovery ----------------------------------------------------------------------------------------------------

    def _find(self) -> Sources:
        return flag_conflicts(
            [*discover_entry_points(self._entry_points), *discover_folder(self._settings.plugin_folder)]
        )

    def _admit(self, source: PluginSource, record: PluginRecord) -> None:
        if source.name in self._plugins:
            self._rejected.append(source)
            logger.error("plugin rejected", extra={"plugin": source.name, "reason": str(source.error)})
        else:
            is_allowed = source.name not in self._settings.plugins.disabled and not self._settings.safe_mode
            self._plugins[source.name] = KnownPlugin(source, record, is_allowed, error=source.error)

    async def _look_again(self, plugin: KnownPlugin) -> PluginSource:
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
            self._rollout.unload(plugin, "remove")
            self._records.publish(EventType.PLUGIN_DISABLED, plugin.name, {"by": "removed"})
            del self._plugins[name]
        records: Mapping[str, PluginRecord] | None = None
        for name, source in sorted(present.items()):
            known = self._plugins.get(name)
            if known is None:
                if records is None:
                    records = await self._records.read()
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

    async def _try(self, plugin: KnownPlugin, source: PluginSource, action: str, *, try_out: bool) -> None:
        """Load changed code if the plugin is wanted; a failure is kept in its status."""
        if source.hash != plugin.source.hash or source.error is None:
            record = dataclasses.replace(plugin.record, failed_starts=0, quarantined_because="")
            if record != plugin.record:
                await self._records.remember(plugin, record)
        if not plugin.is_wanted:
            plugin.source, plugin.error = source, source.error
            return
        try:
            await self._rollout.replace(plugin, source, action=action, try_out=try_out)
        except PluginError:
            return  # `replace` has put it down
        await self._rollout.retry_dependents(plugin.name)

    async def _quarantine(self, plugin: KnownPlugin, reason: str, error: BaseException) -> None:
        async with self._changing:
            if plugin.running is None:
                return
            text = f"{reason}, lastly with {type(error).__name__}"
            record = dataclasses.replace(plugin.record, quarantined_because=text)
            await self._records.remember(plugin, record, "plugin.quarantine", SYSTEM, reason=text)
            self._rollout.unload(plugin, "quarantine")
            plugin.error = PluginLoadError(
                plugin.name, f"{text}.", mend=f"Mend it, then run `iskra plugins enable {plugin.name}`."
            )
            self._records.publish(EventType.PLUGIN_QUARANTINED, plugin.name, {"reason": text}, severity=Severity.ERROR)
            logger.error("plugin quarantined", extra={"plugin": plugin.name, "reason": text})

    # Small things -------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> KnownPlugin:
        plugin = self._plugins.get(name)
        if plugin is None:
            raise PluginNotFoundError(
                f"There is no plugin {name[:64]!r}.", mend="`iskra plugins list` shows those there are."
            )
        return plugin

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
        self._records.publish(
            EventType.ERROR,
            plugin.name,
            {"code": error.code, "message": error.message, "mend": error.mend, **blocked.facts},
            severity=Severity.ERROR,
        )
        self.record_failure(blocked.plugin, error)
