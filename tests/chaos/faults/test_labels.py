"""A fault that is limited to a label: which calls of a labelled turn it meets, and that others are left alone."""

import json

import pytest

from chaos.faults.fault_kit import FaultKit, counters
from iskra_sdk.interceptor import Point
from iskra_sdk.message import ToolCall

LOOK_UP = ToolCall("c1", "look_up", json.dumps({"city": "Paris"}))
ON_FILE = ToolCall("c1", "look_up", json.dumps({"city": "the city on file"}))


@pytest.mark.parametrize(
    ("point", "kind", "call"),
    [
        (Point.LLM_STREAM, "slow_first_token", None),
        (Point.TOOL_CALL, "error", LOOK_UP),
        (Point.TOOL_RESULT, "empty", LOOK_UP),
        (Point.STORE_READ, "error", ON_FILE),
    ],
)
async def test_every_point_of_a_labelled_turn_is_met_and_none_of_another(
    kit: FaultKit, point: Point, kind: str, call: ToolCall | None
) -> None:
    parameters = {"delay_ms": 0} if point is Point.LLM_STREAM else {}
    replies = ([call], "done") if call is not None else ("done",)
    fault = await kit.inject(point, kind, scope={"label": "trial"}, parameters=parameters)
    await kit.ask(*replies)
    await kit.ask(*replies, labels=["another"])
    assert counters(fault)[:2] == (0, 0)
    await kit.ask(*replies, labels=["another", "trial"])
    assert counters(fault)[1] >= 1


async def test_a_label_of_the_session_counts_as_well(kit: FaultKit) -> None:
    fault = await kit.inject(Point.LLM_REQUEST, "empty", scope={"label": "opted in"})
    await kit.complete("yes", session="one who opted")
    await kit.complete("yes", session="another")
    assert counters(fault) == (1, 1, 1)
