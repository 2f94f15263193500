"""The runner as a process of its own that is told to stop, or killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.experiments.experiment_documents import break_it, call, experiment, http, mend_it
from chaos.experiments.target_server import FAULTS, TargetServer
from iskra_chaos.experiments.journal import Journal

SCRIPT = Path(__file__).with_name("run_experiment.py")


@contextmanager
def running(target: TargetServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A runner in the middle of its method, with a fault, an action that has an undo, and a rollback to do."""
    plan = experiment(
        target.url,
        [break_it(target.url), call("for ever", "wait", kind="action", arguments={"seconds": 3600})],
        [http("rolled back", f"{target.url}/value/rolled-back", "POST", arguments="yes")],
        {
            "faults": [{"point": "work", "kind": "error", "ttl": 1}],
            "undo": {"break": mend_it(target.url)},
            "load": {"path": "/work", "duration": 3600, "clients": 2, "think_time": 0.05},
        },
    )
    (folder / "plan.json").write_text(json.dumps(plan.document), encoding="utf-8")
    command = [sys.executable, str(SCRIPT), target.url, str(folder / "plan.json"), str(folder / "journal.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            target.wait_for("POST", f"{FAULTS}/f1/heartbeat", 60)
            target.wait_for("POST", "/value/health", 60)
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_everything_back(target: TargetServer, tmp_path: Path, number: signal.Signals) -> None:
    with running(target, tmp_path) as process:
        process.send_signal(number)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "aborted\n"), errors
    assert target.state.active() == []
    assert target.state.faults["f1"].state == "cleared"
    assert target.state.values["health"] == "good"
    assert target.state.values["rolled-back"] == "yes"
    journal = Journal.read(tmp_path / "journal.json")
    assert journal.document["status"] == "interrupted"
    assert journal.reasons[0] == f"The runner received {number.name}."
    assert [entry["name"] for entry in journal.own["undo"]] == ["undo break", "fault work error"]
    assert journal.own["steady_state_after_rollback"]["steady_state_met"] is True


def test_the_faults_of_a_killed_runner_go_away_and_its_journal_says_aborted(
    target: TargetServer, tmp_path: Path
) -> None:
    path = tmp_path / "journal.json"
    with running(target, tmp_path) as process:
        until(lambda: bool(Journal.read(path).own["faults"]))
        process.kill()
        process.wait(60)
    # Nobody is left to take it back: the lease runs out, and calls get through again.
    until(lambda: not target.state.active())
    assert target.state.faults["f1"].reason == "no heartbeat"
    journal = Journal.read(path)
    assert (journal.verdict, journal.document["status"]) == ("aborted", "aborted")
    assert journal.own["phase"] == "method"
    assert journal.reasons == ["The runner did not get to the end of the experiment."]
    assert journal.document["steady_states"]["before"]["steady_state_met"] is True
