"""Two tokens of one owner, one session, at the same time; and a database that hangs under a real server."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.api.conftest import model
from fake_upstream import fake_upstream
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra

TOKENS = ("token-of-the-laptop-xxxxxxxxxxxx", "token-of-the-telephone-xxxxxxxxx")
OPERATIONS = ("micro_disturbance", "emergent_stimulation")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("two")
    (folder / "data").mkdir()
    users = "".join(
        f'[[users]]\nname = "anna"\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
        f"permissions = {json.dumps(['chat', 'sessions:*', 'chaos:read', 'chaos:intermediate'])}\n"
        for token in TOKENS
    )
    (folder / "data" / "iskra.toml").write_text(users)
    with fake_upstream(model) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(folder, settings=settings) as running:
            yield running


def session_of(server: RunningServer, token: str) -> str:
    with IskraClient(server.url, token) as client:
        session = client.sessions.create("fair", agent="agent:ask")
        for number in range(2):
            client.ask(f"What about part {number} of the fair?", session)
    return session.id


def client_of(server: RunningServer, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=60)


def test_of_two_operations_that_start_at_once_one_wins_and_the_other_is_told_so(server: RunningServer) -> None:
    with client_of(server, TOKENS[0]) as laptop, client_of(server, TOKENS[1]) as telephone:
        for _ in range(5):
            session = session_of(server, TOKENS[0])
            together = threading.Barrier(2)

            def start(client: httpx.Client, session: str = session, gate: threading.Barrier = together) -> Any:
                body = {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"session_id": session}}
                gate.wait(10)
                return client.post("/chaos/trigger", json=body)

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(start, (laptop, telephone)))
            assert sorted(answer.status_code for answer in answers) == [200, 409], [each.text for each in answers]
            won = next(answer.json()["process"] for answer in answers if answer.status_code == 200)
            for client in (laptop, telephone):
                active = client.get("/chaos/status").json()["active_processes"]
                mine = [each["process"]["id"] for each in active if each["process"]["session_id"] == session]
                assert mine == [won["id"]], "both see the winner, and nothing else acts"
            ended = telephone.post(f"/chaos/status/{won['id']}/revert").json()
            assert ended["status"] == "rolled_back", "either token may take back what the other began"


def test_while_the_database_hangs_the_server_answers_and_nothing_acts(server: RunningServer) -> None:
    session = session_of(server, TOKENS[0])
    body = {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"session_id": session}}
    with (
        client_of(server, TOKENS[0]) as laptop,
        client_of(server, TOKENS[1]) as telephone,
        ThreadPoolExecutor(1) as pool,
    ):
        other = sqlite3.connect(server.data_dir / "iskra.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            starting = pool.submit(laptop.post, "/chaos/trigger", json=body)
            for _ in range(2):
                assert telephone.get("/monitor/health").status_code == 200
            acting = telephone.get("/chaos/status").json()["active_processes"]
            assert session not in [each["process"]["session_id"] for each in acting]
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert starting.result(60).status_code == 200
