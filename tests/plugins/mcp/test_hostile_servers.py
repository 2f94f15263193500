import logging
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from iskra_plugins.mcp import connection as module
from iskra_plugins.mcp.settings import RemoteServer
from iskra_sdk.errors import ToolError
from iskra_sdk.message import clean_text

from .test_connection import Reached, reach

SERVER = Path(__file__).with_name("hostile_server.py")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 3.0)


def hostile(way: str, timeout: float = 2) -> RemoteServer:
    return RemoteServer(command=[sys.executable, str(SERVER), way], timeout=timeout)


async def tell(server: Reached) -> str:
    return (await server.call("srv_tell")).content


@pytest.mark.parametrize("way", ["floods", "not json", "kind"])
async def test_noise_does_not_keep_an_answer_back(way: str) -> None:
    async with reach(hostile(way, timeout=60)) as server:
        await server.connected()
        assert await tell(server) == "told"


async def test_a_huge_answer_comes_whole_for_the_kernel_to_shorten() -> None:
    async with reach(hostile("huge answer")) as server:
        await server.connected()
        assert len(await tell(server)) == 5_000_000


async def test_a_server_that_always_changes_is_not_asked_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_PAUSE", 600)
    async with reach(hostile("always changes", timeout=60)) as server:
        await server.connected()
        assert {int(await tell(server)) for _ in range(50)} <= {1, 2}


async def test_text_that_is_none_can_be_cleaned() -> None:
    async with reach(hostile("binary answer")) as server:
        await server.connected()
        with suppress(ToolError):  # the library may refuse it as well
            clean_text(await tell(server)).encode()


@pytest.mark.parametrize("way", ["hangs in a call", "answers nonsense"])
async def test_a_call_that_gets_no_answer_fails_in_time(way: str) -> None:
    async with reach(hostile(way)) as server:
        await server.connected()
        with pytest.raises(ToolError, match="srv"):
            await tell(server)


@pytest.mark.parametrize("way", ["hangs at once", "unknown version", "list is no list"])
async def test_a_server_that_cannot_be_used_says_why_and_is_tried_again(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with reach(hostile(way)) as server:
        await server.until(lambda: len(caplog.records) >= 2)
        assert server.connection.problem
        assert server.connection.tools == []


async def test_a_tool_that_lies_about_its_schema_is_not_offered_and_the_others_are() -> None:
    async with reach(hostile("same name twice")) as server:
        await server.connected()
        assert [tool.name for tool in server.connection.tools] == ["srv_tell"]
        assert "Tells." in server.connection.tools[0].description
    async with reach(hostile("thousands of tools")) as server:
        await server.connected()
        assert len(server.connection.tools) == 200
