"""Each experiment that comes with the server, run small against a real one."""

from pathlib import Path

import pytest

from chaos.resilience.proving_ground import Outcome, ProvingGround
from iskra_chaos.experiments.allow_list import AllowList
from iskra_chaos.experiments.document import Experiment
from iskra_chaos.experiments.program import SHIPPED
from iskra_chaos.experiments.runner import Runner

FILES = sorted(SHIPPED.glob("*.yaml"))


def check(outcome: Outcome) -> None:
    assert outcome.verdict == "held", outcome.printed
    assert outcome.status == 0
    assert outcome.observed > 0


def test_errors_of_the_provider_do_not_reach_users(ground: ProvingGround) -> None:
    # The waits between attempts are as long as ever, and this model takes no time: the ratio says nothing here.
    values = {"requests": 80, "clients": 16, "most_errors": 0.05, "slowest_ratio": 1000}
    check(ground.run("r1-provider-errors", **values))


def test_cut_streams_never_look_whole(ground: ProvingGround) -> None:
    check(ground.run("r2-cut-streams", requests=60, clients=8))
