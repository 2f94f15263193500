import asyncio
import importlib.util
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from iskra_plugins.mcp import endpoint as module
from iskra_plugins.mcp import offering
from iskra_plugins.mcp.endpoint import Endpoint
from iskra_plugins.mcp.settings import OfferedServer
from iskra_sdk.testing.harness_context import HarnessTasks
from running_iskra import running_iskra

BROKEN = "raise ImportError('this copy of mcp is broken')"


class Context:
    """What the endpoint needs of its plugin's context."""

    def __init__(self) -> None:
        self.tasks = HarnessTasks()
        self.logger = logging.getLogger("iskra.plugin.mcp")


class Manager:
    """A session manager that does on its start what the test says, and then answers everything."""

    def __init__(self, start: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self.run = start

    async def handle_request(self, _scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def asked(endpoint: Endpoint) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await endpoint({"type": "http"}, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_without_the_library_the_answer_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    status, problem = await asked(Endpoint(cast("Any", None), OfferedServer()))
    assert status == 501
    assert "pip install 'iskra[mcp]'" in problem["mend"]


async def test_a_start_that_fails_says_why_and_the_next_request_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_START_TIMEOUT", 0.2)
    ended: list[str] = []

    def fails() -> AbstractAsyncContextManager[None]:
        raise OSError("no room")

    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hanging start")
        yield

    @asynccontextmanager
    async def starts() -> AsyncIterator[None]:
        yield

    starting: list[Callable[[], AbstractAsyncContextManager[None]]] = [fails, hangs, starts]
    monkeypatch.setattr(offering, "make_manager", lambda *_: Manager(starting.pop(0)))
    context = Context()
    endpoint = Endpoint(cast("Any", context), OfferedServer())
    for cause in ("OSError: no room", "it took too long"):
        status, problem = await asked(endpoint)
        assert (status, problem["detail"]) == (503, f"The MCP endpoint did not start: {cause}.")
    assert [cast("Any", record).cause for record in caplog.records] == ["OSError: no room", "it took too long"]
    assert ended == ["hanging start"]
    monkeypatch.setattr(module, "_START_TIMEOUT", 60)
    assert [(await asked(endpoint))[0] for _ in range(2)] == [200, 200]
    assert starting == []
    await context.tasks.stop()
    assert context.tasks.errors == []


async def test_requests_that_come_together_share_one_start(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Manager] = []
    may_go_on = asyncio.Event()
    is_broken = True

    @asynccontextmanager
    async def starts() -> AsyncIterator[None]:
        await may_go_on.wait()
        if is_broken:
            raise OSError("no room")
        yield

    def make(*_: object) -> Manager:
        made.append(Manager(starts))
        return made[-1]

    monkeypatch.setattr(offering, "make_manager", make)
    context = Context()
    endpoint = Endpoint(cast("Any", context), OfferedServer())
    waiting = [asyncio.create_task(asked(endpoint)) for _ in range(20)]
    while not made:  # noqa: ASYNC110 - the import runs in a thread
        await asyncio.sleep(0.01)
    waiting.pop(0).cancel()  # whose request began the start
    may_go_on.set()
    assert [status for status, _ in await asyncio.gather(*waiting)] == [503] * 19
    assert len(made) == 1
    is_broken = False
    assert [status for status, _ in await asyncio.gather(*(asked(endpoint) for _ in range(20)))] == [200] * 20
    assert len(made) == 2
    await context.tasks.stop()
    may_go_on.clear()
    waiting = [asyncio.create_task(asked(endpoint)) for _ in range(2)]
    while len(made) < 3:  # noqa: ASYNC110 - the import runs in a thread
        await asyncio.sleep(0.01)
    await context.tasks.stop()
    for status, problem in await asyncio.gather(*waiting):
        assert status == 503
        assert "the plugin was stopped" in problem["detail"]


def test_a_server_with_a_broken_library_comes_up_and_says_why_mcp_does_not(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "mcp"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(BROKEN)
    with running_iskra(tmp_path, settings={"PYTHONPATH": str(broken.parent)}) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        for _ in range(2):
            answer = httpx.post(f"{server.url}/mcp", headers=headers, json={"jsonrpc": "2.0", "id": 1}, timeout=60)
            assert answer.status_code == 503
            assert "this copy of mcp is broken" in answer.json()["detail"]
        listed = httpx.get(f"{server.url}/api/v1/admin/plugins", headers=headers, timeout=60).json()["data"]
        assert {plugin["name"]: plugin for plugin in listed}["mcp"]["state"] == "running"
