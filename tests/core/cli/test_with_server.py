import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from iskra_sdk.client import IskraClient
from iskra_sdk.client.calls import endpoints
from iskra_sdk.errors import UnknownModelError
from running_iskra import RunningServer, running_iskra

# One worker, so that one server is started and not four.
pytestmark = pytest.mark.xdist_group("iskra_program")

CTRL_C, CTRL_D, CTRL_U = "\x03", "\x04", "\x15"

AGENT = """
from iskra_sdk import Agent, hookimpl


class Echo(Agent):
    name = "echo"

    async def run(self, turn):
        if turn.input.text == "ask me":
            answer = await turn.ask("Which colour?", ["red", "green"])
            yield f"You chose {answer}."
        elif turn.input.text == "escape":
            yield "before \\x1b[2J\\u202e after"
        else:
            for word in turn.input.text.split():
                yield word + " "


@hookimpl
def register_agents():
    return [Echo()]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("iskra")
    (folder / "data" / "plugins").mkdir(parents=True)
    (folder / "data" / "plugins" / "echo.py").write_text(AGENT)
    with running_iskra(folder) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[IskraClient]:
    with IskraClient(server.url, server.token) as connected:
        yield connected


# The program -----------------------------------------------------------------------------------------------------


def test_models_are_listed(server: RunningServer) -> None:
    done = server.iskra("models")
    assert done.returncode == 0
    assert "agent:echo" in done.stdout
    assert "\x1b" not in done.stdout
    assert "agent:echo" in [model["id"] for model in json.loads(server.iskra("models", "--json").stdout)]


def test_one_message_from_a_script_gives_the_answers_own_bytes(server: RunningServer) -> None:
    done = server.iskra("chat", "--model", "agent:echo", "--once", "привет, мир 🌍")
    assert (done.returncode, done.stdout) == (0, "привет, мир 🌍 \n")
    assert server.iskra("chat", "-m", "agent:echo", "--once", "escape").stdout == "before \x1b[2J\u202e after\n"


def test_an_unknown_model_is_told(server: RunningServer) -> None:
    done = server.iskra("chat", "--model", "agent:nobody", "--once", "hi")
    assert done.returncode == 1
    assert "agent:nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_can_deny_what_asks(server: RunningServer) -> None:
    done = server.iskra("chat", "--model", "agent:coder", "--deny", "--once", "run `touch made-anyway`")
    assert done.returncode == 0
    assert 'execute_command {"command":"touch made-anyway"}' in done.stderr
    assert not (server.workspace / "made-anyway").exists()


def test_approvals_are_decided_from_another_terminal(server: RunningServer, client: IskraClient) -> None:
    for verb, is_made in (("deny", False), ("approve", True)):
        stream = client.stream(f"run `touch {verb}-made`", model="agent:coder")
        for event in stream:
            if event.type == "approval.requested":
                break
        listed = server.iskra("approvals", "list")
        code = str(event.data["code"])
        assert re.search(rf"^{code}  execute_command \(execute\)", listed.stdout, re.MULTILINE)
        done = server.iskra("approvals", verb, code.lower(), "--remark", "because")
        assert done.returncode == 0
        stream.result()
        assert (server.workspace / f"{verb}-made").exists() is is_made
        again = server.iskra("approvals", verb, code)
        assert again.returncode == 1
        assert "iskra approvals list" in again.stderr


def test_plugins_are_administered(server: RunningServer, tmp_path: Path) -> None:
    assert re.search(r"^echo\s+\S+\s+running", server.iskra("plugins", "list").stdout, re.MULTILINE)
    reloaded = server.iskra("plugins", "reload", "echo")
    assert reloaded.returncode == 0
    assert "reload of echo: clean" in reloaded.stdout
    assert re.search(r"generation  \d+ -> \d+", reloaded.stdout)
    assert server.iskra("plugins", "disable", "echo").returncode == 0
    assert "agent:echo" not in server.iskra("models").stdout
    assert server.iskra("plugins", "enable", "echo").returncode == 0
    assert "agents: echo" in server.iskra("plugins", "show", "echo").stdout
    assert "disable of echo" in server.iskra("plugins", "receipts", "echo").stdout
    (tmp_path / "added.py").write_text(AGENT.replace('"echo"', '"added"'))
    assert "added: running." in server.iskra("plugins", "install", str(tmp_path / "added.py")).stdout
    missing = server.iskra("plugins", "reload", "nobody")
    assert missing.returncode == 1
    assert "nobody" in missing.stderr


def test_settings_of_a_plugin_are_changed(server: RunningServer) -> None:
    done = server.iskra("plugins", "settings", "offline", "tokens_per_second=5000")
    assert done.returncode == 0, done.stderr
    assert json.loads(server.iskra("plugins", "settings", "offline").stdout)["settings"]["tokens_per_second"] == 5000
    wrong = server.iskra("plugins", "settings", "offline", "tokens_per_second=fast")
    assert wrong.returncode == 1
    assert "tokens_per_second" in wrong.stderr
    assert server.iskra("plugins", "settings", "offline", "nonsense").returncode == 2


def test_doctor_finds_nothing_wrong_with_a_running_server(server: RunningServer) -> None:
    done = server.iskra("doctor")
    assert f"ok      server: running at {server.url}" in done.stdout
    assert "ok      plugin echo: running" in done.stdout
    assert done.returncode == 0, done.stdout


def test_a_wrong_token_is_told(server: RunningServer) -> None:
    environment = {**server.environment, "ISKRA_TOKEN": "wrong"}
    wrong = RunningServer(server.process, server.url, server.data_dir, server.workspace, environment)
    assert "token" in wrong.iskra("models").stderr
    assert "problem token" in wrong.iskra("doctor").stdout


def test_the_login_address_works_once(server: RunningServer) -> None:
    url = server.iskra("login").stdout.strip()
    assert url.startswith(f"{server.url}/login?code=")
    assert httpx.get(url).status_code == 303
    assert httpx.get(url).status_code >= 400


# A terminal ------------------------------------------------------------------------------------------------------


def test_a_conversation_in_a_terminal(server: RunningServer) -> None:
    with server.terminal("chat", "--model", "agent:echo") as chat:
        chat.expect("you> ")
        chat.send("one two\r")
        chat.expect("one two \n")
        chat.expect("you> ")
        chat.send("escape\r")
        chat.expect("before \\x1b[2J\\u202e after")
        chat.expect("you> ")
        chat.send("ask me\r")
        chat.expect("  2. green")
        chat.expect("answer> ")
        chat.send("2\r")
        chat.expect("You chose green.")
        chat.expect("you> ")
        chat.send("/nonsense\r")
        chat.expect("There is no command /nonsense.")
        chat.expect("you> ")
        chat.send("/model coder\r")
        chat.expect("agent:coder answers from now on.")
        chat.expect("you> ")
        chat.send("/sessions\r")
        chat.expect("one two")
        chat.expect("you> ")
        chat.send("/resume 1\r")
        chat.expect("You chose green.")
        chat.expect("agent:echo answers]")
        chat.expect("you> ")
        chat.send(CTRL_D)
        assert chat.end() == 0


def test_approvals_in_a_terminal(server: RunningServer) -> None:
    with server.terminal("chat", "--model", "agent:coder") as chat:
        chat.expect("you> ")
        chat.send("write `hello` to first.txt\r")
        shown = chat.expect("Approve?")
        assert '"path":"first.txt"' in shown
        chat.expect("ater: ")
        chat.send("n\r")
        chat.expect("empty): ")
        chat.send("another name\r")
        chat.expect("another name")
        chat.expect("you> ")
        assert not (server.workspace / "first.txt").exists()
        chat.send("write `hello` to second.txt\r")
        chat.expect("ater: ")
        chat.send("e\r")
        chat.expect("arguments> ")
        chat.send(CTRL_U + '{"path": "third.txt", "content": "edited"}\r')
        chat.expect("you> ")
        assert (server.workspace / "third.txt").read_text() == "edited"
        assert not (server.workspace / "second.txt").exists()
        chat.send("run `touch fourth.txt`\r")
        chat.expect("ater: ")
        chat.send("да\r")
        chat.expect("you> ")
        assert (server.workspace / "fourth.txt").exists()
        chat.send("/quit\r")
        assert chat.end() == 0


def test_ctrl_c_cancels_the_turn_and_then_leaves(server: RunningServer, client: IskraClient) -> None:
    with server.terminal("chat", "--model", "agent:coder") as chat:
        chat.expect("you> ")
        chat.send("run `sleep 60`\r")
        chat.expect("ater: ")
        chat.send("y\r")
        chat.expect("running a tool")
        chat.send(CTRL_C)
        chat.expect("cancelled: by the user")
        chat.expect("you> ")
        session = client.sessions.list(limit=1)[0]
        assert client.turns.list(session)[0].state == "cancelled"
        chat.send(CTRL_C)
        assert chat.end() == 0


# The client ------------------------------------------------------------------------------------------------------


def test_the_client_uses_routes_that_the_server_has(server: RunningServer) -> None:
    document = httpx.get(f"{server.url}/openapi.json", headers={"Authorization": f"Bearer {server.token}"}).json()
    patterns = {
        (method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + r"\Z"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    missing = [
        (method, path)
        for method, path in endpoints()
        if not any(method == known and pattern.match(path) for known, pattern in patterns)
    ]
    assert not missing


def test_sessions_are_kept(client: IskraClient) -> None:
    session = client.sessions.create("A title", agent="agent:echo", metadata={"a": 1})
    assert client.ask("one two three", session) == "one two three "
    assert [str(message.message["role"]) for message in client.sessions.messages(session)] == ["user", "assistant"]
    assert client.sessions.get(session.id).title == "A title"
    assert session.id in [found.id for found in client.sessions.list()]
    assert client.turns.list(session)[0].is_finished
    client.sessions.delete(session)
    assert session.id not in [found.id for found in client.sessions.list()]


def test_streamed_text_is_the_stored_text(client: IskraClient) -> None:
    text = " ".join(f"слово{number}" for number in range(200))
    stream = client.stream(text, model="agent:echo")
    pieces = list(stream.texts())
    assert "".join(pieces) == stream.text == text + " "
    assert stream.turn is not None
    assert client.attach(stream.turn.id).result() == stream.text


def test_a_turn_can_be_attached_to_after_every_event(client: IskraClient) -> None:
    stream = client.stream("one two three four", model="agent:echo")
    events = list(stream)
    assert stream.turn is not None
    for position, event in enumerate(events[:-1]):
        rest = client.attach(stream.turn, after=event.seq)
        seen = [str(entry.data["text"]) for entry in events[: position + 1] if entry.type == "message.delta"]
        seen += [str(entry.data["text"]) for entry in rest if entry.type == "message.delta"]
        assert "".join(seen) == stream.text


def test_a_stream_goes_on_when_the_server_was_killed_and_started_again(tmp_path: Path) -> None:
    decisions: list[str] = []
    with running_iskra(tmp_path) as first:
        waits: list[float] = []
        connected = IskraClient(first.url, first.token, on_reconnect=lambda delay, cause: waits.append(delay))
        with connected, connected.stream("run `touch made`", model="agent:coder") as stream:
            events = iter(stream)
            seen = [next(events)]
            while seen[-1].type != "approval.requested":
                seen.append(next(events))
            first.kill()
            with running_iskra(tmp_path, int(first.url.rpartition(":")[2])) as second:
                decisions.append(second.iskra("approvals", "approve", str(seen[-1].data["code"])).stdout)
                seen += events
    assert "Approved" in decisions[0]
    assert waits
    assert stream.is_finished
    assert stream.error is None
    assert (second.workspace / "made").exists()
    numbers = [event.seq for event in seen]
    assert numbers == sorted(numbers)
    assert [event.type for event in seen].count("approval.decided") == 1


def test_one_key_makes_one_turn(client: IskraClient) -> None:
    session = client.sessions.create()
    first = client.turns.start(session, "hi", "agent:echo", idempotency_key="k1")
    assert client.turns.start(session, "hi", "agent:echo", idempotency_key="k1").id == first.id
    assert len(client.turns.list(session)) == 1


def test_questions_are_answered_by_callback(client: IskraClient) -> None:
    assert "green" in client.ask("ask me", model="agent:echo", on_question=lambda question: question.options[1])


def test_approvals_are_decided_by_callback(server: RunningServer, client: IskraClient) -> None:
    client.ask("run `touch by-callback`", model="agent:coder", on_approval=lambda request: request.risk == "execute")
    assert (server.workspace / "by-callback").exists()


def test_errors_come_back_as_their_classes(client: IskraClient) -> None:
    with pytest.raises(UnknownModelError):
        client.ask("hi", model="agent:nobody")


def test_context_and_trace_show_what_a_turn_did(server: RunningServer) -> None:
    (server.workspace / "seen.txt").write_text("three ships")
    with IskraClient(server.url, server.token) as client:
        stream = client.stream("read seen.txt", model="agent:coder")
        stream.result()
        assert stream.turn is not None
        turn = stream.turn
    traced = server.iskra("trace", turn.id)
    assert traced.returncode == 0, traced.stderr
    assert "completed" in traced.stdout
    assert "tool     read_file" in traced.stdout
    assert "asks for read_file" in traced.stdout
    seen = server.iskra("context", turn.session_id)
    assert seen.returncode == 0, seen.stderr
    assert "agent     coder" in seen.stdout
    assert "three ships" in seen.stdout
    assert "<untrusted" not in seen.stdout
    assert server.iskra("trace", "turn_missing").returncode == 1


def test_one_plugin_logs_more_and_takes_it_back(server: RunningServer) -> None:
    assert server.iskra("plugins", "log-level", "echo", "debug").stdout == "echo logs at the level debug.\n"
    assert server.iskra("plugins", "log-level", "echo", "default").returncode == 0
    assert server.iskra("plugins", "log-level", "echo", "loud").returncode == 1
    assert server.iskra("plugins", "log-level", "nobody", "debug").returncode == 1
