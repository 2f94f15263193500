"""Chat load, chat probes and real faults against a real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments.experiment_documents import call, experiment
from fake_upstream import Call, Request, fake_upstream
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.runner import Runner
from running_iskra import RunningServer, running_iskra

TALKS = [
    call("ready", "server_is_ready", tolerance=True),
    call("chat", "chat_turn_completes", tolerance=True, arguments={"model": "agent:ask"}),
]
LOAD = {"kind": "chat", "text": "Say yes. ${message}", "model": "agent:ask", "requests": 16, "clients": 4}
WIDE = {**LOAD, "clients": 16, "sessions": 128, "requests": 384}
"""An operation reaches a tenth of the sessions at most."""
SEEN = [call("lost", "lost_messages", tolerance=0)]


def answer(request: Request) -> Iterator[str | Call]:
    yield "Yes."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    (folder / "data").mkdir()
    (folder / "data" / "iskra.toml").write_text('[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\n')
    with fake_upstream(answer) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(folder, settings=settings) as running:
            yield running


def run(server: RunningServer, **iskra: Any) -> Journal:
    more: dict[str, Any] = {"steady-state-hypothesis": {"title": "It talks", "probes": TALKS}}
    plan = experiment(iskra=iskra, **more)
    return asyncio.run(Runner(server.url, server.token, handle_signals=False).run(plan))


def test_a_chat_load_loses_no_message(server: RunningServer) -> None:
    expect = [
        call("all answered", "acknowledged_messages", tolerance=16),
        call("lost", "lost_messages", tolerance=0),
        call("twice", "duplicated_messages", tolerance=0),
    ]
    journal = run(server, load=LOAD, arms={"by": "session"}, expect=expect)
    assert journal.verdict == "held", journal.reasons
    assert set(journal.own["load"]["arms"]) == {"control", "experiment"}


def test_a_fault_of_the_server_meets_the_experiment_arm(server: RunningServer) -> None:
    slow = {"point": "llm.stream", "kind": "latency", "parameters": {"latency": 400}, "name": "slow model"}
    expect = [
        call("seen", "fault_observed", tolerance=[1, 100]),
        call("slow", "mean_latency", tolerance=[0.4, 60]),
        call("lost", "lost_messages", tolerance=0),
    ]
    journal = run(server, faults=[slow], load=LOAD, arms={"by": "session"}, expect=expect)
    assert journal.verdict == "held", journal.reasons
    (fault,) = journal.own["faults"]
    assert fault["state"] == "cleared"
    assert fault["observed"] > 0
    arms = journal.own["load"]["arms"]
    assert fault["requested"] <= arms["experiment"]["requests"] * 2


def test_an_unknown_fault_is_refused_in_the_words_of_the_server(server: RunningServer) -> None:
    journal = run(server, faults=[{"point": "llm.request", "kind": "melt"}])
    assert journal.verdict == "failed"
    assert "did not take the fault 'llm.request melt'" in journal.reasons[0]


def test_an_operation_lets_its_faults_loose_by_its_intensity(server: RunningServer) -> None:
    slow = {"type": "micro_disturbance", "intensity": 1.0, "name": "slow"}
    journal = run(server, operations=[slow], load=WIDE, expect=SEEN)
    assert journal.verdict == "held", journal.reasons
    assert [fault["name"] for fault in journal.own["faults"]] == [
        "slow: llm.stream latency",
        "slow: llm.stream slow_drip",
    ]
    assert {fault["state"] for fault in journal.own["faults"]} == {"cleared"}


def test_an_operation_of_which_nothing_was_seen_shows_nothing(server: RunningServer) -> None:
    elsewhere = {"type": "pattern_break", "point": "tool.call", "intensity": 1.0}
    journal = run(server, operations=[elsewhere], load=WIDE, expect=SEEN)
    assert journal.verdict == "invalid"
    assert "None of the faults of the operation 'pattern_break' was observed" in journal.reasons[0]
