"""Experiments whose fault the server does not count, where that fault does nothing: they say nothing either."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chaos.resilience.proving_ground import Outcome, ProvingGround, proving_ground
from chaos.resilience.scripted_model import ScriptedModel
from chaos.resilience.switchable_proxy import switchable_proxy
from fake_upstream import fake_upstream

OWN_ANSWERS = {"own_answers": (Path(__file__).parent / "own_answers_plugin.py").read_text(encoding="utf-8")}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    """A server whose model calls never get to a provider, where the faults are."""
    with proving_ground(tmp_path_factory.mktemp("untouched"), plugins=OWN_ANSWERS) as running:
        yield running


def check(outcome: Outcome, *unseen: str) -> None:
    assert outcome.verdict == "invalid", outcome.printed
    assert outcome.status == 4
    assert [name for name, is_seen in outcome.seen().items() if not is_seen] == list(unseen)
    assert all(f"'{name}' did not show" in outcome.printed for name in unseen)


def test_a_provider_that_stays(tmp_path: Path) -> None:
    model = ScriptedModel()
    with fake_upstream(model) as behind, switchable_proxy(behind.url) as proxy:
        proxy.is_stuck = True
        with proving_ground(tmp_path, model=model, primary_url=f"{proxy.url}/v1") as ground:
            values = {"switch": proxy.switch, "down": 0.1, "clients": 2, "opens_within": 0.5, "slowest": 30}
            outcome = ground.run("r3-provider-down", "--allow-host", urlsplit(proxy.switch).netloc, values=values)
    check(outcome, "whether the primary provider says that it works")


def test_a_server_that_lives_on(untouched: ProvingGround) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as another:
        values = {"pid": another.pid, "before": 0.1, "after": 0.1, "clients": 2, "ready_within": 60}
        outcome = untouched.run("r7-killed-server", "--allow-processes", values=values)
    check(outcome, "the server has started anew")


def test_faults_of_pairs_that_nobody_meets(untouched: ProvingGround) -> None:
    outcome = untouched.run("r10-pairs-of-faults", values={"clients": 2, "round": 0.5, "together": 12})
    check(outcome, "every pair")
    assert not outcome.outputs()["every pair"]["pairwise"]["broken"]


def test_another_runner_whose_faults_nobody_meets(untouched: ProvingGround) -> None:
    values = {
        "iskra": f"{sys.executable} -m iskra", "folder": str(untouched.folder), "acts_within": 6, "gone_within": 60
    }  # fmt: skip
    outcome = untouched.run("r11-killed-runner", "--allow-processes", values=values)
    check(outcome, "seconds until its faults act")
