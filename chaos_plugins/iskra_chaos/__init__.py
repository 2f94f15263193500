"""Chaos: perturbations that freshen a conversation, and faults that show what a server survives.

Both forms share one safety envelope: an ethics check that clears each operation once, leases that run out by
themselves, a journal, and an emergency stop.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel

from iskra_chaos.settings import ChaosSettings
from iskra_sdk import (
    Agent,
    ApprovalRule,
    Command,
    Event,
    EventHandler,
    Interceptor,
    PermissionSpec,
    PluginContext,
    PluginRoutes,
    Tool,
    Verdict,
    hookimpl,
)
from iskra_sdk.event import TURN_ENDED, EventType

if TYPE_CHECKING:
    from iskra_chaos.parts import ChaosParts

__all__ = ["ChaosSettings", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return ChaosSettings


@hookimpl
@asynccontextmanager
async def lifespan(context: PluginContext) -> AsyncIterator[None]:
    """Read what was kept, and watch leases and sessions as long as the plugin runs."""
    import asyncio

    parts = await asyncio.to_thread(_parts_of, context)  # its modules are heavy: none of them is imported before

    from iskra_chaos.processes.verified_facts import FactsFromTools
    from iskra_chaos.watching import start
    from iskra_metrics.service import ServiceHealth, VerifiedFacts

    # A Protocol names the service; mypy takes concrete classes only there.
    context.provide(VerifiedFacts, FactsFromTools(parts.measuring))  # type: ignore[type-abstract]
    context.provide(ServiceHealth, parts.health)  # type: ignore[type-abstract]
    await start(parts)
    try:
        yield
    finally:
        await parts.close()


def _parts_of(context: PluginContext) -> "ChaosParts":
    from iskra_chaos.parts import parts_of

    parts = parts_of(context)
    parts.engine, parts.overview  # noqa: B018  # made now, in a thread
    return parts


@hookimpl
def register_agents(context: PluginContext) -> Iterable[Agent]:
    from iskra_chaos.chat.agent import PerturbationAgent

    return [PerturbationAgent()] if _parts_of(context).settings.creative else []


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    from iskra_chaos.chat.tools import conversation_tools

    parts = _parts_of(context)
    return conversation_tools(lambda: parts.engine) if parts.settings.creative else ()


@hookimpl
def register_approval_rules() -> Iterable[ApprovalRule]:
    """What the agent's tools do concerns the conversation of the one who asks, and can be taken back."""
    return [
        ApprovalRule("own conversation", Verdict.ALLOW, tools=("*perturb*",), agents=("perturbation",)),
    ]


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    return _parts_of(context).interceptors()


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    parts = _parts_of(context)

    async def heard(event: Event) -> None:
        await parts.monitor.hear(str(event.session_id), str(event.data.get("input", "")))

    async def turn_over(event: Event) -> None:
        if event.type != EventType.TURN_CANCELLED:
            parts.health.note_turn(has_failed=event.type == EventType.TURN_FAILED)
        await parts.turn_over(str(event.session_id), str(event.turn_id))

    async def forget(event: Event) -> None:
        await parts.forget(str(event.session_id))

    async def breaker(event: Event) -> None:
        parts.health.note_breaker(str(event.data.get("target", "")), event.type.removeprefix("breaker."))

    async def voices(event: Event) -> None:
        parts.overview.hear_voices(event.data)

    async def rejected(event: Event) -> None:
        found = event.data.get("data")
        if isinstance(found, dict) and "process_id" in found:
            parts.overview.note_rejection(str(found["process_id"]))

    return [
        EventHandler("voices.*", voices),
        EventHandler("chaos.ethical_concern", rejected),
        EventHandler("breaker.*", breaker),
        EventHandler("turn.started", heard),
        *(EventHandler(event_type, turn_over) for event_type in sorted(TURN_ENDED)),
        EventHandler("session.deleted", forget),
    ]


@hookimpl
def register_permissions() -> Iterable[PermissionSpec]:
    from iskra_chaos.api.access import PERMISSIONS

    return PERMISSIONS


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    from iskra_chaos.api.mounts import routes

    return routes(_parts_of(context))


@hookimpl
def register_commands() -> Iterable[Command]:
    from iskra_chaos.commands import chaos

    return (Command("chaos", "Experiments: run FILE, stop, status, unlock, report JOURNAL, list.", chaos),)
