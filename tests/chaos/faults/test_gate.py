"""What holds for every kind at every point."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chaos.faults.fault_kit import PERSISTENT
from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra_chaos.faults.attribution import remember_call
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.fault import Fault
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.scope import Environment, SessionTraits
from iskra_chaos.faults.vocabulary import VOCABULARY
from iskra_sdk.errors import StoreUnavailableError, ToolTimeoutError
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import LLMAnswer, LLMChunk, LLMRequest, ToolCallDelta
from iskra_sdk.message import Message, ToolCall, ToolResult
from iskra_sdk.session_store import PutPluginValue
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.tool import ToolContext, ToolInvocation, tool

EVERYTHING = [
    (point, kind) for point, kinds in VOCABULARY.items() if point is not Point.CLOCK for kind in sorted(kinds)
]


@tool(risk="read")
async def look() -> str:
    """Look."""
    return "seen"


INVOCATION = ToolInvocation(look, {}, ToolContext())
PAYLOADS: dict[Point, object] = {
    Point.LLM_REQUEST: LLMRequest((Message.user("hi"),)),
    Point.LLM_STREAM: LLMRequest((Message.user("hi"),)),
    Point.TOOL_CALL: INVOCATION,
    Point.TOOL_RESULT: ToolResult("seen"),
    Point.BUS_PUBLISH: Event("probe.event"),
    Point.BUS_DELIVER: Event("probe.event"),
    Point.STORE_READ: "messages",
    Point.STORE_WRITE: [PutPluginValue("p", "k", 1)],
    Point.CACHE_GET: "key",
    Point.WS_SEND: b'{"type": "pong"}',
}


async def _nothing(_payload: object) -> None:
    """Run no tool."""


class Bench:
    """A chain of the kernel with nothing but faults in it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.points = Points()
        self.calls: list[object] = []
        self.result: object = object()
        self.jobs: set[asyncio.Task[None]] = set()
        self.board = FaultBoard(
            self.clock,
            start=lambda job: self.jobs.add(asyncio.create_task(job())),
            traits=SessionTraits(is_sandbox=lambda _session: True),
            environment=Environment.TEST,
        )

    async def real(self, payload: object) -> object:
        self.calls.append(payload)
        return self.result

    def add(self, point: Point, kind: str, strategy: Any = PERSISTENT, **given: Any) -> Fault:
        spec = {"point": point, "kind": kind, "strategy": strategy, "experiment": "e", **given}
        fault = self.board.add(FaultSpec.model_validate(spec))
        self.points.rebuild([Owned(interceptor, "chaos", 1) for interceptor in self.board.interceptors()])
        return fault

    async def call(self, point: Point) -> object:
        slot = self.points.slot(point)
        chain = slot.attempt or slot.chain
        assert chain is not None
        if point is Point.TOOL_RESULT:
            await remember_call(INVOCATION, _nothing)
        return await chain(PAYLOADS[point], self.real)

    async def close(self) -> None:
        await self.board.close()
        await asyncio.gather(*self.jobs)


@pytest.mark.parametrize(("point", "kind"), EVERYTHING)
async def test_a_call_that_is_not_hit_passes_untouched(point: Point, kind: str) -> None:
    bench = Bench()
    fault = bench.add(point, kind, {"name": "persistent", "probability": 0.0})
    for _ in range(3):
        assert await bench.call(point) is bench.result or point is Point.BUS_DELIVER
    assert [payload is PAYLOADS[point] for payload in bench.calls] == [True] * 3
    assert (fault.lease.requested, fault.lease.applied, fault.lease.observed) == (3, 0, 0)
    assert bench.clock.sleepers <= 1, "nothing waits but the end of the lease"
    await bench.close()


@pytest.mark.parametrize("end", ["clear", "kill", "expire"])
@pytest.mark.parametrize(("point", "kind"), EVERYTHING)
async def test_an_ended_fault_leaves_calls_alone_in_its_old_chain(point: Point, kind: str, end: str) -> None:
    bench = Bench()
    fault = bench.add(point, kind)
    if end == "clear":
        bench.board.clear(fault.id)
    elif end == "kill":
        bench.board.clear_all()
    else:
        bench.clock.advance(10.0)
    assert await bench.call(point) is bench.result or point is Point.BUS_DELIVER
    assert bench.calls[0] is PAYLOADS[point]
    assert (fault.lease.requested, fault.lease.applied, fault.lease.observed) == (0, 0, 0)
    await bench.close()


async def test_faults_of_one_experiment_are_passed_one_after_the_other() -> None:
    """The first that was added is outermost; what it keeps from the next, the next does not count."""
    bench = Bench()
    bench.result = ToolResult("a long result")
    first = bench.add(Point.TOOL_CALL, "error", {"name": "nth", "nth": 2})
    second = bench.add(Point.TOOL_CALL, "empty")
    outcomes = []
    for _ in range(3):
        try:
            result = await bench.call(Point.TOOL_CALL)
            assert isinstance(result, ToolResult)
            outcomes.append(result.content)
        except Exception as exc:
            outcomes.append(type(exc).__name__)
    assert outcomes == ["", "ToolError", ""]
    assert (first.lease.requested, first.lease.applied) == (3, 1)
    assert (second.lease.requested, second.lease.applied) == (2, 2)
    await bench.close()


async def test_streams_are_closed_from_the_outside_in() -> None:
    bench = Bench()
    closed: list[str] = []

    async def upstream() -> Any:
        try:
            while True:
                yield LLMChunk(text="word ")
        finally:
            closed.append("upstream")

    bench.result = upstream()
    bench.add(Point.LLM_STREAM, "slicer")
    bench.add(Point.LLM_STREAM, "truncated")
    stream: Any = await bench.call(Point.LLM_STREAM)
    assert (await anext(stream)).text
    await stream.aclose()
    assert closed == ["upstream"]
    await bench.close()


async def test_a_wrong_clock_is_right_again_in_its_old_chain() -> None:
    bench = Bench()
    fault = bench.add(Point.CLOCK, "skew")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    around = bench.points.slot(Point.CLOCK).now
    assert around is not None
    assert around(now, lambda told: told) != now
    bench.board.clear(fault.id)
    assert around(now, lambda told: told) == now
    await bench.close()


async def test_whose_call_it_is_is_remembered_for_what_the_call_reads() -> None:
    bench = Bench()
    fault = bench.add(Point.STORE_READ, "locked", scope={"sessions": ["mine"]})
    chain = bench.points.slot(Point.STORE_READ).chain
    around = bench.points.slot(Point.TOOL_CALL).chain
    assert chain is not None
    assert around is not None

    async def read(_invocation: object) -> object:
        return await chain("messages", bench.real)

    for session in ("theirs", "mine"):
        invocation = ToolInvocation(look, {}, ToolContext(session_id=SessionId(session)))
        if session == "mine":
            with pytest.raises(StoreUnavailableError):
                await around(invocation, read)
        else:
            await asyncio.create_task(around(invocation, read))  # type: ignore[arg-type]  # a coroutine
    assert (fault.lease.requested, fault.lease.observed) == (1, 1)
    await bench.close()


async def test_an_altered_answer_does_not_carry_what_the_upstream_sent() -> None:
    bench = Bench()
    call = ToolCall("c1", "look", '{"path": "a"}')
    healthy = LLMAnswer(Message.assistant("text", [call]), wire={"choices": ["as it was sent"]})
    bench.result = healthy
    fault = bench.add(Point.LLM_REQUEST, "missing_field")
    answer = await bench.call(Point.LLM_REQUEST)
    assert isinstance(answer, LLMAnswer)
    assert (answer.message.tool_calls[0].arguments, answer.wire) == ("{}", None)
    bench.board.clear(fault.id)
    assert await bench.call(Point.LLM_REQUEST) is healthy
    await bench.close()


async def test_an_altered_chunk_does_not_carry_what_the_upstream_sent() -> None:
    bench = Bench()
    wire: dict[str, Any] = {"choices": ["as it was sent"]}

    async def upstream() -> Any:
        yield LLMChunk(text="text", wire=wire)
        yield LLMChunk(tool_calls=(ToolCallDelta(0, "c1", "look", '{"path": "a"}'),), wire=wire)
        yield LLMChunk(finish_reason="tool_calls", wire=wire)

    bench.result = upstream()
    bench.add(Point.LLM_STREAM, "missing_field")
    stream: Any = await bench.call(Point.LLM_STREAM)
    assert [chunk.wire for chunk in [chunk async for chunk in stream]] == [wire, None, None]
    await bench.close()


@pytest.mark.parametrize("kind", ["empty", "limit_data", "hidden_instructions"])
async def test_a_result_that_tells_of_a_failure_stays_as_it_is(kind: str) -> None:
    bench = Bench()
    bench.result = ToolResult("It failed.", is_error=True)
    fault = bench.add(Point.TOOL_CALL, kind, parameters={"bytes": 2} if kind == "limit_data" else {})
    assert await bench.call(Point.TOOL_CALL) is bench.result
    assert (fault.lease.applied, fault.lease.observed) == (1, 0)
    await bench.close()


async def test_a_tool_that_would_be_too_late_is_not_begun() -> None:
    bench = Bench()
    bench.add(Point.TOOL_CALL, "latency", parameters={"latency": 9000}, ttl=60.0)
    chain = bench.points.slot(Point.TOOL_CALL).chain
    assert chain is not None
    invocation = ToolInvocation(replace(look, timeout=2.0), {}, ToolContext())
    calling = asyncio.ensure_future(chain(invocation, bench.real))
    await bench.clock.until_sleeping(2)
    bench.clock.advance(2.0)
    with pytest.raises(ToolTimeoutError):
        await calling
    assert bench.calls == []
    await bench.close()


async def test_a_delay_that_cannot_be_measured_is_not_observed() -> None:
    bench = Bench()
    fault = bench.add(Point.CACHE_GET, "latency", parameters={"latency": 0.5})
    calling = asyncio.ensure_future(bench.call(Point.CACHE_GET))
    await bench.clock.until_sleeping(2)
    bench.clock.advance(0.0005)
    assert await calling is bench.result
    assert (fault.lease.applied, fault.lease.observed) == (1, 0)
    await bench.close()
