"""Labels of requests: only what carries one meets a fault that is limited to it, on every way to a turn."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.experiments.experiment_documents import call, experiment
from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_chaos.experiments.runner import Runner
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra

LABELLED = {"X-Iskra-Labels": "other, opted-in"}
FAULT = {"point": "llm.stream", "kind": "latency", "parameters": {"latency": 1}, "ttl": 60}


def model(request: Request) -> Iterator[str | Call]:
    yield "Yes."


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("labels")
    (folder / "data").mkdir()
    (folder / "data" / "iskra.toml").write_text('[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\n')
    settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
    with running_iskra(folder, settings=settings) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30) as opened:
        yield opened


@pytest.fixture
def fault(client: httpx.Client) -> Iterator[str]:
    answer = client.post("/api/v1/chaos/faults", json=FAULT | {"scope": {"label": "opted-in"}})
    assert answer.status_code == 201, answer.text
    yield answer.json()["id"]
    client.delete(f"/api/v1/chaos/faults/{answer.json()['id']}")


def applied(client: httpx.Client, fault: str) -> int:
    faults = client.get("/api/v1/chaos/faults").json()["faults"]
    return next(int(each["applied"]) for each in faults if each["id"] == fault)


@pytest.mark.parametrize("way", ["gateway", "chat completions", "responses", "turns"])
def test_only_a_request_with_the_label_meets_the_fault(
    way: str, server: RunningServer, client: httpx.Client, fault: str, upstream: Upstream
) -> None:
    def ask(headers: dict[str, str]) -> None:
        if way == "turns":
            with IskraClient(server.url, server.token) as iskra:
                session = iskra.sessions.create("talk", agent="agent:ask")
            headers = {**headers, "Accept": "text/event-stream"}
            answer = client.post(f"/api/v1/sessions/{session.id}/turns", json={"text": "Hi."}, headers=headers)
        elif way == "responses":
            answer = client.post("/v1/responses", json={"model": "agent:ask", "input": "Hi."}, headers=headers)
        else:
            model_id = "llm:default" if way == "gateway" else "agent:ask"
            said = {"model": model_id, "messages": [{"role": "user", "content": "Hi."}], "stream": True}
            answer = client.post("/v1/chat/completions", json=said, headers=headers)
        assert answer.status_code < 300, answer.text

    ask({})
    ask({"X-Iskra-Labels": "another"})
    assert applied(client, fault) == 0
    ask(LABELLED)
    assert applied(client, fault) == 1
    assert "opted-in" not in str(upstream.requests), "labels are not sent upstream"


def test_labels_permit_nothing_and_are_bounded(client: httpx.Client) -> None:
    said: dict[str, Any] = {"model": "agent:ask", "messages": [{"role": "user", "content": "Hi."}]}
    for labels in (",".join(f"l{number}" for number in range(9)), "with space", "x" * 65, "a;b"):
        answer = client.post("/v1/chat/completions", json=said, headers={"X-Iskra-Labels": labels})
        assert answer.status_code == 400, labels
        assert "at most 8" in answer.text
    with httpx.Client(base_url=str(client.base_url)) as stranger:
        assert stranger.get("/api/v1/chaos/faults", headers={"X-Iskra-Labels": "owner"}).status_code == 401


@pytest.mark.parametrize("kind", ["http", "chat"])
def test_an_experiment_splits_single_requests_on_our_own_server(server: RunningServer, kind: str) -> None:
    body = {"model": "agent:ask", "messages": [{"role": "user", "content": "Say yes. ${message}"}]}
    loads: dict[str, dict[str, Any]] = {
        "http": {"kind": "http", "path": "/v1/chat/completions", "method": "POST", "body": body},
        "chat": {"kind": "chat", "model": "agent:ask", "text": "Say yes. ${message}"},
    }
    plan = experiment(
        iskra={
            "faults": [{**FAULT, "ttl": 10, "name": "late"}],
            "load": {**loads[kind], "requests": 12, "clients": 2},
            "arms": {"by": "request", "share": 0.5},
            "expect": [call("half", "fault_observed", tolerance=[0, 6])],
        }
    )
    journal = asyncio.run(Runner(server.url, server.token, environment={}, handle_signals=False).run(plan))
    assert journal.verdict == "held", journal.reasons
    (late,) = journal.own["faults"]
    assert late["applied"] == 6, "one model call for each request of the experiment arm, and none of the control arm"
    assert journal.own["load"]["arms"]["control"]["requests"] == 6
