"""One session: orchestrator, coder, debug, parallel reads, approvals out of order, a restart, an MCP tool."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import ApprovalInfo, IskraClient, TurnStream
from running_iskra import RunningServer, running_iskra

CHANGING = Path(__file__).parents[1] / "plugins" / "mcp" / "changing_server.py"


def model(request: Request) -> Iterator[str | Call]:
    """Answer as the day goes: by the user's last message, and by how many results have come since."""
    messages = request["messages"]
    asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
    results = [message["content"] for message in messages[asked:] if message["role"] == "tool"]
    said = messages[asked]["content"]
    if said.startswith("Fix the spelling"):
        if not results:
            yield Call("read_file", {"path": "a.txt"})
            yield Call("read_file", {"path": "b.txt"})
            yield Call("list_files", {"path": "."})
        elif len(results) == 3:
            yield Call("write_file", {"path": "a.txt", "content": "the first letter\n"})
            yield Call("write_file", {"path": "b.txt", "content": "the second letter\n"})
        else:
            yield f"Both are mended, {len(results)} results."
    elif said.startswith("run"):
        if not results:
            yield Call("execute_command", {"command": "python -m pytest -q missing_test.py"})
        else:
            yield "The tests fail."
    elif said == "fix it":
        if not results:
            yield Call("search_in_code", {"query": "letter"})
        else:
            yield "The cause: there is no such file."
    elif said.startswith("ask the tracker"):
        if not results:
            yield Call("tracker_echo", {"text": "issue 7"})
        else:
            yield f"The tracker says: {results[0]}"
    else:
        yield "Hello."


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


@pytest.fixture
def settings(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    remote = tmp_path / "remote"
    remote.mkdir()
    (remote / "tools.json").write_text(json.dumps({"echo": "Ask the tracker."}))
    (tmp_path / "data").mkdir()
    command = json.dumps([sys.executable, str(CHANGING), str(remote)])
    (tmp_path / "data" / "iskra.toml").write_text(
        f"[plugins.settings.mcp.servers.tracker]\ncommand = {command}\n"
        '[plugins.settings.agents]\nmore_tools = { coder = ["tracker_*"] }\n'
    )
    return {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}


def answered_by(client: IskraClient, stream: TurnStream) -> list[str]:
    assert stream.turn is not None
    return [str(step.data["to"]) for step in client.turns.steps(stream.turn.id) if step.kind == "handoff"]


def wait_for(client: IskraClient, count: int) -> list[ApprovalInfo]:
    for _ in range(600):
        requests = client.approvals.list()
        if len(requests) == count:
            return requests
        threading.Event().wait(0.05)
    raise AssertionError(f"{count} requests did not come")


def start_the_fix(server: RunningServer, session: str) -> str:
    """Begin the first task, approve the second of two writes, and return the turn's id; the first stays open."""
    with IskraClient(server.url, server.token) as client:
        turn = client.turns.start(session, "Fix the spelling in a.txt and b.txt", model="iskra")
        requests = {json.loads(request.arguments)["path"]: request for request in wait_for(client, 2)}
        client.approvals.approve(requests["b.txt"])
        for _ in range(600):
            if (server.workspace / "b.txt").read_text() == "the second letter\n":
                break
            threading.Event().wait(0.05)
        assert (server.workspace / "a.txt").read_text() == "teh first letter\n"
        return turn.id


def test_a_day(settings: dict[str, str], upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "a.txt").write_text("teh first letter\n")
    (tmp_path / "workspace" / "b.txt").write_text("teh second letter\n")
    with running_iskra(tmp_path, settings=settings) as server:
        with IskraClient(server.url, server.token) as client:
            session = client.sessions.create("a day").id
        turn_id = start_the_fix(server, session)
        server.kill()

    with running_iskra(tmp_path, settings=settings) as server, IskraClient(server.url, server.token) as client:
        (request,) = wait_for(client, 1)
        assert json.loads(request.arguments)["path"] == "a.txt"
        client.approvals.approve(request)
        assert client.attach(turn_id).result() == "Both are mended, 5 results."
        assert (server.workspace / "a.txt").read_text() == "the first letter\n"
        kinds = [(step.kind, step.name) for step in client.turns.steps(turn_id)]
        assert kinds.count(("tool", "read_file")) == 2
        assert kinds.count(("tool", "write_file")) == 2
        results = [message for message in upstream.requests[-1]["messages"] if message["role"] == "tool"]
        assert "teh first letter" in results[0]["content"]  # in the model's order, whoever was ready first
        assert "teh second letter" in results[1]["content"]

        failing = client.stream(
            "run `python -m pytest -q missing_test.py`", session, model="iskra", on_approval=lambda _: True
        )
        assert failing.result() == "The tests fail."
        assert answered_by(client, failing) == ["coder"]
        tree = server.iskra("trace", session).stdout
        assert re.search(r"^ +\d+ +[\d.]+ s  handoff  orchestrator → coder", tree, re.MULTILINE)
        assert re.search(r"^ +\d+ +[\d.]+ s    tool     execute_command .*approved by owner", tree, re.MULTILINE)

        repair = client.stream("fix it", session, model="iskra")
        assert "The cause" in repair.result()
        assert answered_by(client, repair) == ["debug"]
        context = client.sessions.context(session).contexts
        assert context["orchestrator"]["value"]["last_agents"][-2:] == ["coder", "debug"]
        assert "pytest" in context["orchestrator"]["value"]["last_error"]["what"]
        assert sorted(context["coder"]["value"]["files_modified"]) == ["a.txt", "b.txt"]

        for _ in range(600):
            if "tracker_echo" in {tool["name"] for tool in client.request("GET", "/api/v1/tools")["data"]}:
                break
            threading.Event().wait(0.05)
        told = client.ask("ask the tracker", session, model="agent:coder", on_approval=lambda _: True)
        assert "echo: issue 7" in told

        trace = server.iskra("trace", turn_id)
        assert trace.returncode == 0
        assert len(re.findall(r"write_file", trace.stdout)) >= 2
        replayed = server.iskra("replay", turn_id)
        assert replayed.returncode == 0, replayed.stdout
