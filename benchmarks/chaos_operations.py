"""Measures the life of chaos operations on a running server, with a model that takes no time.

Run: ``python benchmarks/run.py chaos_operations``. "Applied" means that the start has returned: the operation is
written down, reviewed, and its interceptors stand before the next model call. The agent that goes in circles is a
scripted one that repeats whatever it is told, beside one that polls and one that works through other arguments.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.processes.blocking import Blocking
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import Tool, ToolContext, ToolInvocation, tool
from servers import TOKEN, Running, build, iskra, upstream
from table import Row

STARTS = 100
"""Operations of one run, each in a session of its own with two turns."""
LANES = 8
CROWD = 1000
"""Sessions with an operation in force when everything is stopped."""
CALLS = 63
"""Equal calls that the agent would make."""


async def run(runs: int) -> list[Row]:
    """Return the rows."""
    refused, false_blocks = await _circling()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with upstream(build(folder)) as up, iskra(folder / "served", up.url, model=None) as server:
            rows = await _measured(server, runs)
    return [
        *rows,
        Row("", f"{CALLS} equal tool calls: the first that is refused", refused[0], None, "call", 4, 4),
        Row("", "the same: calls that reached the tool", CALLS - len(refused), None, "calls", 9, 7),
        Row("", "false blocks of polling and other arguments", false_blocks, None, "calls", 0, 0),
    ]


async def _measured(server: Running, runs: int) -> list[Row]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as http:
        await _one_by_one(http, 5)  # warm
        starts = [seconds for _ in range(runs) for seconds in await _one_by_one(http, STARTS)]
        rates = [await _side_by_side(http) for _ in range(runs)]
        stops = [await _stopped(http) for _ in range(runs)]
    return [
        Row("", "operation: start to applied, p95", 1000 * _p95(starts), None, "ms", 120, 60),
        Row(
            "", "operations started and taken back, 8 lanes", statistics.median(rates), None, "1/min", 200, 2000, "more"
        ),
        Row("", f"emergency stop of {CROWD} sessions, answered", 1000 * max(stops), None, "ms", 100, 50),
    ]


async def _one_by_one(http: aiohttp.ClientSession, count: int) -> list[float]:
    sessions = [await _session(http, turns=2) for _ in range(count)]
    found = []
    for session in sessions:
        began = time.perf_counter()
        await _start(http, session)
        found.append(time.perf_counter() - began)
    return found


async def _side_by_side(http: aiohttp.ClientSession) -> float:
    """Return operations per minute that are started, seen and taken back."""
    sessions = [await _session(http, turns=2) for _ in range(STARTS)]

    async def lane(number: int) -> None:
        for session in sessions[number::LANES]:
            started = await _start(http, session)
            await _asked(http, "GET", started["status_endpoint"])
            await _asked(http, "POST", started["revert_endpoint"])

    began = time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(LANES)))
    return 60 * STARTS / (time.perf_counter() - began)


async def _stopped(http: aiohttp.ClientSession) -> float:
    """Return the seconds that an emergency stop takes to answer; nothing acts any more when it does."""
    await _asked(
        http, "POST", "/api/v1/control/emergency_stop", {"stop_scope": "all", "stabilization_mode": "immediate"}
    )
    await _asked(http, "POST", "/api/v1/control/release")

    async def lane(number: int) -> None:
        for _ in range(number, CROWD, LANES):
            await _start(http, await _session(http, turns=0))

    await asyncio.gather(*(lane(number) for number in range(LANES)))
    body = {"stop_scope": "all", "stabilization_mode": "immediate"}
    began = time.perf_counter()
    stopped = await _asked(http, "POST", "/api/v1/control/emergency_stop", body)
    took = time.perf_counter() - began
    left = await _asked(http, "GET", "/api/v1/chaos/status")
    if (stopped["stopped_count"], left["active_count"]) != (CROWD, 0):
        raise RuntimeError(f"{stopped['stopped_count']} were stopped and {left['active_count']} are left")
    await _asked(http, "POST", "/api/v1/control/release")
    return took


async def _session(http: aiohttp.ClientSession, *, turns: int) -> str:
    if not turns:
        made: str = (await _asked(http, "POST", "/api/v1/sessions", {}))["id"]
        return made
    session = ""
    for number in range(turns):
        text = f"What about part {number} of the fair?"
        body = {"model": "agent:ask", "messages": [{"role": "user", "content": text}]}
        headers = {"X-Iskra-Session": session} if session else {}
        async with http.post("/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"a turn failed: {await answer.text()}")
            session = answer.headers["x-iskra-session"]
            await answer.read()
    return session


async def _start(http: aiohttp.ClientSession, session: str) -> dict[str, Any]:
    body = {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"session_id": session}}
    started = await _asked(http, "POST", "/api/v1/chaos/trigger", body)
    if started["process"]["status"] != "active":
        raise RuntimeError(f"an operation is not applied: {started}")
    return started


async def _asked(
    http: aiohttp.ClientSession, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    async with http.request(method, path, json=body) as answer:
        if answer.status >= 400:
            raise RuntimeError(f"{path} failed: {await answer.text()}")
        found: dict[str, Any] = await answer.json()
        return found


async def _circling() -> tuple[list[int], int]:
    """Return which equal calls are refused, counted from 1, and how many others are, which none should be."""
    looked = 0

    @tool(risk="read")
    async def look(where: str) -> str:
        """Look.

        Args:
            where: Where.
        """
        nonlocal looked
        looked += 1
        return f"step {looked}" if where == "a job" else "nothing new"

    equal = await _called(look, ["the same"] * CALLS)
    polling = await _called(look, ["a job"] * CALLS)
    distinct = await _called(look, [f"place {number}" for number in range(CALLS)])
    return equal, len(polling) + len(distinct)


async def _called(target: Tool, places: Sequence[str]) -> list[int]:
    process = ChaosProcess(
        id="chaos_bench",
        type="pattern_break",
        intensity=0.5,
        status=ProcessStatus.ACTIVE,
        start_time=datetime.now(UTC),
    )
    session = PerturbedSession(process, Perturbation(turns=2, blocked_calls=3), Conversation(()), turns_left=2)
    blocking = Blocking(lambda _session: session, lambda _session, _tool: None)

    async def proceed(invocation: ToolInvocation) -> ToolResult:
        return await invocation.tool.run(invocation.tool.validate(dict(invocation.arguments)), invocation.context)

    context = ToolContext(session_id=SessionId("s"), turn_id=TurnId("t"))
    refused = []
    for number, place in enumerate(places, 1):
        result = await blocking.around(ToolInvocation(target, {"where": place}, context), proceed)
        if result.is_error:
            refused.append(number)
    return refused


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
