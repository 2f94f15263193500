import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments.experiment_documents import break_it, call, experiment, http, mend_it
from chaos.experiments.target_server import FAULTS, TargetServer
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.runner import Runner

ERRORS = {"point": "work", "kind": "error", "strategy": {"name": "intermittent", "probability": 0.3}}
LOAD = {"path": "/work", "method": "POST", "headers": {"X-Session": "${session}"}, "requests": 60, "clients": 3}


def waits(seconds: float = 3600) -> dict[str, Any]:
    return call("for ever", "wait", kind="action", arguments={"seconds": seconds})


async def test_faults_meet_the_experiment_arm_alone(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "faults": [ERRORS],
        "load": LOAD,
        "arms": {"by": "session"},
        "expect": [
            call("control", "error_rate", tolerance=0.0, arguments={"arm": "control"}),
            call("experiment", "error_rate", tolerance=[0.01, 0.99]),
            call("seen", "fault_observed", tolerance=[1, 60], arguments={"name": "work error"}),
        ],
    }
    journal = await runner.run(experiment(target.url, iskra=iskra))
    assert journal.verdict == "held", journal.reasons
    (fault,) = journal.own["faults"]
    assert fault["state"] == "cleared"
    assert fault["requested"] >= fault["applied"] >= fault["observed"] > 0
    arms = journal.own["load"]["arms"]
    assert arms["experiment"]["failures"] == fault["observed"]
    assert arms["control"]["requests"] + arms["experiment"]["requests"] == 60


async def test_requests_in_turn_carry_the_label(target: TargetServer, runner: Runner) -> None:
    iskra = {"faults": [ERRORS], "load": LOAD, "arms": {"by": "request", "label": "try", "share": 0.25}}
    journal = await runner.run(experiment(target.url, iskra=iskra))
    labels = [label for _, label in target.state.arms]
    assert labels.count("try") == 15
    assert target.state.faults["f1"].body["scope"]["label"] == "try"
    assert journal.own["load"]["arms"]["control"]["failures"] == 0


async def test_a_fault_that_is_never_observed_makes_the_result_invalid(target: TargetServer, runner: Runner) -> None:
    target.state.is_dull = True
    journal = await runner.run(experiment(target.url, iskra={"faults": [ERRORS], "load": LOAD}))
    assert journal.verdict == "invalid"
    assert "observed 0 times" in journal.reasons[0]
    assert journal.document["status"] == "completed"


async def test_a_point_that_belongs_to_another_experiment_fails_this_one(target: TargetServer, runner: Runner) -> None:
    target.state.taken.add("work")
    faults = [{"point": "other", "kind": "delay"}, ERRORS]
    journal = await runner.run(experiment(target.url, [break_it(target.url)], iskra={"faults": faults, "load": LOAD}))
    assert journal.verdict == "failed"
    assert "belongs to another experiment" in journal.reasons[0]
    assert target.state.active() == []
    assert target.state.arms == []
    assert target.state.values["health"] == "good"


async def test_two_experiments_on_one_point(target: TargetServer, tmp_path: Path) -> None:
    def make(name: str) -> Runner:
        return Runner(target.url, "t", journal_path=tmp_path / name, heartbeat=0.05, handle_signals=False)

    first = asyncio.ensure_future(
        make("a").run(experiment(target.url, [waits()], iskra={"faults": [ERRORS], "time_limit": 60}))
    )
    await asyncio.to_thread(target.wait_for, "POST", f"{FAULTS}/f1/heartbeat")
    second = await make("b").run(experiment(target.url, iskra={"faults": [ERRORS], "load": LOAD}))
    assert second.verdict == "failed"
    assert len(target.state.active()) == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert target.state.active() == []


async def test_two_faults_of_one_experiment_share_a_point(target: TargetServer, runner: Runner) -> None:
    faults = [{**ERRORS, "name": "errors"}, {"point": "work", "kind": "delay", "name": "slowness"}]
    journal = await runner.run(experiment(target.url, iskra={"faults": faults, "load": LOAD}))
    assert journal.verdict == "held", journal.reasons
    assert [fault["name"] for fault in journal.own["faults"]] == ["errors", "slowness"]


async def test_a_bad_kind_is_told_in_the_words_of_the_server(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, iskra={"faults": [{"point": "work", "kind": "melt"}]}))
    assert journal.verdict == "failed"
    assert "The kind 'melt' is unknown." in journal.reasons[0]


async def test_heartbeats_keep_a_fault_alive(target: TargetServer, runner: Runner) -> None:
    target.state.grace = 0.6
    wait = call("beats", "wait", kind="action", arguments={"seconds": 1.5})
    fault = {**ERRORS, "ttl": 1, "minimum_observed": 0}
    journal = await runner.run(experiment(target.url, [wait], iskra={"faults": [fault]}))
    assert journal.verdict == "held", journal.reasons
    assert target.state.faults["f1"].beats >= 2
    assert target.state.faults["f1"].state == "cleared"


async def test_an_emergency_stop_aborts_the_experiment(target: TargetServer, runner: Runner) -> None:
    stop = http("stop", f"{target.url}/api/v1/control/emergency_stop", "POST")
    plan = experiment(target.url, [break_it(target.url), stop, waits()], [mend_it(target.url)], {"faults": [ERRORS]})
    journal = await runner.run(plan)
    assert journal.verdict == "aborted"
    assert journal.reasons[0] == "The server ended the fault 'work error': emergency stop."
    assert target.state.values["health"] == "good"


async def test_a_lost_fault_may_be_part_of_the_plan(target: TargetServer, runner: Runner) -> None:
    stop = http("stop", f"{target.url}/api/v1/control/emergency_stop", "POST")
    fault = {**ERRORS, "minimum_observed": 0, "on_lost": "continue"}
    journal = await runner.run(experiment(target.url, [stop, waits(0.3)], iskra={"faults": [fault]}))
    assert journal.verdict == "held", journal.reasons
    assert journal.own["faults"][0]["state"] == "lost"


async def test_a_fault_that_cannot_be_ended_is_critical(target: TargetServer, runner: Runner) -> None:
    target.state.undeletable = True
    plan = experiment(target.url, [], [mend_it(target.url)], {"faults": [ERRORS], "load": LOAD})
    journal = await runner.run(plan)
    assert journal.verdict == "failed"
    assert "'fault work error' could not be taken back" in journal.own["critical"][0]
    assert [record["status"] for record in journal.document["rollbacks"]] == ["succeeded"]


async def test_a_fault_may_come_later_and_go_earlier(target: TargetServer, runner: Runner) -> None:
    fault = {**ERRORS, "starts_after": 0.1, "lasts": 0.2, "minimum_observed": 0}
    journal = await runner.run(experiment(target.url, iskra={"faults": [fault]}))
    assert journal.verdict == "held", journal.reasons
    order = [(entry["kind"], entry["text"]) for entry in journal.own["timeline"] if entry["kind"] in ("fault", "undo")]
    assert order == [("fault", "started"), ("fault", "ended"), ("undo", "succeeded")]
    assert target.state.paths("DELETE") == [f"{FAULTS}/f1"]


async def test_a_fault_that_is_being_asked_for_when_the_run_is_cancelled_is_taken_back(
    target: TargetServer, runner: Runner
) -> None:
    target.state.gate = threading.Event()
    task = asyncio.ensure_future(runner.run(experiment(target.url, [waits()], iskra={"faults": [ERRORS]})))
    await asyncio.to_thread(target.wait_for, "POST", FAULTS)
    task.cancel()
    await asyncio.sleep(0)
    target.state.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert target.state.faults["f1"].state == "cleared"


async def test_a_rollback_of_the_fault_that_breaks_the_system_is_found(target: TargetServer, runner: Runner) -> None:
    target.state.broken_by_rollback = "bad"
    journal = await runner.run(experiment(target.url, iskra={"faults": [ERRORS], "load": LOAD}))
    assert journal.verdict == "deviated"
    assert journal.document["steady_states"]["after"]["steady_state_met"] is True
    assert "did not come back" in journal.reasons[0]


async def test_what_a_fault_says_is_filled_and_cleared(target: TargetServer) -> None:
    asked: list[str] = []

    async def clearance(spec: DeclaredFault) -> str:
        asked.append(spec.title)
        return "from the review"

    runner = Runner(target.url, "t", clearance=clearance, handle_signals=False, environment={})
    faults = [
        {"point": "a", "kind": "delay", "parameters": {"seconds": "${pace}"}, "clearance": "${pass}"},
        {"point": "b", "kind": "delay", "seed": 4, "scope": {"experiment_arm": False}},
    ]
    more: dict[str, Any] = {"configuration": {"pace": 0.5}, "secrets": {"ethics": {"pass": "signed-token"}}}
    load = {**LOAD, "requests": 4}
    plan = experiment(target.url, iskra={"faults": faults, "load": load, "arms": {}}, **more)
    journal: Journal = await runner.run(plan)
    first, second = (fault.body for fault in target.state.faults.values())
    assert first["parameters"] == {"seconds": 0.5}
    assert first["clearance"] == "signed-token"
    assert second["clearance"] == "from the review"
    assert asked == ["b delay"]
    assert len(first["scope"]["sessions"]) == 2
    assert second["scope"]["sessions"] == []
    assert second["seed"] == 4
    assert "signed-token" not in str(journal.redacted())


async def test_a_server_that_is_gone_for_good_ends_the_run(target: TargetServer, runner: Runner) -> None:
    fault = {**ERRORS, "minimum_observed": 0}
    plan = experiment(target.url, [waits()], iskra={"faults": [fault], "time_limit": 600})
    async with asyncio.timeout(60):
        running = asyncio.ensure_future(runner.run(plan))
        await asyncio.to_thread(target.wait_for_beats, "f1", 2)  # so that the first one was answered
        target.state.is_dead = True
        journal = await running
    assert journal.verdict == "aborted"
    assert journal.reasons[0].startswith("The server is gone: of the fault 'work error' no heartbeat was answered for")
    assert journal.own["faults"][0]["state"] == "lost"
