"""The catalog: everything the loaded plugins offer at one moment, immutable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Generic, TypeVar

from iskra.digest import digest
from iskra_sdk.agent import Agent
from iskra_sdk.approval import ApprovalAdvisor, ApprovalRule
from iskra_sdk.context_strategy import ContextStrategy
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.interceptor import Interceptor
from iskra_sdk.llm import LLMProvider
from iskra_sdk.notifier import Notifier
from iskra_sdk.principal import PermissionSpec
from iskra_sdk.routes import PluginRoutes
from iskra_sdk.tool import Tool
from iskra_sdk.voice import Voice

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Owned(Generic[T]):
    """An object and the plugin generation it came from."""

    value: T
    plugin: str
    generation: int


def _none() -> Mapping[str, Owned[T]]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Catalog:
    """What one set of plugin generations offers.

    A turn works with the catalog it started with; a reload makes a new one and never changes an old one.

    Attributes:
        generations: Plugin name → generation number of everything in here.
        voices: By name and by alias.
        voices_off: Those that are switched off, likewise.
    """

    generations: Mapping[str, int] = field(default_factory=dict)
    agents: Mapping[str, Owned[Agent]] = field(default_factory=_none)
    tools: Mapping[str, Owned[Tool]] = field(default_factory=_none)
    voices: Mapping[str, Owned[Voice]] = field(default_factory=_none)
    voices_off: Mapping[str, Owned[Voice]] = field(default_factory=_none)
    providers: Mapping[str, Owned[LLMProvider]] = field(default_factory=_none)
    context_strategies: Mapping[str, Owned[ContextStrategy]] = field(default_factory=_none)
    notifiers: Mapping[str, Owned[Notifier]] = field(default_factory=_none)
    permissions: Mapping[str, Owned[PermissionSpec]] = field(default_factory=_none)
    routes: Sequence[Owned[PluginRoutes]] = ()
    rules: Sequence[Owned[ApprovalRule]] = ()
    advisors: Sequence[Owned[ApprovalAdvisor]] = ()
    interceptors: Sequence[Owned[Interceptor]] = ()
    event_handlers: Sequence[Owned[EventHandler]] = ()

    @cached_property
    def tool_digests(self) -> Mapping[str, str]:
        """Tool → fingerprint of what a model sees of it; worked out once, since every model call is noted with them."""
        return {name: digest(owned.value.spec.wire) for name, owned in self.tools.items()}
