"""The hooks a plugin may implement: few, synchronous, called once per load; they return objects.

A hook implementation may leave out the ``context`` argument. Everything asynchronous is a method of the objects
returned, or happens in ``lifespan``.
"""

from collections.abc import Iterable

import pluggy
from pydantic import BaseModel

from iskra_sdk.agent import Agent
from iskra_sdk.approval import ApprovalAdvisor, ApprovalRule
from iskra_sdk.command import Command
from iskra_sdk.context_strategy import ContextStrategy
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.interceptor import Interceptor
from iskra_sdk.llm import LLMProvider
from iskra_sdk.notifier import Notifier
from iskra_sdk.plugin_context import Lifespan, PluginContext
from iskra_sdk.principal import PermissionSpec
from iskra_sdk.routes import PluginRoutes
from iskra_sdk.tool import Tool
from iskra_sdk.voice import Voice

PROJECT = "iskra"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a hook implementation: ``@hookimpl``."""


@hookspec(firstresult=True)
def settings_schema() -> type[BaseModel] | None:
    """Return the model of the plugin's settings; every field needs a default.

    Called before everything else and without a context. A field of type ``SecretStr`` is never shown or logged.
    """


@hookspec(firstresult=True)
def lifespan(context: PluginContext) -> Lifespan | None:
    """Return an asynchronous context manager for the plugin's resources.

    Entered before the plugin's objects are put into service, and left after the last turn that uses them; entering
    may take 10 seconds.
    """


@hookspec
def register_agents(context: PluginContext) -> Iterable[Agent]:
    """Return agents."""
    return ()


@hookspec
def register_tools(context: PluginContext) -> Iterable[Tool]:
    """Return tools."""
    return ()


@hookspec
def register_voices(context: PluginContext) -> Iterable[Voice]:
    """Return voices."""
    return ()


@hookspec
def register_llm_providers(context: PluginContext) -> Iterable[LLMProvider]:
    """Return providers of model answers."""
    return ()


@hookspec
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    """Return interceptors; needs the permission ``interceptors``."""
    return ()


@hookspec
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    """Return event handlers."""
    return ()


@hookspec
def register_approval_rules(context: PluginContext) -> Iterable[ApprovalRule]:
    """Return approval rules.

    They come after the admin's own rules and before the defaults. Rules about tools of other plugins need the
    permission ``approval_rules``, and may never be more lenient than the defaults.
    """
    return ()


@hookspec
def register_approval_advisors(context: PluginContext) -> Iterable[ApprovalAdvisor]:
    """Return advisors on calls that no rule decided; needs the permission ``approval_rules``."""
    return ()


@hookspec
def register_notifiers(context: PluginContext) -> Iterable[Notifier]:
    """Return notifiers."""
    return ()


@hookspec
def register_context_strategies(context: PluginContext) -> Iterable[ContextStrategy]:
    """Return context strategies; the setting ``context_strategy`` chooses one by name."""
    return ()


@hookspec
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    """Return HTTP routes; needs the permission ``routes``."""
    return ()


@hookspec
def register_permissions(context: PluginContext) -> Iterable[PermissionSpec]:
    """Return permissions that the plugin's routes ask for."""
    return ()


@hookspec
def register_commands(context: PluginContext) -> Iterable[Command]:
    """Return commands for the ``iskra`` program.

    Called in the terminal, with a context that has settings, data directory and logger only.
    """
    return ()
