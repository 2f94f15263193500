"""MCP in both directions, with a real server, the official client, and an MCP server in a process of its own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import AsyncIskraClient, IskraClient
from running_iskra import RunningServer, running_iskra

CHANGING = Path(__file__).parents[1] / "plugins" / "mcp" / "changing_server.py"
OTHER_TOKEN = "iskra-other-token-0123456789abcdef"
SETTINGS = """
[[users]]
name = "other"
token_sha256 = "{digest}"
permissions = ["chat", "sessions:*", "approvals:*"]

[plugins.settings.mcp.servers.changing]
command = {command}

[plugins.settings.mcp.servers.dead]
command = ["/no/such/program"]

[plugins.settings.mcp.offer]
tools = ["read_file", "write_file"]
wait = 4

[plugins.settings.agents.more_tools]
coder = ["changing_*"]
"""
ASKING = """
from iskra_sdk import Agent, hookimpl

class Asking(Agent):
    name = "asking"
    description = "Asks a question."

    async def run(self, turn):
        answer = await turn.ask("Which colour?", ["red", "green"])
        yield f"You chose {answer}."

@hookimpl
def register_agents():
    return [Asking()]
"""


def model(request: Request) -> Iterator[str | Call]:
    last = request["messages"][-1]
    if last["role"] == "tool":
        yield f"The tool said: {last['content']}"
    elif last["content"].startswith("use "):
        yield Call(last["content"].removeprefix("use "), {"text": "привет"})
    else:
        yield f"You said {last['content']}."


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[RunningServer]:
    import hashlib

    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "tools.json").write_text(json.dumps({"echo": "Say it back.", "die": "Die."}))
    (tmp_path / "data" / "plugins").mkdir(parents=True)
    (tmp_path / "data" / "plugins" / "asking.py").write_text(ASKING)
    command = json.dumps([sys.executable, str(CHANGING), str(folder)])
    digest = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()
    (tmp_path / "data" / "iskra.toml").write_text(SETTINGS.format(command=command, digest=digest))
    with running_iskra(tmp_path, settings={"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}) as running:
        yield running


@asynccontextmanager
async def mcp_client(server: RunningServer, token: str = "", mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token or server.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def text_of(answer: CallToolResult) -> str:
    return "\n".join(block.text for block in answer.content if isinstance(block, TextContent))


def wait_for_tool(client: IskraClient, name: str) -> None:
    for _ in range(600):
        servers = {found["name"]: found for found in client.request("GET", "/api/v1/mcp/servers")["data"]}
        tools = {found["name"] for found in client.request("GET", "/api/v1/tools")["data"]}
        if name in tools and servers["changing"]["connected"] and "No such file" in servers["dead"]["problem"]:
            return
    raise AssertionError(f"{name} was not offered")


def test_an_agent_uses_a_tool_of_an_mcp_server_after_asking(server: RunningServer) -> None:
    with IskraClient(server.url, server.token) as client:
        wait_for_tool(client, "changing_echo")
        asked: list[str] = []

        def approve(request: object) -> bool:
            asked.append(f"{request.tool} {request.risk} {request.arguments}")  # type: ignore[attr-defined]
            return True

        text = client.ask("use changing_echo", model="agent:coder", on_approval=approve)
        assert "echo: привет" in text
        assert "untrusted" in text
        assert asked == ['changing_echo external {"text":"привет"}']
        died = client.ask("use changing_die", model="agent:coder", on_approval=lambda _: True)
        assert "MCP server 'changing'" in died
        wait_for_tool(client, "changing_echo")
        assert "echo: привет" in client.ask("use changing_echo", model="agent:coder", on_approval=approve)
    listed = server.iskra("mcp")
    assert "changing: connected, protocol 2026-07-28" in listed.stdout
    assert "echo  external  changing_echo" in listed.stdout
    assert "dead: " in listed.stdout


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_mcp_clients_of_both_protocols_ask_agents_and_go_on_with_a_session(
    server: RunningServer, mode: str
) -> None:
    async with mcp_client(server, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"ask_coder", "ask_orchestrator", "ask_asking", "read_file", "write_file", "turn_result"} <= set(tools)
        assert "execute_command" not in tools
        assert "ask_mcp-tool-runner" not in tools
        answer = await client.call_tool("ask_ask", {"message": "привет"})
        assert text_of(answer) == "You said привет."
        assert isinstance(answer.structured_content, dict)
        session = answer.structured_content["session_id"]
        again = await client.call_tool("ask_ask", {"message": "again", "session_id": session})
        assert text_of(again) == "You said again."
        assert isinstance(again.structured_content, dict)
        assert again.structured_content["session_id"] == session

        question = await client.call_tool("ask_asking", {"message": "ask me"})
        assert "1. red\n2. green" in text_of(question)
        assert isinstance(question.structured_content, dict)
        chosen = {"message": "2", "session_id": question.structured_content["session_id"]}
        assert text_of(await client.call_tool("ask_asking", chosen)) == "You chose green."


async def test_a_tool_that_asks_waits_for_a_person_and_not_for_the_clients_model(server: RunningServer) -> None:
    async with (
        mcp_client(server) as client,
        AsyncIskraClient(server.url, server.token) as person,
    ):
        (server.workspace / "a.txt").write_text("inside")
        assert "inside" in text_of(await client.call_tool("read_file", {"path": "a.txt"}))
        waiting = await client.call_tool("write_file", {"path": "b.txt", "content": "new"})
        (request,) = await person.approvals.list()
        assert request.code in text_of(waiting)
        assert not (server.workspace / "b.txt").exists()
        assert isinstance(waiting.structured_content, dict)
        turn_id = waiting.structured_content["turn_id"]
        await person.approvals.approve(request)
        await client.call_tool("turn_result", {"turn_id": turn_id})
        assert (server.workspace / "b.txt").read_text() == "new"

        async def deny() -> None:
            while not (requests := await person.approvals.list()):  # noqa: ASYNC110 - another process asks
                await asyncio.sleep(0.05)
            await person.approvals.deny(requests[0], "not this one")

        denying = asyncio.create_task(deny())
        refused = await client.call_tool("write_file", {"path": "c.txt", "content": "new"})
        await denying
        assert refused.is_error
        assert "not this one" in text_of(refused)


async def test_what_is_not_offered_or_anothers_is_not_there(server: RunningServer) -> None:
    with pytest.raises((MCPError, httpx2.HTTPError, ExceptionGroup)):
        async with mcp_client(server, token="wrong"):
            pass
    async with mcp_client(server) as client, mcp_client(server, token=OTHER_TOKEN) as other:
        for name, arguments in (
            ("execute_command", {"command": "ls"}),
            ("ask_mcp-tool-runner", {"message": '{"tool": "execute_command", "arguments": {"command": "ls"}}'}),
            ("ask_nobody", {"message": "x"}),
            ("ask_ask", {}),
            ("ask_ask", {"message": 7}),
            ("read_file", {"path": "../../etc/passwd"}),
            ("turn_result", {"turn_id": "turn_nobody"}),
        ):
            answer = await client.call_tool(name, arguments)
            assert answer.is_error, name
        mine = await client.call_tool("ask_ask", {"message": "secret"})
        assert isinstance(mine.structured_content, dict)
        ids = mine.structured_content
        assert (await other.call_tool("turn_result", {"turn_id": ids["turn_id"]})).is_error
        assert (await other.call_tool("ask_ask", {"message": "x", "session_id": ids["session_id"]})).is_error
