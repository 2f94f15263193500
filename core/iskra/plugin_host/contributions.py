"""Calls a plugin's hooks and checks what they return."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar

import pluggy
from pydantic import BaseModel, ConfigDict, ValidationError

from iskra_sdk import hookspecs
from iskra_sdk.agent import Agent
from iskra_sdk.approval import ApprovalAdvisor, ApprovalRule
from iskra_sdk.command import Command
from iskra_sdk.context_strategy import ContextStrategy
from iskra_sdk.errors import PluginConflictError, PluginLoadError, PluginSettingsError
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.interceptor import Interceptor
from iskra_sdk.llm import LLMProvider
from iskra_sdk.manifest import PluginManifest, PluginPermission
from iskra_sdk.notifier import Notifier
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import PermissionSpec
from iskra_sdk.routes import PluginRoutes
from iskra_sdk.tool import Tool
from iskra_sdk.voice import Voice

T = TypeVar("T")

MOST_ITEMS = 10_000
"""A hook may return this many objects; more is a generator that never ends."""

_LOWER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_PERMISSION_NAME = re.compile(r"[a-z][a-z0-9_]*(:[a-z0-9_*-]+)+\Z")
_PATH = re.compile(r"/(?:[A-Za-z0-9_~.-]+(?:/[A-Za-z0-9_~.-]+)*)?\Z")
_KERNEL_PATHS = (
    "/api/v1/admin",
    "/api/v1/agents",
    "/api/v1/approvals",
    "/api/v1/sessions",
    "/api/v1/tools",
    "/api/v1/turns",
    "/api/v1/ws",
    "/docs",
    "/health",
    "/openapi.json",
    "/ready",
    "/v1/chat",
    "/v1/models",
    "/v1/responses",
)
_KERNEL_PERMISSIONS = ("admin:", "agents:", "approvals:", "sessions:", "tools:")


class NoSettings(BaseModel):
    """The settings of a plugin that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Contributions:
    """Everything one generation of a plugin offers, checked."""

    agents: Mapping[str, Agent] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    voices: Mapping[str, Voice] = field(default_factory=dict)
    voices_off: Mapping[str, Voice] = field(default_factory=dict)
    providers: Mapping[str, LLMProvider] = field(default_factory=dict)
    context_strategies: Mapping[str, ContextStrategy] = field(default_factory=dict)
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    permissions: Mapping[str, PermissionSpec] = field(default_factory=dict)
    routes: Sequence[PluginRoutes] = ()
    rules: Sequence[ApprovalRule] = ()
    advisors: Sequence[ApprovalAdvisor] = ()
    interceptors: Sequence[Interceptor] = ()
    event_handlers: Sequence[EventHandler] = ()

    @property
    def offers(self) -> dict[str, list[str]]:
        """Kind → names of what there is."""
        listed = {
            "agents": list(self.agents),
            "tools": list(self.tools),
            "voices": sorted({voice.name for voice in self.voices.values()}),
            "providers": list(self.providers),
            "context_strategies": list(self.context_strategies),
            "notifiers": list(self.notifiers),
            "permissions": list(self.permissions),
            "routes": [routes.path for routes in self.routes],
            "rules": [rule.name for rule in self.rules],
            "advisors": [type(advisor).__name__ for advisor in self.advisors],
            "interceptors": [interceptor.name or str(interceptor.point) for interceptor in self.interceptors],
            "event_handlers": [handler.pattern for handler in self.event_handlers],
        }
        return {kind: names for kind, names in listed.items() if names}


class Hooks:
    """The hook implementations of one generation, in a plugin manager of its own."""

    def __init__(self, plugin: object, manifest: PluginManifest) -> None:
        """Register the implementations.

        Raises:
            PluginLoadError: A function implements a hook that does not exist or takes arguments it does not have,
                or there is no implementation at all.
        """
        self._manifest = manifest
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(plugin, name=manifest.name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as exc:
            raise self._error(
                f"a hook implementation does not fit: {exc}.",
                mend="The reference page on hooks lists them all.",
            ) from exc
        if not self._manager.get_hookcallers(plugin):
            what = "module" if isinstance(plugin, ModuleType) else type(plugin).__name__
            raise self._error(
                f"the {what} implements no hook.",
                mend="Mark at least one function with `@iskra_sdk.hookimpl`, e.g. `register_tools`.",
            )

    def settings(self, layers: Sequence[Mapping[str, object]]) -> BaseModel:
        """Return the plugin's settings; later layers come on top of earlier ones.

        Raises:
            PluginSettingsError: They do not fit the schema.
            PluginLoadError: The hook failed or returned something else.
        """
        schema = self._call("settings_schema")
        if inspect.iscoroutine(schema):
            schema.close()
            raise self._error("the hook `settings_schema` is asynchronous; hooks are plain functions.")
        if schema is None:
            schema = NoSettings
        if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
            raise self._error(f"`settings_schema` returned {_shown(schema)}, not a pydantic model class.")
        values: dict[str, object] = {}
        for layer in layers:
            values.update(layer)
        try:
            return schema.model_validate(values)
        except ValidationError as exc:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in error['loc']) or 'settings'}: {error['msg']}"
                for error in exc.errors(include_url=False, include_input=False, include_context=False)
            )
            known = ", ".join(schema.model_fields) or "none"
            raise PluginSettingsError(
                self._manifest.name,
                f"its settings do not fit: {problems}.",
                mend=f"Mend them in the file or with `iskra plugins settings`; the plugin's settings are: {known}.",
            ) from exc

    def lifespan(self, context: PluginContext) -> Any:
        """Return the plugin's lifespan, not yet entered, or ``None``."""
        manager = self._call("lifespan", context=context)
        if inspect.iscoroutine(manager):
            manager.close()
        if inspect.isasyncgen(manager) or inspect.iscoroutine(manager):
            raise self._error(
                "the hook `lifespan` must return a context manager.",
                mend="Decorate it with `@contextlib.asynccontextmanager`, below `@hookimpl`.",
            )
        if manager is not None and not (hasattr(type(manager), "__aenter__") and hasattr(type(manager), "__aexit__")):
            raise self._error(f"`lifespan` returned {_shown(manager)}, not an asynchronous context manager.")
        return manager

    def contributions(self, context: PluginContext, hooks: Collection[str] | None = None) -> Contributions:
        """Call the register hooks, or only some of them, and check what they return.

        Raises:
            PluginLoadError: A hook returned something of the wrong type, or without the permission it needs.
            PluginConflictError: Two of the plugin's own objects have one name.
        """
        items: dict[str, list[Any]] = {
            hook: self._items(hook, kind, context) if hooks is None or hook in hooks else []
            for hook, kind in _KINDS.items()
        }
        voices = items["register_voices"]
        spoken = [(name, voice) for voice in voices for name in (voice.name, *self._strings(voice.aliases, voice))]
        return Contributions(
            agents=self._by_name(items["register_agents"], "agent", _LOWER_NAME),
            tools=self._by_name(items["register_tools"], "tool", _TOOL_NAME),
            voices=self._unique([(name, voice) for name, voice in spoken if not voice.switched_off], "voice"),
            voices_off=self._unique([(name, voice) for name, voice in spoken if voice.switched_off], "voice"),
            providers=self._by_name(items["register_llm_providers"], "provider", _PROVIDER_NAME),
            context_strategies=self._by_name(items["register_context_strategies"], "context strategy", _LOWER_NAME),
            notifiers=self._by_name(items["register_notifiers"], "notifier", _LOWER_NAME),
            permissions=self._permissions(items["register_permissions"]),
            routes=self._routes(items["register_routes"]),
            rules=[self._confined(rule) for rule in items["register_approval_rules"]],
            advisors=self._allowed(
                items["register_approval_advisors"], PluginPermission.APPROVAL_RULES, "approval advisors"
            ),
            interceptors=self._allowed(items["register_interceptors"], PluginPermission.INTERCEPTORS, "interceptors"),
            event_handlers=items["register_event_handlers"],
        )

    def commands(self, context: PluginContext) -> Mapping[str, Command]:
        """Return the plugin's commands for the terminal."""
        return self._by_name(self._items("register_commands", Command, context), "command", _LOWER_NAME)

    def _call(self, hook: str, **arguments: object) -> Any:
        return getattr(self._manager.hook, hook)(**arguments)

    def _items(self, hook: str, kind: type[T], context: PluginContext) -> list[T]:
        found: list[T] = []
        for result in self._call(hook, context=context):
            if inspect.iscoroutine(result):
                result.close()
                raise self._error(f"the hook `{hook}` is asynchronous; hooks are plain functions.")
            if (
                inspect.isasyncgen(result)
                or isinstance(result, str | bytes | Mapping)
                or not isinstance(result, Iterable)
            ):
                raise self._error(
                    f"`{hook}` returned {_shown(result)}.", mend=f"Return a list of {kind.__name__} objects."
                )
            items = list(islice(result, MOST_ITEMS + 1))
            if len(items) > MOST_ITEMS:
                raise self._error(f"`{hook}` returned more than {MOST_ITEMS} objects.")
            for item in items:
                self._check_type(hook, item, kind)
            found += items
        return found

    def _check_type(self, hook: str, item: object, kind: type) -> None:
        required = _DUCKS.get(kind)
        if isinstance(item, type):
            mend = f"Return an instance: `{item.__name__}()`."
            raise self._error(f"`{hook}` returned the class {item.__name__} itself.", mend=mend)
        fits = isinstance(item, kind) if required is None else all(hasattr(item, name) for name in required)
        if fits:
            return
        mend = f"Return {kind.__name__} objects."
        if kind is Tool and callable(item):
            mend = "Decorate the function with `@iskra_sdk.tool`."
        raise self._error(f"`{hook}` returned {_shown(item)}, which is no {kind.__name__}.", mend=mend)

    def _by_name(self, items: Iterable[Any], kind: str, pattern: re.Pattern[str]) -> dict[str, Any]:
        named = []
        for item in items:
            name = getattr(item, "name", None)
            if not isinstance(name, str) or not pattern.match(name):
                raise self._error(
                    f"the {kind} {type(item).__name__} has the name {_shown(name)}, which is not allowed.",
                    mend=f"Names of this kind match `{pattern.pattern.removesuffix(chr(92) + 'Z')}`.",
                )
            named.append((name, item))
        return self._unique(named, kind)

    def _unique(self, named: Iterable[tuple[str, T]], kind: str) -> dict[str, T]:
        unique: dict[str, T] = {}
        for name, item in named:
            if name in unique and unique[name] is not item:
                raise PluginConflictError(
                    self._manifest.name, f"it registers two objects of the kind {kind} as {name!r}.", mend="Rename one."
                )
            unique[name] = item
        return unique

    def _strings(self, values: Iterable[object], voice: Voice) -> list[str]:
        names = [voice.name, *values]
        if not all(isinstance(name, str) and name.strip() == name and 0 < len(name) <= 64 for name in names):
            raise self._error(f"the voice {_shown(voice.name)} has a name or alias that is not allowed.")
        return [str(name) for name in names[1:]]

    def _permissions(self, specs: Sequence[PermissionSpec]) -> dict[str, PermissionSpec]:
        permissions = self._by_name(specs, "permission", _PERMISSION_NAME)
        for name in permissions:
            if name.startswith(_KERNEL_PERMISSIONS):
                raise self._error(
                    f"it registers the permission {name!r}, which is the kernel's.",
                    mend=f"Begin it with `{self._manifest.name}:`.",
                )
        return permissions

    def _routes(self, routes: Sequence[PluginRoutes]) -> list[PluginRoutes]:
        mounted = self._allowed(routes, PluginPermission.ROUTES, "HTTP routes")
        for mount in mounted:
            if not _PATH.match(mount.path) or ".." in mount.path.split("/"):
                raise self._error(f"it mounts routes at {_shown(mount.path)}, which is no plain path.")
            if any(f"{mount.path}/".startswith(f"{path}/") for path in _KERNEL_PATHS):
                raise self._error(
                    f"it mounts routes at {mount.path!r}, which is the kernel's.", mend="Choose another path."
                )
            if not mount.permission or not callable(mount.app):
                raise self._error(f"its routes at {mount.path!r} need an ASGI application and a permission.")
        self._unique([(mount.path, mount) for mount in mounted], "route")
        return mounted

    def _confined(self, rule: ApprovalRule) -> ApprovalRule:
        """Confine a rule to the plugin's own tools, unless it may speak of others."""
        if PluginPermission.APPROVAL_RULES in self._manifest.permissions:
            return rule
        own = self._manifest.name
        if any(plugin != own for plugin in rule.plugins):
            self._allowed([rule], PluginPermission.APPROVAL_RULES, "approval rules about tools of other plugins")
        return replace(rule, plugins=(own,))

    def _allowed(self, items: Sequence[T], permission: PluginPermission, what: str) -> list[T]:
        if items and permission not in self._manifest.permissions:
            raise self._error(
                f"it registers {what} without the permission to.",
                mend=f'Add "{permission}" to `permissions` in its manifest.',
            )
        return list(items)

    def _error(self, reason: str, mend: str = "") -> PluginLoadError:
        return PluginLoadError(self._manifest.name, reason, mend=mend)


_KINDS: Mapping[str, type[Any]] = {
    "register_agents": Agent,
    "register_tools": Tool,
    "register_voices": Voice,
    "register_llm_providers": LLMProvider,
    "register_interceptors": Interceptor,
    "register_event_handlers": EventHandler,
    "register_approval_rules": ApprovalRule,
    "register_approval_advisors": ApprovalAdvisor,
    "register_notifiers": Notifier,
    "register_context_strategies": ContextStrategy,
    "register_routes": PluginRoutes,
    "register_permissions": PermissionSpec,
}

_DUCKS: Mapping[type[Any], tuple[str, ...]] = {
    Agent: ("name", "run", "description", "tools", "model"),
    Notifier: ("name", "notify"),
    ContextStrategy: ("name", "fit"),
}
"""What is known by what it has: protocols, and agents that do not derive from ``Agent``."""


def _shown(value: object) -> str:
    """Describe a value that may refuse to be described."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return f"{text[:80]}{'…' if len(text) > 80 else ''} ({type(value).__name__})"


def describe_failure(error: BaseException, is_own: Callable[[str], bool]) -> str:
    """Say what was raised and where in the plugin, without a traceback.

    Args:
        error: What was raised.
        is_own: Tells whether a source file belongs to the plugin.
    """
    text = _message(error)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if is_own(trace.tb_frame.f_code.co_filename):
            place = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}: "
        trace = trace.tb_next
    return f"{place}{type(error).__name__}{': ' if text else ''}{text}"


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:
        return ""
