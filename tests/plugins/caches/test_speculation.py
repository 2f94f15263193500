import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.speculation import Budget, Speculation
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Principal, Tool, ToolContext, ToolResult, tool
from iskra_sdk.ids import SessionId
from iskra_sdk.testing import ManualClock
from iskra_sdk.tool import ToolInvocation


class Desk:
    """Reads and writes with a cache, and something that runs ahead of it."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        self.ran: list[str] = []
        self.jobs: list[asyncio.Task[None]] = []
        clock = ManualClock()
        cache: BoundedCache[ToolResult] = BoundedCache(clock, most_bytes=1_000_000, seconds=300)
        self.results = ToolResults(cache, Resources(folder, clock))
        self.speculation = Speculation(self.results, budget, self._start, lambda: self.tools)
        self.delay = 0.0

        async def run(what: str) -> str:
            self.ran.append(what)
            await asyncio.sleep(self.delay)
            return what

        @tool(risk="read", reads=("page:{name}",))
        async def read(name: str) -> str:
            return await run(f"read {name}")

        @tool(risk="write", writes=("page:{name}",))
        async def write(name: str) -> str:
            return await run(f"write {name}")

        self.tools: dict[str, Tool] = {"read": read, "write": write}

    def _start(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.jobs.append(asyncio.create_task(job()))

    async def call(self, what: str, *, user: str = "anna", session: str = "s") -> str:
        """Make a call as an agent would, and let the model think until nothing runs ahead any more."""
        name, _, page = what.partition(" ")
        chosen = self.tools[name]
        invocation = ToolInvocation(
            chosen,
            chosen.validate({"name": page}),
            ToolContext(principal=Principal(user), session_id=SessionId(session)),
        )

        async def run(given: ToolInvocation) -> ToolResult:
            return await given.tool.run(given.arguments, given.context)

        async def cached(given: ToolInvocation) -> ToolResult:
            return await self.results.around(given, run)

        result = await self.speculation.around(invocation, cached)
        if self.jobs:
            await asyncio.wait(self.jobs)
        return result.content


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Budget(calls=3, seconds=1))


async def walk(desk: Desk, *what: str, session: str, user: str = "anna") -> None:
    for each in what:
        await desk.call(each, session=session, user=user)


async def test_what_followed_twice_is_there_the_third_time(desk: Desk) -> None:
    for session in ("one", "two"):
        await walk(desk, "read a", "read b", "read c", session=session)
    desk.ran.clear()
    await desk.call("read a", session="three")
    assert desk.ran == ["read a", "read b", "read c"]
    assert await desk.call("read b", session="three") == "read b"
    assert await desk.call("read c", session="three") == "read c"
    assert desk.ran == ["read a", "read b", "read c"]
    assert desk.speculation.facts == {"run_ahead": 2, "used": 2, "wasted": 0}


async def test_nothing_with_an_effect_is_ever_run_ahead(desk: Desk) -> None:
    for session in ("one", "two", "three"):
        await walk(desk, "read a", "write b", "read c", session=session)
    desk.ran.clear()
    await desk.call("read a", session="four")
    assert "write b" not in desk.ran


async def test_what_somebody_was_asked_about_and_others_habits_do_not_count(desk: Desk) -> None:
    for session in ("one", "two"):
        await walk(desk, "read a", "read b", session=session)
    desk.ran.clear()
    await desk.call("read a", session="three", user="boris")
    assert desk.ran == ["read a"]
    desk.speculation.somebody_was_asked("read")
    await desk.call("read a", session="four")
    assert desk.ran == ["read a", "read a"]


async def test_unsteady_habits_are_not_followed(desk: Desk) -> None:
    for number, follower in enumerate("bcdbcd"):
        await walk(desk, "read a", f"read {follower}", session=str(number))
    desk.ran.clear()
    await desk.call("read a", session="last")
    assert desk.ran == ["read a"]


async def test_the_budget_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Budget(calls=2, seconds=0.2))
    for session in ("one", "two"):
        await walk(desk, "read a", "read b", "read c", "read d", session=session)
    desk.ran.clear()
    await desk.call("read a", session="three")
    assert desk.ran == ["read a", "read b", "read c"]
    desk.delay = 5.0
    desk.ran.clear()
    task = asyncio.create_task(desk.call("read b", session="four"))
    async with asyncio.timeout(60):
        await task
    assert len(desk.ran) <= 2  # the first one ahead took all the time there was
