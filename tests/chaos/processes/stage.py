"""The plugin with a real store, bus and clock of the test, and sessions whose turns the test plays."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from iskra_sdk.errors import StoreUnavailableError
from iskra_sdk.event import Event
from iskra_sdk.ids import MessageId, SessionId, TurnId
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import AnswerBuilder, Caller, LLMChunk, LLMRequest
from iskra_sdk.message import Message, ToolResult
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    AppendMessage,
    Change,
    CreateSession,
    CreateTurn,
    Session,
    StoredMessage,
    TurnRecord,
    TurnState,
    message_position,
)
from iskra_sdk.testing.harness import PluginHarness
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.testing.scripted_model import Reply, ScriptedModel
from iskra_sdk.tool import Tool, ToolContext, ToolInvocation
from plugin_workshop import until

ALICE = Principal("alice", permissions=frozenset({"chat", "sessions:*", "chaos:intermediate"}))
BOB = Principal("bob", permissions=frozenset({"chat", "sessions:*", "chaos:intermediate"}))

STALE = (
    ("How do I plan a fair?", "As I said, the plan comes first. Make a list of what is needed and who does it."),
    ("And the food?", "As I said, the plan comes first. Make a list of what is needed and who does it."),
    ("And the stage?", "As I said, the plan comes first. Make a list of what is needed and who does it."),
)


class Store(MemoryStore):
    """A store that can be away."""

    is_down = False

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.is_down:
            raise StoreUnavailableError("The store is away.")
        await super().apply(changes)


@dataclass
class Stage:
    """The plugin and what surrounds it."""

    harness: PluginHarness
    parts: Any
    model: ScriptedModel
    clock: ManualClock
    store: Store
    turns: dict[str, int] = field(default_factory=dict)

    async def session(self, session_id: str = "s", *, turns: Sequence[tuple[str, str]] = STALE) -> str:
        """Make a session of Alice's with turns that were held."""
        now = self.clock.now()
        await self.store.apply([CreateSession(Session(SessionId(session_id), ALICE.id, now, now))])
        for asked, answered in turns:
            await self.stored(session_id, asked, answered)
        return session_id

    async def stored(self, session_id: str, asked: str, answered: str) -> str:
        """Store a turn, as the kernel does when it is over, and return its id."""
        number = self.turns[session_id] = self.turns.get(session_id, 0) + 1
        turn, now, owned = TurnId(f"{session_id}-t{number}"), self.clock.now(), SessionId(session_id)
        said = [Message.user(asked), Message.assistant(answered)]
        await self.store.apply(
            [
                CreateTurn(TurnRecord(turn, owned, ALICE.id, number, "m", TurnState.COMPLETED, said[0], now)),
                *(
                    AppendMessage(
                        StoredMessage(MessageId(f"{turn}.{at}"), owned, message_position(number, at), each, now, turn)
                    )
                    for at, each in enumerate(said)
                ),
            ]
        )
        return turn

    async def start(
        self, session_id: str, operation: str, intensity: float = 0.3, *, principal: Principal = ALICE, **wish: Any
    ) -> Any:
        """Start an operation on somebody's account."""
        make = importlib.import_module("iskra_chaos.processes.preparing").Wish
        wish = {"seed": 1, "is_asked_for": True, "accept_modifications": True, **wish}
        return await self.parts.engine.start(principal, session_id, make(operation, intensity, **wish))

    def request(self, session_id: str, asked: str = "Go on.", **more: Any) -> LLMRequest:
        """Return a call for the next answer of a session."""
        turn = f"{session_id}-t{self.turns.get(session_id, 0) + 1}"
        caller = Caller("alice", session_id=session_id, turn_id=turn, is_answer=True)
        return LLMRequest([Message.system("Be useful."), Message.user(asked)], caller=caller, **more)

    async def stream(self, request: LLMRequest) -> list[LLMChunk]:
        """Return the chunks of a model call, through the interceptors that the plugin has in place."""
        around = [each.around for each in self.interceptors(Point.LLM_STREAM)]
        chunks: list[LLMChunk] = []

        async def proceed(changed: LLMRequest) -> AsyncIterator[LLMChunk]:
            return self.model.stream(changed, "scripted")

        stream: Any = around[0](request, proceed) if around else await proceed(request)
        async with aclosing(stream) as pieces:
            async for chunk in pieces:
                chunks.append(chunk)
        return chunks

    def interceptors(self, point: Point) -> list[Any]:
        """Return what the plugin has in place at a point."""
        return [each for each in self.harness.registered("register_interceptors") if each.point is point]

    async def answer(self, request: LLMRequest) -> str:
        """Return the text of an answer."""
        builder = AnswerBuilder()
        for chunk in await self.stream(request):
            builder.add(chunk)
        return builder.build().message.text

    async def turn(self, session_id: str, asked: str = "Go on.") -> str:
        """Play a whole turn: the message is heard, answered, stored, and the turn is over."""
        request = self.request(session_id, asked)
        await self.publish("turn.started", session_id, request.caller.turn_id, input=asked)
        answered = await self.answer(request)
        await self.stored(session_id, asked, answered)
        await self.publish("turn.completed", session_id, request.caller.turn_id)
        return answered

    async def call(self, session_id: str, tool: Tool, turn_id: str = "t", **arguments: object) -> ToolResult:
        """Make a tool call of a turn."""

        async def proceed(invocation: ToolInvocation) -> ToolResult:
            return await invocation.tool.run(invocation.tool.validate(dict(invocation.arguments)), invocation.context)

        context = ToolContext(ALICE, SessionId(session_id), TurnId(turn_id))
        invocation = ToolInvocation(tool, arguments, context)
        around = [each.around for each in self.interceptors(Point.TOOL_CALL)]
        result: ToolResult = await (around[0](invocation, proceed) if around else proceed(invocation))
        return result

    async def publish(self, event_type: str, session_id: str, turn_id: str = "", **data: object) -> None:
        """Have the plugin hear of an event of the kernel."""
        turn = TurnId(turn_id) if turn_id else None
        event = Event(event_type, data, session_id=SessionId(session_id), turn_id=turn, at=self.clock.now())
        await self.harness.publish(event)

    async def records_are_written(self) -> None:
        """Wait for what is written down after the fact."""
        await until(lambda: not any("records" in task.get_name() for task in asyncio.all_tasks()))

    async def kept(self, process_id: str) -> Any:
        """Return a process as it is in the store."""
        return await self.harness.context.state.get(f"process/{process_id}")

    @property
    def told(self) -> list[str]:
        """Types of the plugin's events so far."""
        return [event.type for event in self.harness.bus.published if event.type.startswith("chaos.")]


@asynccontextmanager
async def stage(*replies: Reply, store: Store | None = None, **settings: object) -> AsyncIterator[Stage]:
    """Open a stage."""
    clock, model, kept = ManualClock(), ScriptedModel(*replies), store or Store()
    plugin = importlib.import_module("iskra_chaos")  # as it is loaded now: other tests reload plugins
    async with PluginHarness.open(plugin, model=model, settings=settings, clock=clock, store=kept) as harness:
        parts = importlib.import_module("iskra_chaos.parts").parts_of(harness.context)
        yield Stage(harness, parts, model, clock, kept)
