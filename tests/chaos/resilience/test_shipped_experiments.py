"""Each experiment that comes with the server, run small against a real one.

Sizes are small and the bounds of latencies wide: what is looked at here is that each fault is seen and each hypothesis
holds. ``benchmarks/resilience.py`` runs them in full.
"""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chaos.resilience.proving_ground import Outcome, ProvingGround, free_port, proving_ground, started_again
from chaos.resilience.scripted_model import ScriptedModel
from chaos.resilience.switchable_proxy import switchable_proxy
from fake_upstream import fake_upstream
from iskra_chaos.experiments.errors import ActivityRefusedError
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.program import SHIPPED, main
from iskra_chaos.experiments.runner import Runner

FILES = sorted(SHIPPED.glob("*.yaml"))
PATIENT = {"closes_within": 60}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_experiment_may_run(file: Path) -> None:
    experiment = Experiment.from_file(file)
    assert experiment.title.startswith(f"{file.stem.split('-')[0].upper()} ")
    assert experiment.description
    with_programs = AllowList(hosts=["127.0.0.1:8474"], processes=True)
    Runner("http://127.0.0.1:8700", "t", allow=with_programs, environment={}).load(experiment)


def test_each_experiment_of_the_list_is_there() -> None:
    assert {file.stem.split("-")[0] for file in FILES} == {f"r{number}" for number in range(1, 12)}


def test_programs_are_started_with_permission_alone() -> None:
    for name in ("r7-killed-server", "r11-killed-runner"):
        with pytest.raises(ActivityRefusedError):
            Runner("http://127.0.0.1:8700", "t", environment={}).load(Experiment.from_file(SHIPPED / f"{name}.yaml"))


def test_they_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [f"R{number}" for number in range(1, 12)]


def check(outcome: Outcome, *, seen: int = 1) -> None:
    assert outcome.verdict == "held", outcome.printed
    assert outcome.status == 0
    assert outcome.observed >= seen


def test_errors_of_the_provider_do_not_reach_users(ground: ProvingGround) -> None:
    # The waits between attempts are as long as ever, and this model takes no time: the ratio says nothing here.
    values = {"requests": 80, "clients": 8, "ramp_up": 0.2, "most_errors": 0.05, "slowest_ratio": 1000}
    check(ground.run("r1-provider-errors", values=values))


def test_cut_streams_never_look_whole(ground: ProvingGround) -> None:
    outcome = ground.run("r2-cut-streams", values={"requests": 80, "clients": 8, "ramp_up": 0.2})
    check(outcome)
    assert outcome.outputs()["answers that were cut and said nothing of it"]["reasons"]["stream_interrupted"] > 0


def test_the_next_provider_takes_over_and_the_first_comes_back(tmp_path: Path) -> None:
    model = ScriptedModel()
    with fake_upstream(model) as behind, switchable_proxy(behind.url) as proxy:
        address = f"{proxy.url}/v1"
        with proving_ground(tmp_path, model=model, primary_url=address, breaker_rest=0.5) as ground:
            values = {"switch": proxy.switch, "down": 1, "pause": 0.05, "clients": 4, "slowest": 30, **PATIENT}
            outcome = ground.run("r3-provider-down", "--allow-host", urlsplit(proxy.switch).netloc, values=values)
    assert outcome.verdict == "held", outcome.printed
    assert proxy.refused >= 5
    assert outcome.outputs()["failures in a row that opened its circuit"] == 5
    assert outcome.seen() == {"whether the primary provider says that it works": True}


def test_broken_tool_calls_are_mended_or_named(ground: ProvingGround) -> None:
    check(ground.run("r4-malformed-tool-calls", values={"requests": 320, "clients": 8}))


def test_lies_of_tools_do_not_become_successes(ground: ProvingGround) -> None:
    outcome = ground.run("r5-lying-tools", values={"requests": 80, "clients": 8})
    check(outcome)
    assert outcome.outputs()["share of lies that were neither verified nor flagged"] == 0


def test_unruly_events_have_their_effects_once(ground: ProvingGround) -> None:
    check(ground.run("r6-unruly-events", values={"requests": 200, "clients": 16}))


def test_a_killed_server_comes_back_with_what_it_acknowledged(tmp_path: Path) -> None:
    model = ScriptedModel(seconds=0.05)
    with proving_ground(tmp_path, model=model, port=free_port()) as ground, started_again(ground):
        values = {"pid": ground.server.process.pid, "before": 0.2, "after": 1, "clients": 6, "ready_within": 60}
        outcome = ground.run("r7-killed-server", "--allow-processes", values=values)
    assert outcome.verdict == "held", outcome.printed
    assert outcome.outputs()["the process that was killed is gone"]["status"] == 1
    assert outcome.seen() == {"the server has started anew": True}


def test_dropped_sockets_take_up_where_they_were(ground: ProvingGround) -> None:
    values = {
        "clients": 40,
        "sessions": 4,
        "turns": 6,
        "settle": 0,
        "healthy": 60,
        "dropped": 10,
        "hit": 20,
        "slowest": 30,
        "busiest": 1,
    }
    outcome = ground.run("r8-socket-storm", values=values)
    check(outcome, seen=20)
    assert outcome.outputs()["storm"]["storm"]["clients_hit"] >= 20


def test_a_store_in_trouble_refuses_writes_by_name(ground: ProvingGround) -> None:
    values = {
        "requests": 200, "clients": 8, "writes": 40, "slowest": 30, "database": str(ground.server.data_dir / "iskra.db")
    }  # fmt: skip
    outcome = ground.run("r9-store-trouble", values=values)
    check(outcome)
    written = outcome.outputs()["write"]
    assert written["refused"].keys() == {"store_unavailable", "storage_full"}
    assert written["written"]


def test_no_pair_of_faults_breaks_a_promise(ground: ProvingGround) -> None:
    outcome = ground.run("r10-pairs-of-faults", values={"clients": 6, "round": 1.5, "together": 9})
    assert outcome.verdict == "held", outcome.printed
    pairs = outcome.outputs()["every pair"]["pairwise"]
    assert pairs["pairs"] == 66
    assert len(pairs["observed"]) == 12
    assert outcome.seen() == {"every pair": True}
