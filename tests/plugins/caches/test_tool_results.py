import asyncio
import gc
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.cache import Cache
from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Principal, Tool, ToolContext, ToolResult, tool
from iskra_sdk.clock import Clock
from iskra_sdk.ids import SessionId
from iskra_sdk.testing import ManualClock
from iskra_sdk.tool import ToolInvocation
from plugins.caches.shelf import Shelf


class Desk:
    """Tools on a folder, with a cache in front of them."""

    def __init__(self, folder: Path, cache: Cache[ToolResult], clock: Clock) -> None:
        self.folder = folder
        self.resources = Resources(folder, clock)
        self.results = ToolResults(cache, self.resources)
        self.ran: list[str] = []
        ran = self.ran

        @tool(risk="read", reads=("file:{path}",))
        async def read(path: str) -> str:
            ran.append(f"read {path}")
            return (folder / path).read_text()

        @tool(risk="read", reads=("file:{path}",))
        async def count(path: str) -> str:
            ran.append(f"count {path}")
            return str(sum(1 for _ in (folder / path).rglob("*")))

        @tool(risk="write", writes=("file:{path}",))
        async def write(path: str, fails: bool = False) -> str:
            ran.append(f"write {path}")
            if fails:
                raise RuntimeError("half done")
            return "written"

        @tool(risk="execute")
        async def execute() -> str:
            return "done"

        @tool(risk="read")
        async def look() -> str:
            ran.append("look")
            return "seen"

        self.tools: dict[str, Tool] = {each.name: each for each in (read, count, write, execute, look)}

    async def call(self, name: str, *, user: str = "anna", session: str = "s", **arguments: Any) -> str:
        chosen = self.tools[name]
        context = ToolContext(principal=Principal(user), session_id=SessionId(session))

        async def proceed(invocation: ToolInvocation) -> ToolResult:
            return await invocation.tool.run(invocation.arguments, invocation.context)

        invocation = ToolInvocation(chosen, chosen.validate(arguments), context)
        return (await self.results.around(invocation, proceed)).content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "a.md").write_text("one")
    (tmp_path / "b.md").write_text("two")
    return tmp_path


@pytest.fixture(params=["old files", "files that were just written"])
def desk(shelf: Shelf, folder: Path, request: pytest.FixtureRequest) -> Desk:
    clock = shelf.clock if request.param == "old files" else ManualClock(datetime.now(UTC) + timedelta(seconds=1))
    return Desk(folder, shelf.cache(ToolResult), clock)


async def test_what_was_read_is_not_read_again(desk: Desk) -> None:
    assert [await desk.call("read", path="docs/a.md") for _ in range(3)] == ["one"] * 3
    assert desk.ran == ["read docs/a.md"]
    assert desk.results.cache.hits == 2


async def test_a_change_on_disk_counts_whoever_made_it(desk: Desk) -> None:
    await desk.call("read", path="docs/a.md")
    (desk.folder / "docs" / "a.md").write_text("new")  # of the same length
    assert await desk.call("read", path="docs/a.md") == "new"
    assert await desk.call("count", path=".") == "4"
    (desk.folder / "docs" / "deep" / "c.md").write_text("three")
    assert await desk.call("count", path=".") == "5"
    (desk.folder / "docs" / "a.md").unlink()
    with pytest.raises(FileNotFoundError):
        await desk.call("read", path="docs/a.md")


@pytest.mark.parametrize(("age", "reads"), [(0.001, 2), (0.1, 1), (-60.0, 1)])
async def test_what_a_second_change_in_the_same_tick_would_not_show_is_not_kept(
    shelf: Shelf, folder: Path, age: float, reads: int
) -> None:
    changed = (folder / "b.md").stat().st_ctime
    desk = Desk(folder, shelf.cache(ToolResult), ManualClock(datetime.fromtimestamp(changed + age, UTC)))
    for _ in range(2):
        await desk.call("read", path="b.md")
    assert desk.ran == ["read b.md"] * reads


async def test_whole_seconds_are_a_longer_tick(shelf: Shelf, folder: Path) -> None:
    os.utime(folder / "b.md", (1_800_000_000, 1_800_000_000))
    for age, reads in ((1.0, 2), (3.0, 1)):
        desk = Desk(folder, shelf.cache(ToolResult), ManualClock(datetime.fromtimestamp(1_800_000_000 + age, UTC)))
        for _ in range(2):
            await desk.call("read", path="b.md")
        assert desk.ran == ["read b.md"] * reads


async def test_writes_and_commands_make_results_out_of_date(desk: Desk) -> None:
    await desk.call("read", path="docs/a.md")
    await desk.call("read", path="b.md")
    await desk.call("write", path="docs")
    await desk.call("read", path="docs/a.md")
    await desk.call("read", path="b.md")
    assert desk.ran.count("read docs/a.md") == 2
    assert desk.ran.count("read b.md") == 1
    await desk.call("execute")
    await desk.call("read", path="b.md")
    assert desk.ran.count("read b.md") == 2
    with pytest.raises(RuntimeError):
        await desk.call("write", path="b.md", fails=True)
    await desk.call("read", path="b.md")
    assert desk.ran.count("read b.md") == 3


async def test_a_write_while_it_reads_keeps_the_result_out(desk: Desk) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()

    @tool(risk="read", reads=("file:{path}",))
    async def slow(path: str) -> str:
        text = (desk.folder / path).read_text()
        began.set()
        await goes_on.wait()
        return text

    desk.tools["slow"] = slow
    reading = asyncio.create_task(desk.call("slow", path="b.md"))
    await began.wait()
    (desk.folder / "b.md").write_text("changed")
    goes_on.set()
    assert await reading == "two"
    assert await desk.call("slow", path="b.md") == "changed"


async def test_users_sessions_and_age_count(desk: Desk, shelf: Shelf) -> None:
    await desk.call("read", path="b.md")
    await desk.call("read", path="b.md", user="boris")
    await desk.call("read", path="b.md", session="other")
    assert len(desk.ran) == 3
    await shelf.age(301)
    await desk.call("read", path="b.md")
    assert len(desk.ran) == 4


async def test_what_names_no_resource_and_what_fails_is_not_kept(desk: Desk) -> None:
    for _ in range(2):
        await desk.call("look")
        with pytest.raises(FileNotFoundError):
            await desk.call("read", path="missing")
    assert desk.ran == ["look", "read missing"] * 2


async def test_a_folder_that_is_too_large_to_compare_is_not_kept(desk: Desk) -> None:
    for number in range(2100):
        (desk.folder / f"{number}").touch()
    for _ in range(2):
        await desk.call("count", path=".")
    assert desk.ran == ["count ."] * 2


def test_paths_that_no_file_can_have_are_absent(tmp_path: Path) -> None:
    resources = Resources(tmp_path, ManualClock())
    for path in ("a\0b", "no/such/file"):
        version = resources.version(frozenset({f"file:{path}"}))
        assert version is not None
        assert "absent" in str(version.states)


def test_files_behind_links_count(tmp_path: Path) -> None:
    resources = Resources(tmp_path, ManualClock())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "target")
    (tmp_path / "link").symlink_to("target")
    for key in ("file:link", "file:folder"):
        seen = [resources.version(frozenset({key}))]
        (tmp_path / "target").write_text("one")
        seen.append(resources.version(frozenset({key})))
        (tmp_path / "target").write_text("longer")
        seen.append(resources.version(frozenset({key})))
        (tmp_path / "target").unlink()
        assert None not in seen
        assert len({seen[0], seen[1], seen[2]}) == 3
    (tmp_path / "folder" / "round").symlink_to(tmp_path)
    assert resources.version(frozenset({"file:folder"})) is None


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=2), st.integers(1, 400)), max_size=60))
def test_memory_never_holds_more_than_it_may(puts: list[tuple[str, int]]) -> None:
    async def run() -> None:
        cache: BoundedCache[str] = BoundedCache(ManualClock(), most_bytes=1000, seconds=10)
        for key, size in puts:
            await cache.put(key, key, size)
            assert (await cache.facts())["bytes"] <= 1000
            assert (await cache.get(key) is None) == (size > 100)
        await cache.clear()
        facts = await cache.facts()
        assert facts["bytes"] == facts["values"] == 0

    asyncio.run(run())


async def test_a_result_that_holds_for_one_call_is_not_kept(desk: Desk) -> None:
    (desk.folder / "a.txt").write_text("one")
    read = desk.tools["read"]

    async def proceed(invocation: ToolInvocation) -> ToolResult:
        result = await read.run(invocation.arguments)
        return ToolResult(result.content, metadata={"no_store": True})

    context = ToolContext(Principal("anna"), SessionId("s"))
    for _ in range(2):
        await desk.results.around(ToolInvocation(read, {"path": "a.txt"}, context), proceed)
    assert desk.ran == ["read a.txt", "read a.txt"]


async def test_a_tool_that_was_loaded_anew_is_never_taken_for_one_that_is_gone(tmp_path: Path, shelf: Shelf) -> None:
    results = ToolResults(shelf.cache(ToolResult), Resources(tmp_path, shelf.clock))

    def load(version: int) -> Tool:
        @tool(risk="read", reads=("city:{city}",))
        async def weather(city: str) -> str:
            return f"{city} {version}"

        return weather

    async def proceed(invocation: ToolInvocation) -> ToolResult:
        return await invocation.tool.run(invocation.arguments, invocation.context)

    context = ToolContext(principal=Principal("anna"), session_id=SessionId("s"))
    for version in range(20):  # each takes the place in memory of one before it
        loaded = load(version)
        result = await results.around(ToolInvocation(loaded, {"city": "Paris"}, context), proceed)
        assert result.content == f"Paris {version}"
        del loaded
        gc.collect()
