"""The composition root: builds the kernel's parts, starts them in order, stops them in reverse."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from iskra.approvals import ApprovalPolicy, ApprovalService
from iskra.event_bus import InProcessEventBus
from iskra.intercepted_clock import InterceptedClock
from iskra.interceptors import Points
from iskra.llm.router import LLMRouter
from iskra.plugin_host import Facilities, PluginHost
from iskra.plugin_host.catalog import Catalog
from iskra.session_log import SessionLogs
from iskra.session_store import open_store
from iskra.settings import Settings
from iskra.turns.context_strategy import RecentMessages
from iskra.turns.tool_choice import ToolChoice
from iskra.turns.turn_runner import TurnRunner
from iskra.turns.turn_services import TurnServices
from iskra.usage_meter import UsageMeter
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.context_strategy import ContextBudget, ContextStrategy
from iskra_sdk.interceptor import Point
from iskra_sdk.session_store import SessionStore
from iskra_sdk.tool import Tool

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kernel:
    """The running parts of a server, without its HTTP layer."""

    settings: Settings
    clock: Clock
    store: SessionStore
    bus: InProcessEventBus
    points: Points
    plugins: PluginHost
    llm: LLMRouter
    approvals: ApprovalService
    turns: TurnRunner
    logs: SessionLogs
    usage: UsageMeter

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, clock: Clock | None = None) -> AsyncIterator["Kernel"]:
        """Start a kernel: store, plugins, then the turns that an earlier run left unfinished.

        On exit, turns get ``settings.shutdown_grace`` seconds; what still runs then goes on at the next start.

        Raises:
            ConfigurationError: The settings, the data directory or the database cannot be used.
        """
        points = Points()
        clock = InterceptedClock(clock or SystemClock(), points.slot(Point.CLOCK))
        async with AsyncExitStack() as stack:
            url = settings.database_url.get_secret_value() if settings.database_url is not None else None
            store = await open_store(data_dir=settings.data_dir, database_url=url, points=points)
            stack.push_async_callback(store.close)
            bus = InProcessEventBus(points)
            stack.push_async_callback(bus.aclose)
            usage = UsageMeter(store, clock, settings.limits)
            await usage.load()
            stack.push_async_callback(usage.write)
            logs = SessionLogs(store, bus, clock)
            stack.push_async_callback(logs.close)
            llm = LLMRouter(
                settings.llm,
                settings.aliases,
                clock=clock,
                bus=bus,
                points=points,
                record_usage=usage.record,
                admit=usage.admit,
            )
            facilities = Facilities()
            plugins = PluginHost(settings, store=store, bus=bus, points=points, clock=clock, facilities=facilities)
            bus.on_failure = plugins.record_failure
            approvals = ApprovalService(store, logs, clock, find_tool=lambda name: _find_tool(plugins.catalog, name))
            services = TurnServices(
                store=store,
                logs=logs,
                llm=llm,
                approvals=approvals,
                policy=ApprovalPolicy(settings.approvals, plugins.record_failure),
                clock=clock,
                tool_call=points.slot(Point.TOOL_CALL),
                tool_result=points.slot(Point.TOOL_RESULT),
                turn=points.slot(Point.TURN),
                context_budget=ContextBudget(settings.limits.context_tokens),
                choose_context_strategy=_strategy_chooser(settings.context_strategy),
                choose_tools=ToolChoice().tools_of,
                record_failure=plugins.record_failure,
                limits=settings.limits,
            )
            turns = TurnRunner(services, plugins.lease, frozenset(settings.aliases), settings.limits)
            facilities.llm = llm
            facilities.turns = turns
            facilities.logs = logs
            facilities.approvals = approvals
            facilities.park = turns.park
            await plugins.start()
            stack.push_async_callback(plugins.aclose)
            await stack.enter_async_context(_background(approvals.watch_deadlines, usage.run))
            recovered = await turns.recover()
            if recovered:
                logger.info("going on with unfinished turns", extra={"turns": recovered})
            stack.callback(logs.stop)
            stack.push_async_callback(turns.close, settings.shutdown_grace)
            yield cls(settings, clock, store, bus, points, plugins, llm, approvals, turns, logs, usage)


def _find_tool(catalog: Catalog, name: str) -> Tool | None:
    owned = catalog.tools.get(name)
    return None if owned is None else owned.value


def _strategy_chooser(name: str) -> Callable[[Catalog], tuple[ContextStrategy, str]]:
    recent = RecentMessages()

    def choose(catalog: Catalog) -> tuple[ContextStrategy, str]:
        owned = catalog.context_strategies.get(name)
        return (recent, "") if owned is None else (owned.value, owned.plugin)

    return choose


@asynccontextmanager
async def _background(*jobs: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run jobs until the block is left."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job()) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
