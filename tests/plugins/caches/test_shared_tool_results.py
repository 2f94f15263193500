"""Two servers, or one before and after a restart, use one workspace and one Redis."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Principal, Tool, ToolContext, ToolResult, tool
from iskra_sdk.clock import Clock
from iskra_sdk.ids import SessionId
from iskra_sdk.testing import ManualClock
from iskra_sdk.tool import ToolInvocation
from plugins.caches.redis_server import RedisServer
from plugins.caches.shelf import RedisShelf


class Server:
    """Tools of one server on a folder; ``ran`` lists the reads that were not answered from the cache."""

    def __init__(self, folder: Path, shelf: RedisShelf, clock: Clock | None = None) -> None:
        self.folder = folder
        self.shelf = shelf
        self.resources = Resources(folder, clock or shelf.clock)
        self.results = ToolResults(shelf.cache(ToolResult), self.resources)
        self.ran: list[str] = []
        self.tools: dict[str, Tool] = {each.name: each for each in make_tools(folder)}

    async def call(self, name: str, *, user: str = "anna", session: str = "s", **arguments: Any) -> str:
        chosen = self.tools[name]
        context = ToolContext(principal=Principal(user), session_id=SessionId(session))

        async def proceed(invocation: ToolInvocation) -> ToolResult:
            self.ran.append(f"{name} {' '.join(arguments.values())}".strip())
            return await invocation.tool.run(invocation.arguments, invocation.context)

        invocation = ToolInvocation(chosen, chosen.validate(arguments), context)
        return (await self.results.around(invocation, proceed)).content


def make_tools(folder: Path, prefix: str = "", held: object = None) -> list[Tool]:
    @tool(risk="read", reads=("file:{path}",))
    async def read(path: str) -> str:
        assert held is not folder
        return prefix + (folder / path).read_text()

    @tool(risk="read", reads=("page:{path}",))
    async def page(path: str) -> str:
        return path

    @tool(risk="read", reads=("file:{path}",))
    async def names(path: str) -> str:
        return " ".join(sorted(f"{found.relative_to(folder)}" for found in (folder / path).rglob("*")))

    @tool(risk="write", writes=("file:{path}",))
    async def write(path: str, text: str) -> str:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        return "written"

    @tool(risk="execute")
    async def execute() -> str:
        return "done"

    return [read, page, names, write, execute]


@asynccontextmanager
async def two_servers(
    folder: Path, redis: RedisServer, clock: Clock | None = None
) -> AsyncIterator[tuple[Server, Server]]:
    shelf = RedisShelf(redis)
    other = RedisShelf(redis, prefix=shelf.prefix, clock=shelf.clock)
    try:
        yield Server(folder, shelf, clock), Server(folder, other, clock)
    finally:
        await shelf.aclose()
        await other.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.md").write_text("one")
    return tmp_path


async def test_what_one_server_read_the_other_need_not_read(folder: Path, redis: RedisServer) -> None:
    async with two_servers(folder, redis) as (one, other):
        assert await one.call("read", path="a.md") == await other.call("read", path="a.md") == "one"
        assert (one.ran, other.ran) == (["read a.md"], [])
        (folder / "a.md").write_text("longer")
        assert await other.call("read", path="a.md") == await one.call("read", path="a.md") == "longer"
        assert (one.ran, other.ran) == (["read a.md"], ["read a.md"])


async def test_a_user_and_a_session_have_their_own_on_every_server(folder: Path, redis: RedisServer) -> None:
    async with two_servers(folder, redis) as (one, other):
        await one.call("read", path="a.md")
        await other.call("read", path="a.md", user="boris")
        await other.call("read", path="a.md", session="t")
        assert other.ran == ["read a.md"] * 2


async def test_what_a_server_knows_to_be_written_it_reads_anew(folder: Path, redis: RedisServer) -> None:
    async with two_servers(folder, redis) as (one, other):
        await one.call("read", path="a.md")
        await other.call("execute")
        await other.call("read", path="a.md")
        await other.call("read", path="a.md")
        assert other.ran == ["execute", "read a.md"]


async def test_files_that_were_just_written_and_what_is_no_file_are_not_shared(
    folder: Path, redis: RedisServer
) -> None:
    async with two_servers(folder, redis, ManualClock(datetime.now(UTC) + timedelta(seconds=1))) as (one, other):
        for server in (one, other):
            for _ in range(2):
                await server.call("read", path="a.md")
        assert one.ran == other.ran == ["read a.md"]
    async with two_servers(folder, redis) as (one, other):
        for server in (one, other):
            for _ in range(2):
                await server.call("page", path="a")
        assert one.ran == other.ran == ["page a"]


@pytest.mark.parametrize("different", [{"prefix": "!"}, {"held": threading.Lock()}, {"held": object()}])
async def test_a_tool_that_is_not_the_same_has_its_own_results(
    folder: Path, redis: RedisServer, different: dict[str, Any]
) -> None:
    async with two_servers(folder, redis) as (one, other):
        other.tools = {each.name: each for each in make_tools(folder, **different)}
        await one.call("read", path="a.md")
        for _ in range(2):
            assert await other.call("read", path="a.md") == f"{different.get('prefix', '')}one"
        assert other.ran == ["read a.md"]


async def test_a_forged_result_does_not_pass_for_words_of_the_server(folder: Path, redis: RedisServer) -> None:
    async with two_servers(folder, redis) as (one, _):
        await one.call("read", path="a.md")
        (key,) = await one.shelf.keys()
        honest = await one.shelf.client.get(key)
        assert isinstance(honest, bytes)
        await one.shelf.client.set(key, honest.replace(b'"is_trusted":false', b'"is_trusted":true'))
        await one.call("read", path="a.md")
        assert one.ran == ["read a.md"] * 2


async def test_a_server_without_redis_reads_and_is_never_behind(folder: Path, own_redis: RedisServer) -> None:
    async with two_servers(folder, own_redis) as (one, other):
        await one.call("read", path="a.md")
        await other.call("read", path="a.md")
        own_redis.stop()
        (folder / "a.md").write_text("longer")
        assert await one.call("read", path="a.md") == await other.call("read", path="a.md") == "longer"


FILES = ("a.md", "docs/deep/b.md")
FOLDERS = ("docs", ".")
SERVERS = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("look"), SERVERS, st.just("")),
    st.tuples(st.just("look"), SERVERS, st.just("")),
    st.tuples(st.just("write"), SERVERS, st.sampled_from(FILES)),
    st.tuples(st.just("write behind their backs"), st.just(0), st.sampled_from(FILES)),
    st.tuples(st.just("remove"), st.just(0), st.sampled_from(FILES)),
    st.tuples(st.just("execute"), SERVERS, st.just("")),
    st.tuples(st.just("restart"), SERVERS, st.just("")),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=20))
def test_no_server_ever_gets_what_is_out_of_date(
    redis: RedisServer, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("workspace")

    async def run() -> None:
        async with two_servers(folder, redis) as pair:
            servers = list(pair)
            for number, (what, which, path) in enumerate(steps, start=1):
                # As all files look old here, each text has a size of its own.
                await step(servers, what, which, folder, path, "x" * number)
            for server in servers:
                await look(server)

    asyncio.run(run())


async def look(server: Server) -> None:
    """Hold what a server reads against what there is."""
    for path in FILES:
        if (server.folder / path).exists():
            assert await server.call("read", path=path) == (server.folder / path).read_text()
        else:
            with pytest.raises(FileNotFoundError):
                await server.call("read", path=path)
    for path in FOLDERS:
        there = sorted(f"{found.relative_to(server.folder)}" for found in (server.folder / path).rglob("*"))
        assert await server.call("names", path=path) == " ".join(there)


async def step(servers: list[Server], what: str, which: int, folder: Path, path: str, text: str) -> None:
    server, file = servers[which], folder / path
    match what:
        case "look":
            await look(server)
        case "write":
            await server.call("write", path=path, text=text)
        case "write behind their backs":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        case "remove":
            file.unlink(missing_ok=True)
        case "execute":
            await server.call("execute")
        case "restart":
            servers[which] = Server(folder, server.shelf)
