"""A conversation that outgrows the model's context, and results that outgrow a message, with a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import IskraClient
from iskra_sdk.errors import NotFoundError
from running_iskra import RunningServer, running_iskra


def model(request: Request) -> Iterator[str | Call]:
    last = request["messages"][-1]
    if "Write down" in request["messages"][0]["content"]:
        yield "The user talks about plants."
    elif last["role"] == "tool":
        yield f"It says: {last['content'][-400:]}"
    elif last["content"].startswith("read back "):
        yield Call("read_message", {"message_id": last["content"].split()[-1]})
    elif last["content"].startswith("count"):
        yield Call("execute_command", {"command": "seq 1 20000"})
    elif last["content"].startswith("artifact "):
        _, artifact_id, offset = last["content"].split()
        yield Call("read_artifact", {"artifact_id": artifact_id, "offset": int(offset), "length": 40})
    else:
        yield "Noted. " + "Plants need water and light. " * 20


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[RunningServer]:
    settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake", "ISKRA_LIMITS__CONTEXT_TOKENS": "2500"}
    with running_iskra(tmp_path, settings=settings) as running:
        yield running


def test_old_messages_become_a_record_and_can_be_read_back(server: RunningServer, upstream: Upstream) -> None:
    with IskraClient(server.url, server.token) as client:
        session = client.sessions.create("plants", agent="agent:ask")
        for number in range(16):
            client.ask(f"Plant number {number} is called Flora{number}.", session)
        stored = client.sessions.messages(session)
        sent = upstream.requests[-1]["messages"]
        assert sum(len(str(message)) for message in sent) < 2500 * 4 * 1.3
        assert sent[1]["content"] == "Plant number 0 is called Flora0."
        (record,) = [message for message in sent if "[Record of" in str(message["content"])]
        assert "The user talks about plants." in record["content"]
        assert sent[-1]["content"] == "Plant number 15 is called Flora15."

        third = next(message for message in stored if "Flora3." in str(message.message["content"]))
        assert third.id not in str(sent)
        assert "Flora3." in client.ask(f"read back {third.id}", session)

        client.request("PUT", f"/api/v1/pins/{session.id}/{third.id}")
        assert client.request("GET", f"/api/v1/pins/{session.id}")["data"] == [third.id]
        for number in range(16, 30):
            client.ask(f"Plant number {number} is called Flora{number}.", session)
        contents = [message["content"] for message in upstream.requests[-1]["messages"]]
        assert "Plant number 3 is called Flora3." in contents
        assert "Plant number 4 is called Flora4." not in contents

        other = client.sessions.create("other", agent="agent:ask")
        assert "no message" in client.ask(f"read back {third.id}", other)
        with pytest.raises(NotFoundError):
            client.request("PUT", f"/api/v1/pins/{other.id}/{third.id}")
        with pytest.raises(NotFoundError):
            client.request("GET", "/api/v1/pins/ses_nobody")


def test_a_long_result_is_kept_and_read_in_pieces_until_its_session_goes(server: RunningServer) -> None:
    with IskraClient(server.url, server.token) as client:
        session = client.sessions.create("numbers", agent="agent:coder")
        stream = client.stream("count", session, on_approval=lambda _: True)
        stream.result()
        (result,) = [
            str(message.message["content"])
            for message in client.sessions.messages(session)
            if message.message["role"] == "tool"
        ]
        assert len(result) < 30_000
        artifact_id = result.split('read_artifact("')[1].split('"')[0]
        assert "characters 60000 to 60040" in client.ask(f"artifact {artifact_id} 60000", session)
        other = client.sessions.create("other", agent="agent:coder")
        assert "no artefact" in client.ask(f"artifact {artifact_id} 0", other)
        kept = server.data_dir / "plugin-data" / "artifacts" / "sessions"
        assert len(list(kept.iterdir())) == 1
        client.sessions.delete(session)
        for _ in range(200):
            if not list(kept.iterdir()):
                break
            client.health()
        assert list(kept.iterdir()) == []
