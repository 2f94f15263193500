"""A generation: one load of one plugin, from its import to the last thing it held."""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from pydantic import BaseModel

from iskra.plugin_host.code_owners import CodeOwners
from iskra.plugin_host.context import HostServices, KernelContext, Released
from iskra.plugin_host.contributions import Contributions, Hooks, describe_failure
from iskra.plugin_host.discovery import PluginSource, SourceKind
from iskra.plugin_host.importing import FreshFinder, ImportedPlugin, import_plugin, is_extension
from iskra.plugin_host.leftovers import close_handles, open_files, stop_threads, stop_timers
from iskra.plugin_host.lifespan_task import LifespanTask
from iskra.plugin_host.loading_thread import run_in_thread
from iskra.plugin_host.process_state import Changes, ProcessState, module_of
from iskra.plugin_host.receipt import Verdict
from iskra_sdk.clock import Clock
from iskra_sdk.errors import PluginError, PluginLoadError
from iskra_sdk.event_bus import EventBus, EventHandler
from iskra_sdk.manifest import PluginManifest
from iskra_sdk.session_store import SessionStore

_CHANGING = frozenset(
    {"register_agents", "register_tools", "register_voices", "register_llm_providers", "register_interceptors"}
)
"""Hooks whose results a running plugin can change."""

T = TypeVar("T")

_EXIT_TIMEOUT = 10.0  # seconds to leave a lifespan
_TASK_PATIENCE = 2.0  # seconds for cancelled tasks to end


class Registration(Protocol):
    """An event handler in service; calling it takes the handler out of service."""

    def __call__(self) -> None: ...

    async def wait(self) -> None: ...


class HandlerBus(EventBus, Protocol):
    """A bus that runs event handlers."""

    def on(self, handler: EventHandler, owner: str) -> Registration: ...


@dataclass(frozen=True, slots=True)
class LoadingRoom:
    """What loading a generation needs from the host."""

    data_dir: Path
    workspace: Path
    start_timeout: float
    allowed_private_hosts: Sequence[str]
    clock: Clock
    bus: HandlerBus
    store: SessionStore
    host: HostServices
    owners: CodeOwners
    finder: FreshFinder
    import_lock: asyncio.Lock
    """Imports run one at a time, so that what changes in the process meanwhile can be put down to one plugin."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What was released and what was left when a generation went."""

    released: Mapping[str, int]
    leaked: Mapping[str, tuple[str, ...]]
    kept_modules: tuple[str, ...]
    verdict: Verdict
    module: "weakref.ref[ModuleType] | None"


@dataclass(slots=True)
class _Imported:
    plugin: ImportedPlugin
    hooks: Hooks
    settings: BaseModel
    before: ProcessState
    changes: Changes
    new_modules: tuple[str, ...]
    new_files: Mapping[int, str]


@dataclass(eq=False)
class Generation:
    """One load of one plugin.

    Attributes:
        number: Counts the loads of this plugin, from 1.
        holders: Catalogs in use that hold its objects; at 0 it can go.
    """

    source: PluginSource
    manifest: PluginManifest
    number: int
    room: LoadingRoom
    settings: BaseModel
    contributions: Contributions = field(default_factory=Contributions)
    loaded_at: datetime | None = None
    holders: int = 0
    _imported: _Imported | None = None
    _context: KernelContext | None = None
    _registrations: list[Registration] = field(default_factory=list)
    _undo: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.manifest.name

    @property
    def prefix(self) -> str:
        """Name of its topmost module."""
        return "" if self._imported is None else self._imported.plugin.prefix

    @property
    def services(self) -> Mapping[type, object]:
        """What it offers to other plugins."""
        return {} if self._context is None else self._context.services

    def put_in_service(self) -> None:
        """Start its event handlers; called at the swap."""
        for handler in self.contributions.event_handlers:
            self._registrations.append(self.room.bus.on(handler, self.name))
        if self._context is not None:
            self._context.enter_service()
        if self._imported is not None:
            self._imported.plugin.forget_replaced()
        self._undo = None

    def take_out_of_service(self) -> None:
        """Give its event handlers nothing more; called at the swap to the next generation."""
        for registration in self._registrations:
            registration()

    def offer_again(self) -> Contributions:
        """Call the register hooks again, take what can change in service, and return what was offered before.

        Raises:
            PluginError: A hook failed, or returned what it must not; nothing changes.
        """
        before = self.contributions
        if self._imported is None or self._context is None:
            return before
        try:
            now = self._imported.hooks.contributions(self._context, _CHANGING)
        except PluginError:
            raise
        except Exception as exc:
            raise PluginLoadError(self.name, f"a register hook failed: {exc}") from exc
        self.contributions = replace(
            before,
            agents=now.agents,
            tools=now.tools,
            voices=now.voices,
            voices_off=now.voices_off,
            providers=now.providers,
            interceptors=now.interceptors,
        )
        return before

    def undo_import(self) -> None:
        """Put the modules of the generation before back, because this one was never put into service."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    async def dispose(self) -> Remains:
        """Release everything it held and look for what it left; every step is bounded in time."""
        released = Released()
        leaked: dict[str, tuple[str, ...]] = {}
        self.take_out_of_service()
        for registration in self._registrations:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_TIMEOUT):
                    await registration.wait()
            released.count("event_handlers")
        if self._context is not None:
            await self._context.close(released)
        for kind, names in self.contributions.offers.items():
            if kind != "event_handlers":
                released.counts[kind] = len(names)
        if released.stuck:
            leaked["stuck"] = tuple(released.stuck)
        remains = await self._clean_up(released, leaked)
        self.contributions = Contributions()
        self._registrations = []
        self._context = self._imported = None
        return remains

    async def _clean_up(self, released: Released, leaked: dict[str, tuple[str, ...]]) -> Remains:
        imported = self._imported
        if imported is None:
            return Remains(released.counts, leaked, (), Verdict.LEAKY if leaked else Verdict.CLEAN, None)
        modules = dict(imported.plugin.modules)
        namespaces = frozenset(id(vars(module)) for module in modules.values())
        tasks = self.room.owners.tasks_of(namespaces)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_TASK_PATIENCE)
        threads = stop_threads(modules)
        changes = imported.changes
        changes.add(imported.before.changes(by=lambda value: module_of(value) in modules))
        changes.undo()
        found = {
            "tasks": tuple(task.get_name() for task in tasks),
            "timers": tuple(stop_timers(asyncio.get_running_loop(), modules)),
            "threads": tuple(thread.name for thread in threads),
            "handles": tuple(close_handles(modules)),
            **changes.names,
        }
        still_open = open_files()
        found["files"] = tuple(path for fd, path in imported.new_files.items() if still_open.get(fd) == path)
        leaked |= {kind: names for kind, names in found.items() if names}
        imported.plugin.remove()
        self.room.owners.discard(imported.plugin.prefix)
        released.counts["modules"] = len(modules)
        verdict = Verdict.LEAKY if leaked else Verdict.CLEAN
        if any(is_extension(module) for module in modules.values()):
            verdict = Verdict.RESTART_NEEDED
        kept = tuple(name for name in imported.new_modules if name in sys.modules and name not in modules)
        top = modules.get(imported.plugin.prefix)
        return Remains(released.counts, leaked, kept, verdict, weakref.ref(top) if top is not None else None)


async def load_generation(
    source: PluginSource,
    number: int,
    layers: Sequence[Mapping[str, object]],
    room: LoadingRoom,
    *,
    again: bool,
) -> Generation:
    """Import a plugin, start it and collect what it offers; on failure nothing of it is left.

    Args:
        source: The plugin.
        number: The generation's number.
        layers: Settings, later ones on top.
        room: What the host lends.
        again: Its code was imported before.

    Raises:
        PluginError: The plugin cannot be used; the text says where it failed.
    """
    manifest = source.manifest
    if manifest is None:
        raise source.error or PluginLoadError(source.name, "it has no manifest.")
    async with room.import_lock:
        imported = await _step(
            source, room.start_timeout, "its import", lambda: _import(source, manifest, layers, room.finder, again)
        )
    room.owners.add(imported.plugin.prefix, manifest.name)
    generation = Generation(
        source, manifest, number, room, imported.settings, _imported=imported, _undo=imported.plugin.undo
    )
    try:
        await _start(generation, imported, room)
    except BaseException as exc:
        await generation.dispose()
        generation.undo_import()
        if isinstance(exc, asyncio.CancelledError) and _is_being_cancelled():
            raise
        raise _as_plugin_error(source, "its start", exc, room.start_timeout) from exc
    generation.loaded_at = room.clock.now()
    return generation


async def _start(generation: Generation, imported: _Imported, room: LoadingRoom) -> None:
    source, manifest = generation.source, generation.manifest
    data_dir = room.data_dir / manifest.name
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    context = generation._context = KernelContext(
        manifest,
        imported.settings,
        data_dir=data_dir,
        workspace=room.workspace,
        clock=room.clock,
        bus=room.bus,
        store=room.store,
        host=room.host,
        allowed_private_hosts=room.allowed_private_hosts,
    )
    timeout = room.start_timeout
    manager = await _step(source, timeout, "its hook `lifespan`", lambda: imported.hooks.lifespan(context))
    if manager is not None:
        lifespan = LifespanTask(
            manager,
            name=f"{manifest.name}: lifespan",
            on_crash=lambda error: room.host.record_failure(manifest.name, error),
        )
        # Before it is entered, so that what its own code acquires is released before it is left.
        context.acquisitions.add("lifespan", lambda: lifespan.leave(_EXIT_TIMEOUT))
        context.owned_tasks.open()
        await _awaited(source, timeout, "its lifespan", lifespan.enter(timeout))
    context.owned_tasks.open()
    generation.contributions = await _step(
        source, timeout, "a register hook", lambda: imported.hooks.contributions(context)
    )


def _import(
    source: PluginSource,
    manifest: PluginManifest,
    layers: Sequence[Mapping[str, object]],
    finder: FreshFinder,
    again: bool,
) -> _Imported:
    before, files, modules = ProcessState.take(), open_files(), frozenset(sys.modules)
    plugin: ImportedPlugin | None = None
    try:
        plugin = import_plugin(source, finder, again=again)
        hooks = Hooks(plugin.plugin, manifest)
        settings = hooks.settings([manifest.defaults, *layers])
    except BaseException:
        before.changes().undo()
        if plugin is not None:
            plugin.undo()
        raise
    own = plugin.modules
    return _Imported(
        plugin,
        hooks,
        settings,
        before,
        before.changes(),
        tuple(sorted(name for name in sys.modules.keys() - modules - own.keys() if "." not in name)),
        {fd: path for fd, path in open_files().items() if files.get(fd) != path},
    )


async def _step(source: PluginSource, timeout: float, what: str, call: Callable[[], T]) -> T:
    return await _awaited(source, timeout, what, run_in_thread(call, timeout=timeout, name=f"load {source.name}"))


async def _awaited(source: PluginSource, timeout: float, what: str, waiting: Awaitable[T]) -> T:
    try:
        return await waiting
    except BaseException as exc:
        if isinstance(exc, asyncio.CancelledError) and _is_being_cancelled():
            raise
        raise _as_plugin_error(source, what, exc, timeout) from exc


def _as_plugin_error(source: PluginSource, what: str, exc: BaseException, timeout: float) -> PluginError:
    if isinstance(exc, PluginError) and exc.plugin == source.name:
        return exc
    if isinstance(exc, TimeoutError) and not str(exc):
        return PluginLoadError(
            source.name,
            f"{what} did not end within {timeout:g} s.",
            mend="Move slow work into a background task, or raise the setting `plugins.start_timeout`.",
        )
    root = str(source.path)
    is_own = (lambda file: file == root) if source.kind is SourceKind.FILE else (lambda file: file.startswith(root))
    return PluginLoadError(source.name, f"{what} failed: {describe_failure(exc, is_own)}.", mend=_mend(exc))


def _mend(exc: BaseException) -> str:
    if isinstance(exc, ModuleNotFoundError):
        return f"Install the package that holds {exc.name!r}."
    if isinstance(exc, SystemExit):
        return "A plugin must not end the server; raise an ordinary exception instead."
    return "Mend the plugin and save it; it is loaded again by itself."


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_freed(module: "weakref.ref[ModuleType] | None") -> bool | None:
    """Return whether an old generation's module is gone from memory, ``None`` while that is not known."""
    if module is None or module() is None:
        return True
    return None if gc.isenabled() else False
