"""The exit status of ``iskra chaos run``: 1 says that the system deviated, so nothing else may say it."""

import json
from pathlib import Path

import pytest

from chaos.experiments.experiment_documents import call, experiment
from chaos.experiments.target_server import TargetServer
from iskra_chaos.experiments.program import main


@pytest.fixture
def plan(target: TargetServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment that holds, and the place where things cannot be written: below a file."""
    monkeypatch.setenv("ISKRA_URL", target.url)
    monkeypatch.setenv("ISKRA_TOKEN", "t")
    document = experiment(target.url, [call("fine", "server_answers", tolerance=True)]).document
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    return path


def test_a_journal_that_cannot_be_written_is_a_mistake_on_the_command_line(
    plan: Path, target: TargetServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(plan), "--journal", str(plan / "x" / "journal.json")]) == 2
    assert "nothing was run: Not a directory" in capsys.readouterr().err
    assert target.state.paths("POST") == []


def test_a_report_that_cannot_be_written_changes_no_verdict(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = ["--journal", str(tmp_path / "journal.json")]
    assert main(["run", str(plan), *journal, "--report", str(plan / "x" / "report.html")]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("held: ")
    assert "cannot be written: Not a directory" in printed.err
    assert main(["report", str(tmp_path / "journal.json"), "--output", str(plan / "x" / "report.html")]) == 2


def test_a_file_that_is_nested_too_deeply_is_a_mistake_and_no_deviation(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.write_text("[" * 100_000)
    assert main(["run", str(plan)]) == 2
    assert "nested deeper" in capsys.readouterr().err
