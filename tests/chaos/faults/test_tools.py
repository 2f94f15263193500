"""Faults of tools, seen by the model and the log of a real turn."""

import asyncio
import json
from typing import Any

import pytest

from chaos.faults.fault_kit import FaultKit, counters
from iskra_chaos.faults.fault import INJECTED
from iskra_chaos.faults.vocabulary import VOCABULARY, Family
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Interceptor, Point
from iskra_sdk.message import ToolCall, ToolResult

LIES = sorted(kind.name for kind in VOCABULARY[Point.TOOL_CALL].values() if kind.family is Family.VALUE)
HEALTHY = {"city": "Paris", "population": 1234567, "area": 891, "mayor_name": "Paris Smith", "year": 2020}


def look_up(city: str = "Paris") -> ToolCall:
    return ToolCall("c1", "look_up", json.dumps({"city": city}))


NOTE = ToolCall("c1", "write_note", '{"text": "hello"}')


async def ask(kit: FaultKit, call: ToolCall, session: SessionId | None = None) -> Event:
    """Have a turn make a call; return the event of its result."""
    events = await kit.ask([call], "done", session_id=session)
    assert events[-1].type == "turn.completed", events[-1].data
    return next(event for event in events if event.type in ("tool.completed", "tool.failed"))


def told(kit: FaultKit) -> str:
    """Return what the model was told last."""
    return kit.parts.model.requests[-1].messages[-1].text


async def sandbox(kit: FaultKit) -> SessionId:
    session = await kit.new_session()
    kit.parts.sandbox.add(session)
    return session


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("error", {"message": "No such city."}, "No such city."),
        ("down", {}, "refused the connection"),
        ("reset_peer", {}, "reset the connection"),
    ],
)
@pytest.mark.parametrize("call", [look_up(), NOTE], ids=["read", "write"])
async def test_a_tool_fails_before_it_did_anything(
    kit: FaultKit, call: ToolCall, kind: str, parameters: dict[str, Any], message: str
) -> None:
    fault = await kit.inject(Point.TOOL_CALL, kind, parameters=parameters)
    event = await ask(kit, call)
    assert event.type == "tool.failed"
    assert message in told(kit)
    assert kit.parts.calls == []
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("call", [look_up(), NOTE], ids=["read", "write"])
@pytest.mark.parametrize(
    ("kind", "parameters", "seconds"),
    [("timeout", {}, 60.0), ("timeout", {"timeout": 500}, 0.5), ("timeout", {"timeout": 90_000}, 60.0)],
)
async def test_a_tool_that_times_out_did_nothing(
    kit: FaultKit, call: ToolCall, kind: str, parameters: dict[str, Any], seconds: float
) -> None:
    fault = await kit.inject(Point.TOOL_CALL, kind, parameters=parameters, ttl=600.0)
    asking = asyncio.create_task(ask(kit, call))
    await kit.until_waiting()
    kit.clock.advance(seconds)
    assert (await asking).type == "tool.failed"
    assert told(kit).startswith("Error (tool_timeout)")
    assert kit.parts.calls == []
    assert counters(fault) == (1, 1, 1)


async def test_a_late_tool_runs_after_all(kit: FaultKit) -> None:
    fault = await kit.inject(Point.TOOL_CALL, "latency", parameters={"latency": 4000})
    asking = asyncio.create_task(ask(kit, NOTE))
    await kit.until_waiting()
    assert kit.parts.calls == []
    kit.clock.advance(4)
    assert (await asking).type == "tool.completed"
    assert kit.parts.calls == [("write_note", "hello")]
    assert counters(fault) == (1, 1, 1)


async def test_a_thin_line_delays_a_result(kit: FaultKit) -> None:
    fault = await kit.inject(Point.TOOL_CALL, "bandwidth", parameters={"rate": 0.01})
    asking = asyncio.create_task(ask(kit, look_up()))
    await kit.until_waiting()
    kit.clock.advance(30)
    await asking
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", [Point.TOOL_CALL, Point.TOOL_RESULT])
@pytest.mark.parametrize(
    ("kind", "parameters", "content"), [("limit_data", {"bytes": 9}, '{"city":"'), ("empty", {}, "")]
)
async def test_a_result_comes_in_part(
    kit: FaultKit, point: Point, kind: str, parameters: dict[str, Any], content: str
) -> None:
    fault = await kit.inject(point, kind, parameters=parameters)
    event = await ask(kit, look_up())
    assert event.data["content"] == content
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize("point", [Point.TOOL_CALL, Point.TOOL_RESULT])
@pytest.mark.parametrize("kind", LIES)
async def test_a_tool_lies_in_a_sandbox(kit: FaultKit, point: Point, kind: str) -> None:
    session = await sandbox(kit)
    strategy = {"name": "nth", "nth": 2}
    fault = await kit.inject(point, kind, strategy=strategy, parameters={})
    results: list[ToolResult] = []
    seen = await watch_results(kit, results)
    await ask(kit, look_up("Oslo" if kind == "wrong_entity" else "Paris"), session)
    kit.parts.year = 2021
    await ask(kit, look_up(), session)
    healthy, lie = results
    assert INJECTED not in healthy.metadata
    assert lie.metadata[INJECTED] == {"id": fault.id, "kind": kind}
    assert lie.data != {**HEALTHY, "year": 2021}
    assert json.loads(lie.content) == lie.data
    assert counters(fault) == (2, 1, 1)
    assert len(fault.turns) == 1
    assert fault.knows_all_turns
    await seen()
    if kind == "stale_result":
        assert lie.data == HEALTHY
    if kind == "wrong_entity":
        assert isinstance(lie.data, dict)
        assert lie.data["city"] == "Oslo"
    if kind == "hidden_instructions":
        assert "CANARY" in told(kit)
    kit.board.clear(fault.id)
    assert (list(fault.turns), fault.knows_all_turns) == ([], False), "an ended fault must not claim that it hit nobody"


@pytest.mark.parametrize("point", [Point.TOOL_CALL, Point.TOOL_RESULT])
async def test_two_tools_disagree_about_one_thing(kit: FaultKit, point: Point) -> None:
    session = await sandbox(kit)
    fault = await kit.inject(point, "disagreement", parameters={"fields": 5})
    results: list[ToolResult] = []
    seen = await watch_results(kit, results)
    await ask(kit, look_up(), session)
    await ask(kit, ToolCall("c1", "weigh", '{"city": "paris"}'), session)
    await ask(kit, ToolCall("c1", "weigh", '{"city": "Oslo"}'), session)
    await seen()
    first, second, of_another = results
    assert first.data == HEALTHY
    assert isinstance(second.data, dict)
    assert sorted(str(second.data["population"])) == sorted("1234567")
    assert second.data == {"register": "B", "population": second.data["population"], "is_capital": True}
    assert second.data["population"] != 1234567
    assert second.metadata[INJECTED] == {"id": fault.id, "kind": "disagreement"}
    assert second.metadata["no_store"] is True
    assert of_another.data == {"register": "B", "population": 1234567, "is_capital": True}
    assert INJECTED not in first.metadata
    assert counters(fault) == (3, 3, 1)


async def test_two_calls_of_one_tool_disagree_and_do_so_again_in_a_replay(kit: FaultKit) -> None:
    told_second = []
    for _ in range(2):
        fault = await kit.inject(Point.TOOL_RESULT, "disagreement", seed=7, parameters={"fields": 2})
        session = await sandbox(kit)
        call = ToolCall("c1", "read_sign", '{"where": "north"}')
        await ask(kit, call, session)
        event = await ask(kit, call, session)
        told_second.append(event.data["content"])
        assert counters(fault) == (2, 2, 1)
        kit.board.clear(fault.id)
    assert all(
        text != "Founded in 1234" and sorted(text) == sorted("Founded in 1234") for text in map(str, told_second)
    )


async def test_nobody_contradicts_what_was_said_in_another_session(kit: FaultKit) -> None:
    fault = await kit.inject(Point.TOOL_RESULT, "disagreement")
    for _ in range(2):
        event = await ask(kit, look_up(), await sandbox(kit))
        assert json.loads(str(event.data["content"])) == HEALTHY
    assert counters(fault) == (2, 2, 0)


async def watch_results(kit: FaultKit, results: list[ToolResult]) -> Any:
    """Record results as they leave the chain, from outside of the faults."""
    board = kit.board
    point = Point.TOOL_RESULT
    offered = board.interceptors

    async def around(payload: Any, proceed: Any) -> Any:
        result = await proceed(payload)
        results.append(result)
        return result

    board.interceptors = lambda: [Interceptor(point, around), *offered()]  # type: ignore[method-assign]
    assert kit.parts.context is not None
    await kit.parts.context.refresh()

    async def stop() -> None:
        board.interceptors = offered  # type: ignore[method-assign]
        assert kit.parts.context is not None
        await kit.parts.context.refresh()

    return stop


@pytest.mark.parametrize("point", [Point.TOOL_CALL, Point.TOOL_RESULT])
@pytest.mark.parametrize("kind", LIES)
async def test_no_tool_lies_to_a_person(kit: FaultKit, point: Point, kind: str) -> None:
    fault = await kit.inject(point, kind)
    event = await ask(kit, look_up())
    assert json.loads(str(event.data["content"])) == HEALTHY
    assert counters(fault) == (0, 0, 0)


@pytest.mark.parametrize("point", [Point.TOOL_CALL, Point.TOOL_RESULT])
@pytest.mark.parametrize("kind", [*LIES, "empty", "limit_data"])
async def test_a_result_of_a_call_with_an_effect_is_never_altered(kit: FaultKit, point: Point, kind: str) -> None:
    session = await sandbox(kit)
    parameters = {"bytes": 2} if kind == "limit_data" else {}
    fault = await kit.inject(point, kind, parameters=parameters)
    event = await ask(kit, NOTE, session)
    assert event.data["content"] == "wrote hello"
    assert kit.parts.calls == [("write_note", "hello")]
    assert counters(fault) == (0, 0, 0)


async def test_errors_are_told_as_they_are(kit: FaultKit) -> None:
    fault = await kit.inject(Point.TOOL_RESULT, "empty")
    event = await ask(kit, ToolCall("c1", "look_up", '{"city": 7}'))
    assert event.type == "tool.failed"
    assert counters(fault)[2] == 0


async def test_parallel_calls_of_a_turn_are_hit_by_their_number(kit: FaultKit) -> None:
    fault = await kit.inject(Point.TOOL_CALL, "error", strategy={"name": "burst", "count": 2, "start": 1})
    calls = [ToolCall(f"c{number}", "look_up", json.dumps({"city": str(number)})) for number in range(5)]
    events = await kit.ask(calls, "done")
    failed = [event.data["tool_call_id"] for event in events if event.type == "tool.failed"]
    assert sorted(map(str, failed)) == ["c1", "c2"]
    assert counters(fault) == (5, 2, 2)


async def test_every_kind_leaves_calls_alone_with_probability_0(kit: FaultKit) -> None:
    session = await sandbox(kit)
    for point in (Point.TOOL_CALL, Point.TOOL_RESULT):
        for kind in VOCABULARY[point]:
            fault = await kit.inject(point, kind, strategy={"name": "persistent", "probability": 0.0})
            event = await ask(kit, look_up(), session)
            assert json.loads(str(event.data["content"])) == HEALTHY
            assert counters(fault) == (1, 0, 0)
            kit.board.clear(fault.id)
