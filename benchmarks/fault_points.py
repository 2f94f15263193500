"""Measures what fault points cost: one that nobody uses, and one with a fault that never hits.

Run: ``python benchmarks/run.py fault_points``. The same is done with and without the point, in turn, and the difference
of the best runs is shown.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from iskra.interceptors import Points, Slot
from iskra.plugin_host.catalog import Owned
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.scope import Environment
from iskra_sdk.clock import SystemClock
from iskra_sdk.interceptor import Point
from iskra_sdk.llm import Caller, LLMRequest
from iskra_sdk.message import Message
from table import Row

CALLS = 50_000
REQUEST = LLMRequest((Message.user("hi"),), caller=Caller("me", "helper", "a session"))
_KINDS = {Point.LLM_REQUEST: "latency", Point.STORE_READ: "slow"}
_PAYLOADS: dict[Point, object] = {Point.LLM_REQUEST: REQUEST, Point.STORE_READ: "messages"}


async def _real(payload: object) -> object:
    return payload


async def _plain(payload: object) -> None:
    for _ in range(CALLS):
        await _real(payload)


async def _through_chain(slot: Slot, payload: object) -> None:
    """Call the real thing as the kernel's consumers do where somebody intercepts."""
    chain = slot.chain
    assert chain is not None
    for _ in range(CALLS):
        await chain(payload, _real)


async def _nothing(slot: Slot) -> None:
    for _ in range(CALLS):
        pass


async def _look(slot: Slot) -> None:
    """Do what a consumer does where nobody intercepts, and nothing else."""
    for _ in range(CALLS):
        chain = slot.chain
        if chain is None:
            pass


async def run(runs: int) -> list[Row]:
    """Measure and return the rows."""
    unused = Points().slot(Point.STORE_READ)
    looking = await _added(lambda: _look(unused), lambda: _nothing(unused), runs)
    rows = [Row("", "disabled point, added to a call", looking, None, "µs", 1.0, 0.1)]
    for point, kind in _KINDS.items():
        added = await _with_idle_fault_added(point, kind, runs)
        rows.append(Row("", f"fault at {point} that never hits, added to a call", added, None, "µs", 25.0, 5.0))
    return rows


async def _with_idle_fault_added(point: Point, kind: str, runs: int) -> float:
    payload, slot = _PAYLOADS[point], _with_idle_fault(point, kind)
    return await _added(lambda: _through_chain(slot, payload), lambda: _plain(payload), runs)


def _with_idle_fault(point: Point, kind: str) -> Slot:
    """Return a slot whose chain holds a fault of probability 0."""
    board = FaultBoard(SystemClock(), start=lambda _job: None, environment=Environment.TEST)
    strategy = {"name": "intermittent", "probability": 0.0}
    board.add(FaultSpec.model_validate({"point": point, "kind": kind, "strategy": strategy, "ttl": 600.0}))
    points = Points()
    points.rebuild([Owned(interceptor, "chaos", 1) for interceptor in board.interceptors()])
    slot = points.slot(point)
    slot.chain = slot.chain or slot.attempt
    return slot


async def _added(through: Callable[[], Awaitable[Any]], plain: Callable[[], Awaitable[Any]], runs: int) -> float:
    """Return the microseconds that a point adds to a call."""
    with_point, without = [], []
    for _ in range(max(runs, 3)):
        with_point.append(await _seconds(through))
        without.append(await _seconds(plain))
    return (min(with_point) - min(without)) / CALLS * 1e6


async def _seconds(work: Callable[[], Awaitable[Any]]) -> float:
    await asyncio.sleep(0)
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin
