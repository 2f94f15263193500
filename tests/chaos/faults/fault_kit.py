"""A real kernel, or server, with a plugin that lets faults loose. The clock of the faults is turned by hand."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from http_server_settings import BUILT_IN
from iskra.kernel import Kernel
from iskra.settings import AliasSettings, ApprovalSettings, LLMSettings, PluginSettings, RuleSettings, Settings
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.fault import Fault
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.scope import Environment, SessionTraits
from iskra_sdk.approval import Verdict
from iskra_sdk.clock import Clock
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import Caller, LLMAnswer, LLMChunk, LLMRequest
from iskra_sdk.message import Message
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.scripted_model import Reply, ScriptedModel
from plugin_workshop import until
from turn_kit import ALICE

PLUGIN = Path(__file__).with_name("fault_plugin.py")
PERSISTENT = {"name": "persistent"}


@dataclass
class Parts:
    """What the plugin is made of; the test keeps a hand on it.

    Attributes:
        handled: What the plugin's event handler got, in order.
        calls: The tools that ran, with their argument.
        sandbox, sensitive: Sessions that count as such.
    """

    waiting: ClassVar[list["Parts"]] = []

    clock: Clock = field(default_factory=ManualClock)
    environment: Environment = Environment.TEST
    model: ScriptedModel = field(default_factory=ScriptedModel)
    board: FaultBoard | None = None
    context: PluginContext | None = None
    handled: list[Event] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    sandbox: set[str] = field(default_factory=set)
    sensitive: set[str] = field(default_factory=set)
    year: int = 2020
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    """The event handler goes on while it is set."""

    def __post_init__(self) -> None:
        self.is_open.set()

    @property
    def traits(self) -> SessionTraits:
        return SessionTraits(
            is_sensitive=self.sensitive.__contains__,
            is_sandbox=self.sandbox.__contains__,
            labels=lambda session: {"opted in"} if session.endswith("opted") else (),
        )

    @property
    def the_board(self) -> FaultBoard:
        assert self.board is not None
        return self.board

    async def take(self, event: Event) -> None:
        await self.is_open.wait()
        self.handled.append(event)


def settings_with_faults(data_dir: Path, **changes: object) -> Settings:
    """Return settings of a server with the plugin and nothing else."""
    folder = data_dir / "plugins"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(PLUGIN, folder / "fault_probe.py")
    aliases = {
        "default": AliasSettings(targets=("scripted/scripted",)),
        "two": AliasSettings(targets=("scripted/one", "scripted/two")),
    }
    given: dict[str, object] = {
        "data_dir": data_dir,
        "workspace": data_dir,
        "llm": LLMSettings(aliases=aliases, retries=0, breaker_failures=1000),
        "plugins": PluginSettings(disabled=BUILT_IN, drain_deadline=1.0),
        "approvals": ApprovalSettings(
            rules=(RuleSettings(name="all", verdict=Verdict.ALLOW, tools=("*",), even_untrusted=True),)
        ),
        **changes,
    }
    return Settings.model_validate(given)


class FaultKit:
    """Lets faults loose in a running kernel and calls it."""

    def __init__(self, kernel: Kernel, parts: Parts) -> None:
        self.kernel = kernel
        self.parts = parts
        self.session = SessionId("a session of nobody")
        self.owner = ALICE

    @property
    def board(self) -> FaultBoard:
        return self.parts.the_board

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.parts.clock, ManualClock)
        return self.parts.clock

    def is_intercepted(self, point: Point) -> bool:
        slot = self.kernel.points.slot(point)
        return any(chain is not None for chain in (slot.chain, slot.attempt, slot.now))

    async def inject(self, point: Point | str, kind: str, *, strategy: object = None, **given: Any) -> Fault:
        """Let a fault loose and wait until it is in place."""
        wire = {"point": point, "kind": kind, "strategy": strategy or PERSISTENT, "ttl": 60.0, **given}
        fault = self.board.add(FaultSpec.model_validate(wire))
        companion = Point.TOOL_CALL if fault.point is Point.TOOL_RESULT else fault.point
        await until(lambda: self.is_intercepted(fault.point) and self.is_intercepted(companion))
        return fault

    async def until_waiting(self, calls: int = 1) -> None:
        """Wait until so many calls wait inside faults; every active fault sleeps, too, until its lease is over."""
        active = sum(fault.lease.is_active for fault in self.board.faults())
        await self.clock.until_sleeping(active + calls)

    async def reset(self) -> None:
        """End all faults and wait until nothing is intercepted any more."""
        self.parts.is_open.set()
        self.board.clear_all("the test is over")
        self.board.release()
        await until(lambda: not any(self.is_intercepted(point) for point in Point))
        self.parts.sandbox.clear()
        self.parts.sensitive.clear()
        self.parts.handled.clear()
        self.parts.calls.clear()
        self.parts.year = 2020
        self.forget_replies()

    # Calls ---------------------------------------------------------------------------------------------------------

    def request(self, session: str | None = None, model: str = "default") -> LLMRequest:
        caller = Caller("alice", "helper", self.session if session is None else session)
        return LLMRequest((Message.user("hi"),), model=model, caller=caller)

    async def complete(self, reply: Reply, **request: Any) -> LLMAnswer:
        """Ask for a whole answer; the model says ``reply``."""
        self.parts.model.add(reply)
        try:
            return await self.kernel.llm.complete(self.request(**request), self.kernel.plugins.catalog.providers)
        finally:
            self.forget_replies()

    async def stream(
        self, reply: Reply, *, taking: Callable[[LLMChunk], None] = lambda _chunk: None, **request: Any
    ) -> list[LLMChunk]:
        """Ask for a stream; the model says ``reply``, and ``taking`` gets each chunk as it comes."""
        self.parts.model.add(reply)
        chunks = self.kernel.llm.stream(self.request(**request), self.kernel.plugins.catalog.providers)
        try:
            async with aclosing(chunks):  # type: ignore[type-var]  # the router's streams can be closed
                received = []
                async for chunk in chunks:
                    taking(chunk)
                    received.append(chunk)
                return received
        finally:
            self.forget_replies()

    async def kernel_complete(self, reply: str, **request: Any) -> LLMAnswer:
        """Ask for a whole answer beside others; what the model says to whom is not told apart."""
        self.parts.model.add(reply)
        return await self.kernel.llm.complete(self.request(**request), self.kernel.plugins.catalog.providers)

    def forget_replies(self) -> None:
        """Drop what a fault kept the model from saying."""
        self.parts.model._replies.clear()
        self.parts.model._script.clear()

    async def ask(
        self,
        *replies: Reply,
        text: str = "hi",
        session_id: SessionId | None = None,
        agent: str = "helper",
        labels: Sequence[str] = (),
    ) -> list[Event]:
        """Start a turn and return its events."""
        self.parts.model.add(*replies)
        record = await self.kernel.turns.start(
            ALICE, session_id, text, model=f"agent:{agent}", options={"labels": list(labels)}
        )
        events: list[Event] = []
        try:
            async with asyncio.timeout(10):
                async for event in self.kernel.turns.follow(ALICE, record.session_id, after=record.first_seq):
                    events.append(event)
                    if event.turn_id == record.id and event.type.startswith("turn.") and event.type != "turn.started":
                        return events
        finally:
            self.forget_replies()
        raise AssertionError("the turn did not end")

    async def new_session(self) -> SessionId:
        """Return a session that had one turn."""
        events = await self.ask("hello")
        assert events[-1].session_id is not None
        return events[-1].session_id

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish events as another plugin would."""
        for event in events:
            await self.kernel.bus.publish(event)

    async def applied(self, fault: Fault, count: int) -> None:
        """Wait until a fault has hit so many calls."""
        await until(lambda: fault.lease.applied >= count)

    async def handled(self, count: int) -> list[Event]:
        """Wait until the handler has got so many events, and return them."""
        await until(lambda: len(self.parts.handled) >= count)
        return self.parts.handled


def counters(fault: Fault) -> tuple[int, int, int]:
    """Return what a fault was asked, what it chose and what was seen."""
    return fault.lease.requested, fault.lease.applied, fault.lease.observed


@asynccontextmanager
async def fault_kit(data_dir: Path, parts: Parts | None = None, **changes: object) -> AsyncIterator[FaultKit]:
    """Open a kernel with the plugin."""
    parts = parts or Parts()
    Parts.waiting.append(parts)
    async with Kernel.open(settings_with_faults(data_dir, **changes)) as kernel:
        Parts.waiting.remove(parts)
        assert parts.board is not None, kernel.plugins.get("fault_probe")
        yield FaultKit(kernel, parts)
