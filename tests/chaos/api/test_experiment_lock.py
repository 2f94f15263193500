"""The lock after a failed rollback: on a real server, over HTTP, by the runner, from the terminal, after a restart."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.api.conftest import PEOPLE, House, token_of
from chaos.experiments.experiment_documents import call, experiment
from iskra_chaos.experiments.program import main
from iskra_chaos.experiments.runner import Runner
from iskra_sdk.errors import ConflictError
from running_iskra import running_iskra

FAULT = {"point": "tool.call", "kind": "latency", "ttl": 60}
FAILED = {"title": "R3", "experiment": "e-1", "reasons": ["'fault down' could not be taken back: no answer."]}


@pytest.fixture
def open_again(house: House) -> Iterator[House]:
    yield house
    with house.client() as client:
        client.post("/chaos/experiments/unlock", json={"reason": "the test is over"})


def audited(folder: Path, action: str) -> list[tuple[str, str, str]]:
    with sqlite3.connect(folder / "data" / "iskra.db") as database:
        return database.execute(
            "select principal_id, target, data from audit_log where action = ? order by rowid", (action,)
        ).fetchall()


def test_a_failed_rollback_locks_experiments_until_an_admin_unlocks_them(open_again: House) -> None:
    house = open_again
    with house.client() as admin, house.client("operator") as operator, house.client("user") as user:
        lease = operator.post("/chaos/faults", json=FAULT | {"experiment": "e-1"}).json()
        assert user.post("/chaos/experiments/lock", json=FAILED).status_code == 403
        locked = operator.post("/chaos/experiments/lock", json=FAILED)
        assert locked.status_code == 201, locked.text
        assert locked.json()["is_locked"] is True
        (left,) = [each for each in operator.get("/chaos/faults").json()["faults"] if each["id"] == lease["id"]]
        assert (left["state"], left["reason"]) == ("cleared", "its experiment's rollback failed")
        refused = operator.post("/chaos/faults", json=FAULT)
        assert refused.status_code == 409
        problem = refused.json()
        assert "the rollback of 'R3' failed: 'fault down' could not be taken back" in json.dumps(problem)
        assert "iskra chaos unlock --reason" in json.dumps(problem)
        health = admin.get("/monitor/health").json()
        assert health["overall_status"] == "critical"
        assert "failed_rollback" in health["alerts"]
        assert operator.post("/chaos/experiments/unlock", json={"reason": "I say so"}).status_code == 403
        assert admin.post("/chaos/experiments/unlock", json={"reason": "  "}).status_code == 400
        assert admin.post("/chaos/experiments/unlock", json={}).status_code == 422
        unlocked = admin.post("/chaos/experiments/unlock", json={"reason": "restarted the proxy"}).json()
        assert (unlocked["is_locked"], unlocked["failed"], unlocked["mend"]) == (False, [], "")
        assert operator.post("/chaos/faults", json=FAULT | {"ttl": 1}).status_code == 201


def test_conversations_may_be_perturbed_while_experiments_are_locked(open_again: House) -> None:
    with open_again.client() as client:
        client.post("/chaos/experiments/lock", json=FAILED)
        session = open_again.session()
        body = {"operation_type": "micro_disturbance", "intensity": 0.2, "context": {"session_id": session}}
        assert client.post("/chaos/trigger", json=body).status_code == 200


def run(house: House, **iskra: Any) -> Any:
    plan = experiment(iskra=iskra)
    runner = Runner(house.server.url, house.server.token, environment={}, handle_signals=False)
    return asyncio.run(runner.run(plan))


def test_a_runner_whose_rollback_fails_locks_the_server_and_is_refused_afterwards(open_again: House) -> None:
    broken = call("mend", "value_at", type="action", arguments={"path": "/nowhere", "at": "$"})
    plan = experiment(rollbacks=[broken])
    runner = Runner(open_again.server.url, open_again.server.token, environment={}, handle_signals=False)
    journal = asyncio.run(runner.run(plan))
    assert journal.verdict == "failed"
    assert journal.own["experiments_locked"] is True, journal.own["critical"]
    with open_again.client() as client:
        (failed,) = client.get("/chaos/experiments").json()["failed"]
    assert failed["experiment"] == journal.own["id"]
    assert failed["reasons"] == journal.own["critical"]
    with pytest.raises(ConflictError, match="Experiments are locked on this server: the rollback of") as refused:
        run(open_again)
    assert "unlock" in (refused.value.mend or "")
    with open_again.client() as client:
        client.post("/chaos/experiments/unlock", json={"reason": "mended"})
    assert run(open_again).verdict != "failed"


def test_the_terminal_shows_the_lock_and_opens_it(
    open_again: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ISKRA_URL", open_again.server.url)
    monkeypatch.setenv("ISKRA_TOKEN", open_again.server.token)
    assert main(["status"]) == 0
    assert "Experiments are not locked." in capsys.readouterr().out
    with open_again.client() as client:
        client.post("/chaos/experiments/lock", json=FAILED)
    assert main(["status"]) == 1
    shown = capsys.readouterr().out
    assert "the rollback of 'R3' failed" in shown
    assert "iskra chaos unlock --reason" in shown
    assert main(["run", "r1"]) == 2
    assert "Experiments are locked on this server" in capsys.readouterr().err
    assert main(["unlock", "--reason", "mended by hand"]) == 0
    assert main(["status"]) == 0


def test_the_lock_survives_a_restart_and_both_steps_are_audited(tmp_path: Path) -> None:
    permissions, claims = PEOPLE["operator"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "iskra.toml").write_text(
        '[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\n'
        f'[[users]]\nname = "operator"\npermissions = {json.dumps(permissions)}\nclaims = {json.dumps(claims)}\n'
        f'token_sha256 = "{hashlib.sha256(token_of("operator").encode()).hexdigest()}"\n'
    )
    settings: dict[str, str] = {}
    operator = {"Authorization": f"Bearer {token_of('operator')}"}
    with running_iskra(tmp_path, settings=settings) as server:
        url = f"{server.url}/api/v1/chaos"
        assert httpx.post(f"{url}/experiments/lock", json=FAILED, headers=operator, timeout=30).status_code == 201
    with running_iskra(tmp_path, settings=settings) as server:
        url = f"{server.url}/api/v1/chaos"
        assert httpx.post(f"{url}/faults", json=FAULT, headers=operator, timeout=30).status_code == 409
        owner = {"Authorization": f"Bearer {server.token}"}
        unlocked = httpx.post(f"{url}/experiments/unlock", json={"reason": "mended"}, headers=owner, timeout=30)
        assert unlocked.json()["is_locked"] is False
    with running_iskra(tmp_path, settings=settings) as server:
        url = f"{server.url}/api/v1/chaos"
        assert httpx.post(f"{url}/faults", json=FAULT, headers=operator, timeout=30).status_code == 201
    (locked,) = audited(tmp_path, "chaos.experiments_locked")
    (opened,) = audited(tmp_path, "chaos.experiments_unlocked")
    assert locked[1] == "e-1"
    assert json.loads(opened[2])["reason"] == "mended"
