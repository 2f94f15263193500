import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.experiments.experiment_documents import break_it, call, experiment, http, mend_it
from chaos.experiments.target_server import TargetServer
from iskra_chaos.experiments.load import split_sessions
from iskra_chaos.experiments.runner import Runner

WORK = {"path": "/work", "method": "POST", "body": {"id": "${message}"}, "headers": {"X-Session": "${session}"}}
FOR_EVER = call("for ever", "wait", kind="action", arguments={"seconds": 3600})


@given(st.lists(st.text(), min_size=2, unique=True), st.floats(0.01, 0.99), st.integers())
def test_both_arms_have_sessions_and_a_session_keeps_its_arm(sessions: list[str], share: float, seed: int) -> None:
    chosen = split_sessions(sessions, share, seed)
    assert 1 <= len(chosen) <= len(sessions) - 1
    assert set(chosen) == set(split_sessions(sessions[::-1], share, seed))
    assert abs(len(chosen) - share * len(sessions)) <= 1


async def test_a_load_is_bounded_by_its_requests(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, iskra={"load": {**WORK, "requests": 25, "clients": 4}}))
    assert len(target.state.arms) == 25
    assert journal.own["load"]["arms"]["experiment"]["requests"] == 25
    assert journal.own["load"]["is_finished"]
    assert len(journal.own["load"]["arms"]["experiment"]["latency_curve"]) == 201


async def test_a_load_is_bounded_by_its_duration(target: TargetServer, runner: Runner) -> None:
    load = {**WORK, "duration": 0.3, "clients": 2, "ramp_up": 0.1, "think_time": 0.01}
    journal = await runner.run(experiment(target.url, iskra={"load": load}))
    assert journal.own["load"]["is_finished"]
    assert len(target.state.arms) >= 2


async def test_the_token_goes_along_and_sessions_are_shared_out(target: TargetServer, runner: Runner) -> None:
    load = {**WORK, "requests": 60, "clients": 2, "sessions": 6, "think_time": 0.005}
    await runner.run(experiment(target.url, iskra={"load": load}))
    assert len({session for session, _ in target.state.arms}) == 6


async def test_what_counts_as_success_can_be_said(target: TargetServer, runner: Runner) -> None:
    expect = {"type": "jsonpath", "path": "$.done", "target": "body", "expect": False}
    journal = await runner.run(experiment(target.url, iskra={"load": {**WORK, "requests": 5, "expect": expect}}))
    arm = journal.own["load"]["arms"]["experiment"]
    assert arm["failures"] == 5
    assert arm["reasons"] == {"unexpected answer": 5}


async def test_a_request_that_takes_too_long_has_failed(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "faults": [{"point": "work", "kind": "delay", "parameters": {"seconds": 5}}],
        "load": {**WORK, "requests": 2, "clients": 2, "timeout": 0.05},
    }
    journal = await runner.run(experiment(target.url, iskra=iskra))
    (reason,) = journal.own["load"]["arms"]["experiment"]["reasons"]
    assert reason in ("timeout", "ReadTimeout")


async def test_lost_and_doubled_messages_are_counted(target: TargetServer, runner: Runner) -> None:
    target.state.forgetful = 3
    where = {"path": "/messages", "at": "$.messages[*]"}
    expect = [
        call("acknowledged", "acknowledged_messages", tolerance=40),
        call("lost", "lost_messages", tolerance=0, arguments=where),
        call("twice", "duplicated_messages", tolerance=0, arguments=where),
    ]
    iskra = {"load": {**WORK, "requests": 40}, "expect": expect}
    journal = await runner.run(experiment(target.url, iskra=iskra))
    assert [record["tolerance_met"] for record in journal.own["expectations"]] == [True, False, True]
    lost = journal.own["expectations"][1]["output"]
    assert (lost["status"], len(lost["examples"]), lost["acknowledged"]) == (3, 3, 40)


async def test_no_lost_message_gives_the_bound_of_the_rule_of_three(target: TargetServer, runner: Runner) -> None:
    where = {"path": "/messages", "at": "$.messages[*]"}
    expect = [call("lost", "lost_messages", tolerance=0, arguments=where)]
    journal = await runner.run(experiment(target.url, iskra={"load": {**WORK, "requests": 100}, "expect": expect}))
    assert journal.verdict == "held", journal.reasons
    assert journal.own["expectations"][0]["output"]["upper_bound"] == pytest.approx(0.0295, abs=1e-3)


async def test_probes_of_the_load_need_a_load(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, [call("early", "p99", tolerance=[0, 1])]))
    assert journal.verdict == "deviated"
    assert "There is no load yet" in journal.reasons[0]


async def test_the_load_can_be_waited_for_and_compared(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "faults": [{"point": "work", "kind": "delay", "parameters": {"seconds": 0.08}}],
        "load": {**WORK, "requests": 80, "clients": 4},
        "arms": {"by": "session"},
        "expect": [
            call("ratio", "p99_ratio", tolerance=[1e-9, 1e6]),
            call("slow", "p99", tolerance=[0.08, 60]),
            call("mean", "mean_latency", tolerance=[0.08, 60]),
            call("bound", "error_rate_upper_bound", tolerance=[1e-9, 0.999]),
            call("some", "requests_of_arm", tolerance=[1, 80]),
        ],
    }
    journal = await runner.run(experiment(target.url, [call("all", "wait_for_load", tolerance=80)], iskra=iskra))
    assert journal.verdict == "held", journal.reasons


async def test_the_sequential_test_stops_a_bad_run(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "faults": [{"point": "work", "kind": "error", "strategy": {"name": "intermittent", "probability": 0.5}}],
        "load": {**WORK, "requests": 100_000, "clients": 4},
        "sequential": {"p0": 0.005, "p1": 0.02},
    }
    journal = await runner.run(experiment(target.url, [FOR_EVER], [mend_it(target.url)], iskra))
    assert journal.verdict == "deviated"
    assert "The sequential test found" in journal.reasons[0]
    assert journal.own["sequential_test"]["decision"] == "reject"
    assert len(target.state.arms) < 1000
    assert target.state.active() == []


async def test_the_sequential_test_may_end_a_good_load(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "load": {**WORK, "requests": 100_000, "clients": 4},
        "sequential": {"p0": 0.05, "p1": 0.4, "stop_when_accepted": True},
    }
    journal = await runner.run(experiment(target.url, iskra=iskra))
    assert journal.verdict == "held", journal.reasons
    assert journal.own["sequential_test"]["decision"] == "accept"
    assert len(target.state.arms) < 1000


@pytest.mark.parametrize(
    "guard",
    [
        {"measure": "error_rate", "most": 0.2, "at_least_requests": 10},
        {"measure": "requests", "most": 50},
        {"measure": "p99", "most": 0.0, "at_least_requests": 10},
        {"measure": "p99_ratio", "most": 0.0, "at_least_requests": 5},
        {"probe": {"provider": {"type": "http", "url": "${base}/health"}}, "tolerance": 418},
    ],
    ids=["error rate", "requests", "p99", "ratio", "probe"],
)
async def test_a_guard_aborts_and_everything_is_taken_back(
    target: TargetServer, runner: Runner, guard: dict[str, object]
) -> None:
    iskra = {
        "faults": [{"point": "work", "kind": "error"}],
        "load": {**WORK, "requests": 100_000, "clients": 4},
        "arms": {"by": "session"},
        "guards": [{"name": "limit", "every": 0.02, **guard}],
    }
    plan = experiment(target.url, [FOR_EVER], [mend_it(target.url)], iskra, configuration={"base": target.url})
    journal = await runner.run(plan)
    assert journal.verdict == "aborted"
    assert "The guard 'limit' saw" in journal.reasons[0]
    assert journal.document["status"] == "aborted"
    assert journal.own["guards"][0]["hit"]
    assert target.state.active() == []
    assert journal.own["steady_state_after_rollback"]["steady_state_met"]


async def test_a_guard_that_cannot_look_is_hit(target: TargetServer, runner: Runner) -> None:
    blind = call("blind", "value_at", arguments={"path": "/value/x", "at": "$.nothing"})
    iskra = {"guards": [{"name": "blind", "every": 0.02, "probe": blind, "tolerance": 1}]}
    journal = await runner.run(experiment(target.url, [FOR_EVER], iskra=iskra))
    assert journal.verdict == "aborted"


async def test_a_guard_may_ask_for_a_limit_that_lasts(target: TargetServer, runner: Runner) -> None:
    probe = http("watched", f"{target.url}/value/pressure")
    tolerance = {"type": "jsonpath", "path": "$.value", "target": "body", "expect": "low"}
    target.state.values["pressure"] = "low"
    iskra = {"guards": [{"name": "pressure", "every": 0.01, "for": 3600, "probe": probe, "tolerance": tolerance}]}
    raise_it = http("raise", f"{target.url}/value/pressure", "POST", arguments="high")
    wait = call("wait", "wait", kind="action", arguments={"seconds": 0.2})
    journal = await runner.run(experiment(target.url, [raise_it, wait], iskra=iskra))
    assert journal.verdict == "held", journal.reasons
    assert journal.own["guards"][0]["checks"] > 1
    assert not journal.own["guards"][0]["hit"]


async def test_a_guard_ends_a_function_that_hangs(target: TargetServer, runner: Runner) -> None:
    iskra = {
        "guards": [
            {"name": "health", "every": 0.02, "probe": http("h", f"{target.url}/health"), "tolerance": 200},
        ]
    }
    async with asyncio.timeout(60):
        plan = experiment(target.url, [break_it(target.url), FOR_EVER], [mend_it(target.url)], iskra)
        journal = await runner.run(plan)
    assert journal.verdict == "aborted"
    assert target.state.values["health"] == "good"
