"""The process is killed at every step of a turn; the next one goes on without losing or repeating anything."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHILD = Path(__file__).with_name("crash_child.py")
ROOTS = ("core", "sdk", "tests")

KILLED = -9
COMMITS = 16
"""More than the turn has: the last kills never fire, which the test checks."""


def run_child(directory: Path, **mode: object) -> tuple[int, list[dict[str, Any]]]:
    """Run the child and return its exit status and what it said."""
    repository = CHILD.parents[3]
    path = os.pathsep.join(str(repository / root) for root in ROOTS)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(directory), json.dumps(mode)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode not in (0, KILLED):
        raise AssertionError(done.stderr)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def notes(directory: Path) -> list[str]:
    """Return the lines the tool wrote."""
    file = directory / "notes.txt"
    return file.read_text().splitlines() if file.exists() else []


def written(directory: Path) -> list[str]:
    """Return the lines without their effect ids."""
    return [line.split(" ", 1)[1] for line in notes(directory)]


def finish_with_approvals(directory: Path, *, start: bool, kill: tuple[str, int] | None) -> tuple[int, bool]:
    """Run until a kill, approving what is asked; return the exit status and whether the turn was acknowledged."""
    status, said = run_child(directory, start=start, decide=True, kill=kill)
    return status, any("acknowledged" in line for line in said)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.timeout(300)
def test_kill_at_every_commit_loses_and_repeats_nothing(tmp_path: Path, when: str) -> None:
    fired = 0
    for number in range(1, COMMITS + 1):
        directory = tmp_path / str(number)
        status, acknowledged = finish_with_approvals(directory, start=True, kill=(when, number))
        fired += status == KILLED
        if status != KILLED:
            break
        _, said = run_child(directory, start=False, decide=True)
        if {"nothing": True} in said:
            assert not acknowledged
            continue
        assert said[-1] == {"ended": "turn.completed"}
        interrupted = [line for line in said if "stopped while this call" in str(line.get("asked"))]
        # A call that had started may have been repeated, but only because a person said so.
        assert written(directory) in (["line 1", "line 2"],) or (
            interrupted and len(written(directory)) == 2 + len(interrupted)
        )
    else:
        pytest.fail("the turn has more commits than the test kills")
    assert fired >= 8, "the kills did not reach the steps of the turn"


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("approve", [True, False])
def test_kill_inside_a_side_effect_asks_before_it_is_repeated(tmp_path: Path, number: int, approve: bool) -> None:
    status, _ = finish_with_approvals(tmp_path, start=True, kill=("tool", number))
    assert status == KILLED
    assert len(written(tmp_path)) == number
    _, said = run_child(tmp_path, start=False, decide=approve)
    asked = [line for line in said if "asked" in line]
    assert "stopped while this call" in asked[0]["asked"]
    assert said[-1] == {"ended": "turn.completed"}
    if approve:
        assert len(written(tmp_path)) == 3
        repeated = [line.split(" ", 1)[0] for line in notes(tmp_path)]
        assert repeated[number - 1] == repeated[number], "the repetition has the same effect id"
    else:
        assert written(tmp_path)[:number] == ["line 1", "line 2"][:number]
        assert len(written(tmp_path)) == number


def test_open_request_survives_kills_and_is_decided_once(tmp_path: Path) -> None:
    status, _ = run_child(tmp_path, start=True, decide=None, kill=("after", 4))
    assert status == KILLED
    for _ in range(2):
        status, said = run_child(tmp_path, start=False, decide=None, kill=("after", 1))
        assert status == KILLED
        assert not any("ended" in line for line in said)
    _, said = run_child(tmp_path, start=False, decide=True)
    assert [line["tool_call_id"] for line in said if "asked" in line] == ["note1", "note2"]
    assert written(tmp_path) == ["line 1", "line 2"]
