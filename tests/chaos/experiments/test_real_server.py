"""Chat load and chat probes against a real server with its offline model."""

import asyncio
from pathlib import Path
from typing import Any

from chaos.experiments.experiment_documents import call, experiment
from iskra_chaos.experiments.runner import Runner
from running_iskra import running_iskra


def test_a_chat_load_loses_no_message(tmp_path: Path) -> None:
    iskra = {
        "load": {"kind": "chat", "text": "Say yes. ${message}", "model": "agent:ask", "requests": 8, "clients": 2},
        "arms": {"by": "session"},
        "expect": [
            call("all answered", "acknowledged_messages", tolerance=8),
            call("lost", "lost_messages", tolerance=0),
            call("twice", "duplicated_messages", tolerance=0),
        ],
    }
    probes = [
        call("ready", "server_is_ready", tolerance=True),
        call("chat", "chat_turn_completes", tolerance=True, arguments={"model": "agent:ask"}),
    ]
    with running_iskra(tmp_path) as server:
        more: dict[str, Any] = {"steady-state-hypothesis": {"title": "It talks", "probes": probes}}
        plan = experiment(iskra=iskra, **more)
        journal = asyncio.run(Runner(server.url, server.token, handle_signals=False).run(plan))
    assert journal.verdict == "held", journal.reasons
    assert set(journal.own["load"]["arms"]) == {"control", "experiment"}
