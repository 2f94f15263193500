"""The limits of one owner on a real server: HTTP, the WebSocket's engine and a chat share one count."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fake_upstream import Call, Request, fake_upstream
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra


def model(request: Request) -> Iterator[str | Call]:
    yield "As I said, the plan comes first."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("limits")
    (folder / "data").mkdir()
    (folder / "data" / "iskra.toml").write_text(
        '[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\n'
        "operations_per_owner = 2\nstarts_per_minute = 3\n"
    )
    with fake_upstream(model) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(folder, settings=settings) as running:
            yield running


def test_operations_and_experiments_count_together(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    fault = {"point": "tool.call", "kind": "latency", "ttl": 60, "experiment": "one"}
    with (
        IskraClient(server.url, server.token) as iskra,
        httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as client,
    ):
        sessions = [iskra.sessions.create("talk", agent="agent:ask") for _ in range(3)]
        bodies = [
            {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"session_id": session.id}}
            for session in sessions
        ]
        for session in sessions:
            iskra.ask("What about the fair?", session)
        lease = client.post("/chaos/faults", json=fault)
        assert lease.status_code == 201, lease.text
        assert client.post("/chaos/faults", json=fault | {"point": "llm.stream"}).status_code == 201, "one experiment"
        assert client.post("/chaos/trigger", json=bodies[0]).status_code == 200
        refused = client.post("/chaos/trigger", json=bodies[1])
        assert refused.status_code == 429, refused.text
        assert refused.json()["code"] == "too_many_operations"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert client.post("/chaos/faults", json=fault | {"experiment": "two", "point": "ws.send"}).status_code == 429
        said = iskra.ask("Shake things up a bit please", sessions[2], "agent:perturbation")
        assert "2 operations and experiments of yours are in force" in said
        for each in client.get("/chaos/faults").json()["faults"]:
            client.delete(f"/chaos/faults/{each['id']}")
        assert client.post("/chaos/trigger", json=bodies[1]).status_code == 200
        client.post("/control/emergency_stop", json={"stop_scope": "current_session", "session_id": sessions[0].id})
        too_fast = client.post("/chaos/trigger", json=bodies[2])
        assert too_fast.status_code == 429
        assert "within a minute" in too_fast.text or "in force" in too_fast.text
