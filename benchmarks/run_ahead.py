"""Measures what running reads ahead saves in a scripted session: a model that thinks, and reads that take their time.

Run: ``python benchmarks/run.py run_ahead``. Twenty sessions make the same four reads with a model call before each; the
floor is the same without running ahead.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.speculation import Budget, Speculation
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import ToolContext, ToolResult, tool
from iskra_sdk.clock import SystemClock
from iskra_sdk.ids import SessionId
from iskra_sdk.tool import ToolInvocation
from table import Row

SESSIONS = 20
PAGES = ("plan", "parser", "tests", "changelog")
READ_SECONDS, MODEL_SECONDS = 0.02, 0.03


@tool(risk="read", reads=("page:{name}",))
async def read(name: str) -> str:
    """Read a page that lies far away."""
    await asyncio.sleep(READ_SECONDS)
    return name


async def sessions(*, runs_ahead: bool) -> tuple[float, Speculation]:
    """Return the seconds that all sessions take, and what was run ahead."""
    jobs: set[asyncio.Task[None]] = set()

    def start(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(job())
        jobs.add(task)
        task.add_done_callback(jobs.discard)

    with tempfile.TemporaryDirectory() as folder:
        clock = SystemClock()
        cache: BoundedCache[ToolResult] = BoundedCache(clock, most_bytes=1_000_000, seconds=300)
        results = ToolResults(cache, Resources(Path(folder), clock))
        speculation = Speculation(results, Budget(3, 2.0), start, lambda: {"read": read})

        async def run(invocation: ToolInvocation) -> ToolResult:
            return await invocation.tool.run(invocation.arguments, invocation.context)

        async def cached(invocation: ToolInvocation) -> ToolResult:
            return await results.around(invocation, run)

        began = time.perf_counter()
        for number in range(SESSIONS):
            for page in PAGES:
                await asyncio.sleep(MODEL_SECONDS)
                call = ToolInvocation(read, {"name": page}, ToolContext(session_id=SessionId(str(number))))
                await (speculation.around(call, cached) if runs_ahead else cached(call))
        seconds = time.perf_counter() - began
        await asyncio.gather(*jobs)
        return seconds, speculation


async def run(runs: int) -> list[Row]:
    """Return the rows."""
    floors = [(await sessions(runs_ahead=False))[0] for _ in range(runs)]
    measured = [await sessions(runs_ahead=True) for _ in range(runs)]
    facts = measured[0][1].facts
    return [
        Row("", "scripted sessions", min(seconds for seconds, _ in measured), min(floors), "s", 1.0, 0.8),
        Row("", "reads run ahead and wasted", facts["wasted"], None, "", facts["run_ahead"] / 2, 0),
    ]
