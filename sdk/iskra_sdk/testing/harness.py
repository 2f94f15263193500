"""Loads one plugin for a test: calls its tools, drives turns of its agents, without a server."""

import inspect
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from pydantic import BaseModel, ValidationError

from iskra_sdk import hookspecs
from iskra_sdk.agent import Agent
from iskra_sdk.approval import Approvals
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.errors import PluginLoadError, PluginSettingsError, ToolError
from iskra_sdk.event import Event, matches
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.ids import SessionId, new_id
from iskra_sdk.llm import LLMProvider
from iskra_sdk.manifest import PluginManifest, PluginPermission, manifest_from_source, parse_manifest
from iskra_sdk.message import Message, ToolResult
from iskra_sdk.plugin_context import Turns
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import CreateSession, Session
from iskra_sdk.testing.harness_context import HarnessContext, Respond
from iskra_sdk.testing.harness_turn import Approver, FinishedTurn, HarnessTurn
from iskra_sdk.testing.memory_bus import MemoryEventBus
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.tool import Tool, ToolContext
from iskra_sdk.voice import Voice

TESTER = Principal("tester", "Tester", frozenset({"*"}))
"""On whose behalf things happen unless the test says otherwise."""

_MANIFEST_FILE = "iskra-plugin.toml"
_numbers = itertools.count(1)


class _NoSettings(BaseModel, extra="forbid"):
    """The settings of a plugin that has none."""


class PluginHarness:
    """One plugin, loaded and started; open it with :meth:`open`.

    Attributes:
        manifest: Its manifest.
        context: What the plugin got; ``context.notifications``, ``context.own_tasks.errors`` and
            ``context.own_http.requests`` tell what it did.
        bus: The bus; ``bus.published`` holds what was published.
        store: The store behind ``context.state`` and ``context.sessions``.
        agents: Its agents by name, and those the test added.
        tools: Its tools by name, and those the test added.
        voices: Its voices by name.
        session_id: The session in the store that all turns belong to; what the plugin tells there with
            ``context.tell_session`` is found by ``store.events``.
    """

    def __init__(
        self, manager: pluggy.PluginManager, context: HarnessContext, bus: MemoryEventBus, store: MemoryStore
    ) -> None:
        self.manifest = context.manifest
        self.context = context
        self.bus = bus
        self.store = store
        self.agents: dict[str, Agent] = {}
        self.tools: dict[str, Tool] = {}
        self.voices: dict[str, Voice] = {}
        self._manager = manager
        self._model: LLMProvider | None = None
        self._approve: Approver = False
        self._contexts: dict[str, BaseModel] = {}
        self.session_id = SessionId(new_id("ses"))

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        plugin: object,
        *,
        manifest: PluginManifest | None = None,
        settings: Mapping[str, object] | None = None,
        model: LLMProvider | None = None,
        approve: Approver = False,
        agents: Iterable[Agent] = (),
        tools: Iterable[Tool] = (),
        services: Mapping[Any, object] | None = None,
        respond: Respond | None = None,
        turns: Turns | None = None,
        approvals: Approvals | None = None,
        clock: Clock | None = None,
        store: MemoryStore | None = None,
    ) -> AsyncIterator["PluginHarness"]:
        """Load a plugin, enter its lifespan, and leave it at the end.

        Args:
            plugin: A path to a file or package directory, a module, or any object with hook implementations.
            manifest: Instead of the one that belongs to the plugin; an object without one may do everything.
            settings: The plugin's settings; its defaults otherwise.
            model: What agents and ``context.llm`` call, e.g. a :class:`~iskra_sdk.testing.ScriptedModel`.
            approve: How calls are decided that would be asked about; without it they are denied, as they are in the
                server when nobody answers.
            agents: Agents of other plugins, for handing over.
            tools: Tools of other plugins.
            services: What other plugins offer: protocol → service.
            respond: Answers ``context.http``.
            turns: ``context.turns``.
            approvals: ``context.approvals``.
            clock: The plugin's clock.
            store: A store that outlives the harness, for tests of restarts.

        Raises:
            PluginError: The plugin cannot be used; the text says why.
        """
        async with AsyncExitStack() as stack:
            loaded, found = _load(plugin, stack)
            manifest = manifest or found
            manager = _manager(loaded, manifest)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iskra-harness-")))
            bus, kept = MemoryEventBus(), store or MemoryStore()
            context = HarnessContext(
                manifest,
                _settings(manager, manifest, settings or {}),
                data_dir=_made(folder / "data"),
                workspace=_made(folder / "workspace"),
                clock=clock or SystemClock(),
                bus=bus,
                store=kept,
                services=services or {},
                model=model,
                turns=turns,
                approvals=approvals,
                respond=respond,
            )
            harness = cls(manager, context, bus, kept)
            harness._model, harness._approve = model, approve
            now = context.clock.now()
            await kept.apply([CreateSession(Session(harness.session_id, TESTER.id, now, now))])
            stack.push_async_callback(context.close)
            lifespan = manager.hook.lifespan(context=context)
            if lifespan is not None:
                await stack.enter_async_context(lifespan)
                stack.push_async_callback(context.close)  # tasks end before the lifespan does
            context.on_refresh = lambda: harness._collect(agents, tools)
            harness._collect(agents, tools)
            yield harness

    def registered(self, hook: str) -> list[Any]:
        """Return everything a register hook returns, e.g. ``registered("register_routes")``."""
        items: list[Any] = []
        for result in getattr(self._manager.hook, hook)(context=self.context):
            if inspect.iscoroutine(result):
                result.close()
                raise PluginLoadError(
                    self.manifest.name, f"the hook `{hook}` is asynchronous; hooks are plain functions."
                )
            items += list(result)
        return items

    async def call_tool(self, name: str, /, *, principal: Principal = TESTER, **arguments: object) -> ToolResult:
        """Run a tool as the server does after approval: arguments validated, what it raises passed on.

        Raises:
            ToolArgumentsError: The arguments do not fit.
            ToolError: There is no such tool, or it failed in the proper way.
        """
        tool = self.tools.get(name)
        if tool is None:
            raise ToolError(
                f"There is no tool {name!r}.", mend=f"There are: {', '.join(sorted(self.tools)) or 'none'}."
            )
        return await tool.run(tool.validate(arguments), ToolContext(principal=principal))

    async def ask(
        self,
        agent: str,
        text: str,
        *,
        history: Sequence[Message] = (),
        answers: Sequence[str] = (),
        approve: Approver | None = None,
        principal: Principal = TESTER,
        voice: str = "",
    ) -> FinishedTurn:
        """Send a message to an agent and return what came of it. All turns of a harness are of one session.

        Args:
            agent: The agent's name.
            text: The message.
            history: What was said before.
            answers: What the user answers to the agent's questions, in order.
            approve: Instead of the harness's own.
            principal: Whose turn it is.
            voice: Name of the voice that was picked.
        """
        if agent not in self.agents:
            raise ToolError(
                f"There is no agent {agent!r}.", mend=f"There are: {', '.join(sorted(self.agents)) or 'none'}."
            )
        message = Message.user(text)
        turn = HarnessTurn(
            input=message,
            principal=principal,
            model=self._model,
            all_agents=self.agents,
            all_tools=self.tools,
            approve=self._approve if approve is None else approve,
            answers=list(answers),
            messages=[*history, message],
            contexts=self._contexts,
            session_id=self.session_id,
            voice=voice,
        )
        finished = await turn.finish(self.agents[agent])
        if finished.context is not None:
            self._contexts[finished.agent] = finished.context  # kept with the session, as in the server
        return finished

    async def publish(self, event: Event) -> None:
        """Publish an event of the kernel and have the plugin's event handlers handle it, in order.

        What a handler raises is raised here; the server would log and count it.
        """
        await self.bus.publish(event)
        handlers: list[EventHandler] = self.registered("register_event_handlers")
        for handler in handlers:
            if matches(handler.pattern, event.type):
                await handler.handle(event)

    def _collect(self, agents: Iterable[Agent], tools: Iterable[Tool]) -> None:
        for permission, hook in _NEEDED.items():
            if permission not in self.manifest.permissions and self.registered(hook):
                raise PluginLoadError(
                    self.manifest.name,
                    f"`{hook}` returns something without the permission {permission.value!r}.",
                    mend=f'Add "{permission.value}" to `permissions` in its manifest.',
                )
        self.agents = self._by_name([*self.registered("register_agents"), *agents], Agent)
        self.tools = self._by_name([*self.registered("register_tools"), *tools], Tool)
        voices = self._by_name(self.registered("register_voices"), Voice)
        self.voices = {name: voice for name, voice in voices.items() if not voice.switched_off}
        self.context.agents, self.context.tools = self.agents, self.tools

    def _by_name(self, items: Sequence[Any], kind: type) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for item in items:
            if not isinstance(item, kind):
                raise PluginLoadError(self.manifest.name, f"{item!r} is no {kind.__name__}.")
            name = item.name  # type: ignore[attr-defined]  # every one of these kinds has a name
            if name in named:
                raise PluginLoadError(
                    self.manifest.name, f"two objects of the kind {kind.__name__} are named {name!r}."
                )
            named[name] = item
        return named


_NEEDED = {
    PluginPermission.INTERCEPTORS: "register_interceptors",
    PluginPermission.ROUTES: "register_routes",
}


def _load(plugin: object, stack: AsyncExitStack) -> tuple[object, PluginManifest]:
    if isinstance(plugin, str | Path):
        return _import(Path(plugin), stack)
    if isinstance(plugin, ModuleType) and plugin.__file__:
        file = Path(plugin.__file__)
        path = file.parent if file.name == "__init__.py" else file
        return plugin, _manifest(path, plugin.__name__.rpartition(".")[2])
    return plugin, PluginManifest(name="plugin_under_test", permissions=tuple(PluginPermission))


def _import(path: Path, stack: AsyncExitStack) -> tuple[ModuleType, PluginManifest]:
    path = path.resolve()
    file = path / "__init__.py" if path.is_dir() else path
    manifest = _manifest(path, path.stem)
    name = f"_iskra_harness_{manifest.name}_{next(_numbers)}"
    locations = [str(path)] if path.is_dir() else None
    spec = spec_from_file_location(name, file, submodule_search_locations=locations)
    if spec is None or spec.loader is None or not file.is_file():
        raise PluginLoadError(manifest.name, f"there is no Python source at {file}.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    stack.callback(_forget, name)
    spec.loader.exec_module(module)
    return module, manifest


def _forget(name: str) -> None:
    for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[module]


def _manifest(path: Path, name: str) -> PluginManifest:
    toml = path / _MANIFEST_FILE
    if path.is_dir() and toml.is_file():
        return parse_manifest(toml.read_text(encoding="utf-8"), name=name, default_name=True)
    file = path / "__init__.py" if path.is_dir() else path
    return manifest_from_source(file.read_text(encoding="utf-8") if file.is_file() else "", name=name)


def _manager(plugin: object, manifest: PluginManifest) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=manifest.name)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise PluginLoadError(manifest.name, f"a hook implementation does not fit: {exc}.") from exc
    if not manager.get_hookcallers(plugin):
        raise PluginLoadError(manifest.name, "it implements no hook.", mend="Mark a function with `@hookimpl`.")
    return manager


def _settings(manager: pluggy.PluginManager, manifest: PluginManifest, given: Mapping[str, object]) -> BaseModel:
    schema: type[BaseModel] = manager.hook.settings_schema() or _NoSettings
    try:
        return schema.model_validate({**manifest.defaults, **given})
    except ValidationError as exc:
        raise PluginSettingsError(manifest.name, f"its settings do not fit: {exc}") from exc


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
