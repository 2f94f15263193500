"""Finished turns are run again after the agent's code has changed, and a session becomes a fixture."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import IskraClient
from iskra_sdk.errors import IskraError
from running_iskra import RunningServer, running_iskra

AGENT = '''
from iskra_sdk import Agent, hookimpl, tool

class Baker(Agent):
    name = "baker"
    description = "Bakes."
    tools = ("bake",)

    async def run(self, turn):
        async for event in turn.stream_model():
            yield event
        for call in turn.answer.message.tool_calls:
            await turn.call_tools([call])
        kind = await turn.ask("Which kind?", ["rye", "wheat"])
        await turn.call_tool("bake", {"kind": kind, "loaves": LOAVES})
        yield f"Baked {kind}."

@hookimpl
def register_agents():
    return [Baker()]

@hookimpl
def register_tools(context):
    @tool(risk="read")
    async def bake(kind: str, loaves: int = 1) -> str:
        """Bake bread."""
        with (context.data_dir / "baked.txt").open("a") as file:
            file.write(f"{loaves} {kind}\\n")
        return f"{loaves} loaves of {kind}"
    return [bake]
'''


def model(request: Request) -> Iterator[str | Call]:
    last = request["messages"][-1]
    if last["role"] == "user" and last["content"] == "bake":
        yield Call("bake", {"kind": "sour", "loaves": 2})
    else:
        yield "Hello."


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[RunningServer]:
    (tmp_path / "data" / "plugins").mkdir(parents=True)
    write_agent(tmp_path / "data", "LOAVES", "3")
    with running_iskra(tmp_path, settings={"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}) as running:
        yield running


def write_agent(data_dir: Path, old: str, new: str) -> None:
    (data_dir / "plugins" / "baker.py").write_text(AGENT.replace("LOAVES", "3").replace(old, new))


def test_a_turn_is_replayed_without_effects_and_tells_the_first_difference(
    server: RunningServer, upstream: Upstream
) -> None:
    with IskraClient(server.url, server.token) as client:
        stream = client.stream("bake", model="agent:baker", on_question=lambda _: "rye")
        assert stream.result() == "Baked rye."
        assert stream.turn is not None
        turn = stream.turn
        baked = server.data_dir / "plugin-data" / "baker" / "baked.txt"
        assert baked.read_text() == "2 sour\n3 rye\n"

        same = client.turns.replay(turn.id)
        assert (same.steps, same.of, same.difference) == (5, 5, None)
        assert server.iskra("replay", turn.id).stdout == "All 5 steps are as they were.\n"

        for old, new, index, recorded, now in (
            (
                '"loaves": 3',
                '"loaves": 4',
                3,
                'calls bake {"kind":"rye","loaves":3}',
                'calls bake {"kind":"rye","loaves":4}',
            ),
            (
                '"Bakes."',
                '"Bakes."\n    prompt = "Knead."',
                0,
                "calls the model",
                "calls the model with other system prompt",
            ),
            (
                '"Bakes."',
                '"Bakes."\n    parameters = {"temperature": 0}\n    model = "fast"',
                0,
                "calls the model",
                "calls the model with other model and parameters",
            ),
            ('"""Bake bread."""', '"""Bake cakes."""', 0, "calls the model", "calls the model with other tools"),
            ("Which kind?", "Which bread?", 2, "asks Which kind?", "asks Which bread?"),
            ('"Baked {kind}."', '"Done."', 4, "says Baked rye.", "says Done."),
            ('        yield f"Baked {kind}."\n', "", 4, "says Baked rye.", ""),
            ("yield event", "yield event\n        raise KeyError('oven')", 1, "calls bake", "raises KeyError: 'oven'"),
        ):
            write_agent(server.data_dir, old, new)
            client.plugins.reload("baker")
            differs = client.turns.replay(turn.id).difference
            assert differs is not None, new
            assert (differs.index, differs.now) == (index, now)
            assert differs.recorded.startswith(recorded)
        told = server.iskra("replay", turn.id)
        assert told.returncode == 1
        assert "step 1 differs" in told.stdout

        assert baked.read_text() == "2 sour\n3 rye\n"  # nothing was baked again
        assert len(upstream.requests) == 1  # and no model was asked


def test_what_cannot_be_replayed_says_why(server: RunningServer) -> None:
    with IskraClient(server.url, server.token) as client:
        stream = client.stream("bake", model="agent:baker")
        for event in stream:
            if event.type == "question.asked":
                break
        assert stream.turn is not None
        with pytest.raises(IskraError, match="not finished"):
            client.turns.replay(stream.turn.id)
        client.turns.cancel(stream.turn.id)
        assert client.turns.replay(stream.turn.id).difference is None  # as far as it went
        with pytest.raises(IskraError):
            client.turns.replay("turn_nobody")


def test_a_session_becomes_a_fixture(server: RunningServer, tmp_path: Path) -> None:
    with IskraClient(server.url, server.token) as client:
        session = client.sessions.create("bread", agent="agent:baker")
        client.ask("bake", session, on_question=lambda _: "rye")
        client.ask('привет "quoted" \\ ', session, on_question=lambda _: "wheat")
    done = server.iskra("record", session.id, "--output", "recorded.py")
    assert done.returncode == 0, done.stderr
    assert server.iskra("record", session.id, "--output", "recorded.py").returncode == 2
    code = (
        "import json, asyncio, recorded\n"
        "from iskra_sdk.llm import LLMRequest\n"
        "from iskra_sdk import Message\n"
        "model = recorded.recorded_model()\n"
        "async def ask():\n"
        "    answers = [await model.complete(LLMRequest([Message.user('x')]), 'm') for _ in recorded.ANSWERS]\n"
        "    return [[answer.message.text, [call.name for call in answer.message.tool_calls]] for answer in answers]\n"
        "print(json.dumps([recorded.TURNS, asyncio.run(ask()), recorded.TOOL_RESULTS]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=server.workspace, capture_output=True, text=True, check=True)
    turns, answers, results = json.loads(ran.stdout)
    assert turns == [["agent:baker", "bake"], ["agent:baker", 'привет "quoted" \\ ']]
    assert answers == [["", ["bake"]], ["Hello.", []]]
    assert results[0][:2] == ["bake", {"kind": "sour", "loaves": 2}]


def test_a_live_session_is_recorded_turn_by_turn(server: RunningServer, tmp_path: Path) -> None:
    with IskraClient(server.url, server.token) as client:
        session = client.sessions.create("bread", agent="agent:baker")
        client.ask("bake", session, on_question=lambda _: "rye")
        with server.terminal("record", session.id, "--follow", "--output", "live.py") as recorder:
            recorder.expect("live.py: 1 turns. ")
            for number, text in ((2, "привет"), (3, "bye")):
                client.ask(text, session, on_question=lambda _: "wheat")
                recorder.expect(f"live.py: {number} turns.")
                recorded = runpy.run_path(str(server.workspace / "live.py"))
                assert [said for _, said in recorded["TURNS"]][-1] == text
                assert len(recorded["ANSWERS"]) == number
            recorder.send("\x03")
            assert recorder.end() == 0
        assert client.turns.list(session, before=2)[0].number == 1
        assert client.turns.list(session, before=1) == []
    assert sorted(path.name for path in server.workspace.glob("live*")) == ["live.py"]
