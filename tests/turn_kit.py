"""A kernel without plugin host and HTTP: turns on a real store with a scripted model, for tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from iskra.approvals import ApprovalPolicy, ApprovalService
from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra.llm.router import LLMRouter
from iskra.plugin_host.catalog import Catalog, Owned
from iskra.session_log import SessionLogs
from iskra.settings import AliasSettings, ApprovalSettings, LimitSettings, LLMSettings
from iskra.turns.context_strategy import RecentMessages
from iskra.turns.tool_choice import ToolChoice
from iskra.turns.turn_runner import TurnRunner
from iskra.turns.turn_services import TurnServices
from iskra_sdk.agent import Agent
from iskra_sdk.approval import ApprovalRule
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.context_strategy import ContextBudget
from iskra_sdk.event import TURN_ENDED, Event
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import Caller, Usage
from iskra_sdk.message import ToolCall
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import SessionStore, TurnRecord
from iskra_sdk.testing.scripted_model import ScriptedModel
from iskra_sdk.tool import Tool
from iskra_sdk.voice import Voice

ALICE = Principal("alice", permissions=frozenset({"chat", "sessions:*", "approvals:*"}))
BOB = Principal("bob", permissions=frozenset({"chat", "sessions:*", "approvals:*"}))


def call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    """Return a model's tool call."""
    return ToolCall(call_id, name, arguments)


class Helper(Agent):
    """An agent that may use every tool."""

    name = "helper"
    prompt = "Help."
    tools = ("*",)


@dataclass
class LeaseOf:
    """What the plugin host would hand out."""

    catalog: Catalog


@dataclass
class TurnKit:
    """Turns and everything they need."""

    store: SessionStore
    model: ScriptedModel
    bus: InProcessEventBus
    logs: SessionLogs
    approvals: ApprovalService
    turns: TurnRunner
    points: Points
    catalog: Catalog
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    usage: list[tuple[str, Usage]] = field(default_factory=list)

    async def events_of(self, record: TurnRecord, *, after: int | None = None) -> list[Event]:
        """Return a turn's events up to its end."""
        events = []
        async for event in self.turns.follow(
            ALICE, record.session_id, after=record.first_seq if after is None else after
        ):
            events.append(event)
            if event.type in TURN_ENDED and event.turn_id == record.id:
                return events
        return events

    async def until(self, record: TurnRecord, event_type: str, *, nth: int = 1) -> Event:
        """Wait for the ``nth`` event of a type since a turn began."""
        async with asyncio.timeout(10):
            async for event in self.turns.follow(ALICE, record.session_id, after=record.first_seq):
                nth -= event.type == event_type
                if not nth:
                    return event
        raise AssertionError(f"the log ended before {event_type}")

    async def finish(self, record: TurnRecord) -> list[Event]:
        """Wait for a turn's end and return its events."""
        async with asyncio.timeout(10):
            return await self.events_of(record)

    async def ask(self, text: str, *, session_id: SessionId | None = None, model: str = "agent:helper") -> list[Event]:
        """Start a turn and return its events."""
        return await self.finish(await self.turns.start(ALICE, session_id, text, model=model))

    async def turn_state(self, turn_id: TurnId) -> str:
        """Return a turn's stored state."""
        return (await self.store.turn(ALICE, turn_id)).state


def types(events: Sequence[Event]) -> list[str]:
    """Return the types of events without deltas."""
    return [event.type for event in events if event.type != "message.delta"]


def shown_text(events: Sequence[Event]) -> str:
    """Return the text of all deltas."""
    return "".join(str(event.data.get("text", "")) for event in events if event.type == "message.delta")


@asynccontextmanager
async def turn_kit(
    store: SessionStore,
    *replies: object,
    tools: Sequence[Tool] = (),
    agents: Sequence[Agent] = (),
    voices: Sequence[Voice] = (),
    rules: Sequence[ApprovalRule] = (),
    approval_settings: ApprovalSettings | None = None,
    limits: LimitSettings | None = None,
    clock: Clock | None = None,
    recover: bool = False,
    grace: float = 0.05,
    model: ScriptedModel | None = None,
) -> AsyncIterator[TurnKit]:
    """Run turns on ``store`` with a model that gives ``replies``."""
    clock = clock or SystemClock()
    model = model or ScriptedModel(*replies)  # type: ignore[arg-type]  # replies of any kind the model takes
    points = Points()
    bus = InProcessEventBus(points)
    logs = SessionLogs(store, bus, clock)
    everybody: Mapping[str, Owned[Agent]] = {agent.name: Owned(agent, "tests", 1) for agent in [Helper(), *agents]}
    catalog = Catalog(
        agents=everybody,
        tools={tool.name: Owned(tool, "tests", 1) for tool in tools},
        voices={voice.name: Owned(voice, "tests", 1) for voice in voices},
        providers={model.name: Owned(model, "tests", 1)},
        rules=[Owned(rule, "tests", 1) for rule in rules],
    )
    usage: list[tuple[str, Usage]] = []
    failures: list[tuple[str, BaseException]] = []

    def record_usage(caller: Caller, target: str, used: Usage) -> None:
        usage.append((target, used))

    aliases = {"default": AliasSettings(targets=("scripted/scripted",))}
    router = LLMRouter(LLMSettings(retries=0), aliases, clock=clock, bus=bus, points=points, record_usage=record_usage)
    approval_settings = approval_settings or ApprovalSettings()

    def find_tool(name: str) -> Tool | None:
        return next((tool for tool in tools if tool.name == name), None)

    approvals = ApprovalService(store, logs, clock, find_tool)
    services = TurnServices(
        store=store,
        logs=logs,
        llm=router,
        approvals=approvals,
        policy=ApprovalPolicy(approval_settings),
        clock=clock,
        tool_call=points.slot(Point.TOOL_CALL),
        tool_result=points.slot(Point.TOOL_RESULT),
        turn=points.slot(Point.TURN),
        context_budget=ContextBudget(32_000),
        choose_context_strategy=lambda _catalog: (RecentMessages(), ""),
        choose_tools=ToolChoice().tools_of,
        record_failure=lambda plugin, exc: failures.append((plugin, exc)),
        limits=limits or LimitSettings(),
    )

    @contextmanager
    def lease() -> Iterator[LeaseOf]:
        yield LeaseOf(catalog)

    turns = TurnRunner(services, lease, frozenset(aliases), limits or LimitSettings())
    kit = TurnKit(store, model, bus, logs, approvals, turns, points, catalog, failures, usage)
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(approvals.watch_deadlines())
        try:
            if recover:
                await turns.recover()
            yield kit
        finally:
            logs.stop()
            await turns.close(grace)
            watcher.cancel()
    await bus.aclose()
