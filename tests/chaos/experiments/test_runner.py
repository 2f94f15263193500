import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments.experiment_documents import (
    DOCUMENTS,
    SAMPLES,
    break_it,
    call,
    experiment,
    http,
    mend_it,
)
from chaos.experiments.target_server import FAULTS, TargetServer
from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.rollback_alarm import EXPERIMENTS
from iskra_chaos.experiments.runner import Runner


def kinds(journal: Journal, kind: str) -> list[tuple[str, str]]:
    return [(entry["name"], entry["text"]) for entry in journal.own["timeline"] if entry["kind"] == kind]


async def test_a_chaos_toolkit_experiment_in_json_runs_unchanged(target: TargetServer, tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    runner = Runner(
        target.url,
        "t",
        allow=AllowList([SAMPLES], processes=True),
        journal_path=path,
        given={"pause": 0.01},
        environment={"TARGET_URL": target.url, "SHOP_TOKEN": "very-secret-token"},
        handle_signals=False,
    )
    journal = await runner.run(Experiment.from_file(DOCUMENTS / "checkout.json"))
    assert journal.verdict == "held", journal.reasons
    assert [record["activity"]["name"] for record in journal.document["run"]] == [
        "slow-down-prices", "shop-answers", "what-python-says"
    ]  # fmt: skip
    assert journal.document["run"][2]["output"]["stdout"] == "42\n"
    assert target.state.bodies == [{"seconds": 5, "note": "inline-secret-value"}]
    assert "price-delay" not in target.state.values
    assert [control["name"] for control in journal.own["controls_not_run"]] == ["tracing", "wait-a-bit"]
    written = path.read_text(encoding="utf-8")
    assert "very-secret-token" not in written
    assert "inline-secret-value" not in written


async def test_a_journal_has_what_chaos_toolkit_tools_read(target: TargetServer, runner: Runner) -> None:
    journal = (await runner.run(experiment(target.url, [break_it(target.url)], [mend_it(target.url)]))).document
    keys = {"chaoslib-version", "platform", "node", "experiment", "start", "status", "deviated", "steady_states", "run"}
    assert keys | {"rollbacks", "end", "duration"} <= journal.keys()
    assert (journal["status"], journal["deviated"]) == ("failed", True)
    assert journal["steady_states"]["before"]["steady_state_met"] is True
    assert journal["steady_states"]["after"]["steady_state_met"] is False
    record = journal["rollbacks"][0]
    assert {"activity", "output", "status", "start", "end", "duration"} <= record.keys()


async def test_every_kind_of_tolerance_in_a_yaml_document(target: TargetServer) -> None:
    runner = Runner(
        target.url,
        "t",
        allow=AllowList([SAMPLES], processes=True),
        environment={"TARGET_URL": target.url},
        handle_signals=False,
    )
    journal = await runner.run(Experiment.from_file(DOCUMENTS / "tolerances.yaml"))
    assert journal.verdict == "held", journal.reasons
    assert journal.document["steady_states"]["before"] is None
    probes = journal.document["steady_states"]["after"]["probes"]
    assert [probe["tolerance_met"] for probe in probes] == [True] * 11


async def test_a_system_that_leaves_its_steady_state_has_deviated(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, [break_it(target.url)], [mend_it(target.url)]))
    assert journal.verdict == "deviated"
    assert "After the method" in journal.reasons[0]
    assert target.state.values["health"] == "good"
    assert journal.own["steady_state_after_rollback"]["steady_state_met"] is True


async def test_a_rollback_that_breaks_the_system_is_found(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, [], [break_it(target.url)], {}))
    assert journal.verdict == "deviated"
    assert "did not come back" in journal.reasons[0]


async def test_the_steady_state_may_take_its_time_to_come_back(target: TargetServer, runner: Runner) -> None:
    async def mend() -> None:
        await asyncio.to_thread(target.wait_for, "POST", "/value/rolled-back")
        # The first check after the rollback still finds it broken, or the check comes late: both are fine.
        target.state.values["health"] = "good"

    task = asyncio.ensure_future(mend())
    plan = experiment(
        target.url,
        [break_it(target.url)],
        [http("rolled back", f"{target.url}/value/rolled-back", "POST", arguments="1")],
        {"recovery": {"within": 30, "every": 0.01}},
        runtime={"hypothesis": {"strategy": "before-method-only"}},
    )
    journal = await runner.run(plan)
    await task
    assert journal.verdict == "held", journal.reasons
    assert journal.own["recovery_seconds"] is not None


async def test_nothing_is_done_to_a_system_that_is_not_well(target: TargetServer, runner: Runner) -> None:
    target.state.values["health"] = "bad"
    faults = {"faults": [{"point": "work", "kind": "error"}]}
    journal = await runner.run(experiment(target.url, [break_it(target.url)], [mend_it(target.url)], faults))
    assert journal.verdict == "failed"
    assert journal.document["status"] == "failed"
    assert "not in its steady state to begin with" in journal.reasons[0]
    assert target.state.paths("POST") == []
    assert journal.document["rollbacks"] == []


@pytest.mark.parametrize(
    ("strategy", "before", "after"),
    [
        ("default", True, True),
        ("before-method-only", True, False),
        ("after-method-only", False, True),
        ("during-method-only", False, False),
        ("continuously", True, True),
        ("skip", False, False),
    ],
)
async def test_when_the_hypothesis_is_checked(
    target: TargetServer, runner: Runner, strategy: str, before: bool, after: bool
) -> None:
    plan = experiment(
        target.url,
        [call("wait", "wait", kind="action", arguments={"seconds": 0.1})],
        runtime={"hypothesis": {"strategy": strategy, "frequency": 0.01}},
    )
    states = (await runner.run(plan)).document["steady_states"]
    assert (states["before"] is not None, states["after"] is not None) == (before, after)
    assert bool(states["during"]) == (strategy in ("during-method-only", "continuously"))


async def test_a_hypothesis_that_fails_fast_ends_the_method(target: TargetServer, runner: Runner) -> None:
    plan = experiment(
        target.url,
        [break_it(target.url), call("for ever", "wait", kind="action", arguments={"seconds": 3600})],
        [mend_it(target.url)],
        runtime={"hypothesis": {"strategy": "continuously", "frequency": 0.01, "fail_fast": True}},
    )
    journal = await runner.run(plan)
    assert journal.verdict == "deviated"
    assert target.state.values["health"] == "good"


@pytest.mark.parametrize(
    ("strategy", "breaks", "played"),
    [
        ("default", False, True),
        ("default", True, True),
        ("always", False, True),
        ("never", True, False),
        ("deviated", False, False),
        ("deviated", True, True),
    ],
)
async def test_when_rollbacks_are_played(
    target: TargetServer, runner: Runner, strategy: str, breaks: bool, played: bool
) -> None:
    method = [break_it(target.url)] if breaks else []
    runtime = {"rollbacks": {"strategy": strategy}}
    journal = await runner.run(experiment(target.url, method, [mend_it(target.url)], {}, runtime=runtime))
    assert bool(journal.document["rollbacks"]) is played


async def test_activities_in_the_background_run_beside_the_others(target: TargetServer, runner: Runner) -> None:
    slow = call("slow", "wait", kind="action", background=True, arguments={"seconds": 0.2})
    journal = await runner.run(experiment(target.url, [slow, http("quick", f"{target.url}/value/a")]))
    assert [record["activity"]["name"] for record in journal.document["run"]] == ["slow", "quick"]
    slow_end, quick_end = (record["end"] for record in journal.document["run"])
    assert quick_end < slow_end
    assert journal.verdict == "held"


async def test_a_failed_action_makes_the_experiment_fail_and_the_rest_goes_on(
    target: TargetServer, tmp_path: Path
) -> None:
    runner = Runner(target.url, "t", allow=AllowList([SAMPLES]), handle_signals=False)
    method = [call("bad", "explode", module=SAMPLES, kind="action"), http("after it", f"{target.url}/value/a")]
    journal = await runner.run(experiment(target.url, method))
    assert [record["status"] for record in journal.document["run"]] == ["failed", "succeeded"]
    assert journal.verdict == "failed"
    assert journal.reasons[0] == "The action 'bad' failed: explode raised RuntimeError: boom."


async def test_a_probe_of_the_method_with_a_tolerance_is_judged(target: TargetServer, runner: Runner) -> None:
    journal = await runner.run(experiment(target.url, [http("odd", f"{target.url}/value/a", tolerance=418)]))
    assert journal.verdict == "deviated"
    assert journal.reasons[0].startswith("The probe 'odd' returned {'status': 200")
    assert journal.reasons[0].endswith(", which is outside its tolerance.")


async def test_a_pause_that_is_no_number_fails_the_activity(target: TargetServer, runner: Runner) -> None:
    odd = http("odd", f"{target.url}/value/a", pauses={"before": "${unknown}"})
    journal = await runner.run(experiment(target.url, [odd]))
    assert journal.document["run"][0]["status"] == "failed"


async def test_a_dry_run_does_nothing_and_says_so(target: TargetServer, runner: Runner) -> None:
    faults = {"faults": [{"point": "work", "kind": "error"}], "load": {"path": "/work", "requests": 3}}
    plan = experiment(target.url, [break_it(target.url)], [mend_it(target.url)], faults, dry=True)
    journal = await runner.run(plan)
    assert target.state.calls == []
    assert journal.verdict == "invalid"
    assert "dry run" in journal.reasons[0]


async def test_the_configuration_can_be_found_out_by_a_probe(target: TargetServer, runner: Runner) -> None:
    target.state.values["where"] = "there"
    configuration = {
        "where": call("find", "value_at", arguments={"path": "/value/where", "at": "$.value"}),
        "answer": http("ask", f"{target.url}/value/where"),
    }
    method = [http("use", f"{target.url}/value/${{where}}", "POST", arguments="${answer}")]
    journal = await runner.run(experiment(target.url, method, configuration=configuration))
    assert journal.verdict == "held", journal.reasons
    assert target.state.values["there"] == "value=there"


async def test_a_configuration_that_is_not_found_out_fails_the_experiment(target: TargetServer, runner: Runner) -> None:
    configuration = {"x": call("find", "value_at", arguments={"path": "/value/x", "at": "$.nothing"})}
    journal = await runner.run(experiment(target.url, [break_it(target.url)], configuration=configuration))
    assert journal.verdict == "failed"
    assert target.state.values["health"] == "good"


async def test_an_undo_runs_in_reverse_even_when_the_action_failed(target: TargetServer, tmp_path: Path) -> None:
    runner = Runner(target.url, "t", allow=AllowList([SAMPLES]), handle_signals=False)
    url = f"{target.url}/value"

    def undo(name: str) -> dict[str, Any]:
        return http(f"undo {name}", f"{url}/{name}", "DELETE")

    method = [
        http("one", f"{url}/one", "POST", arguments="1"),
        call("two", "explode", module=SAMPLES, kind="action"),
    ]
    plan = experiment(target.url, method, [mend_it(target.url)], {"undo": {"one": undo("one"), "two": undo("two")}})
    journal = await runner.run(plan)
    assert target.state.paths("DELETE") == ["/value/two", "/value/one"]
    assert [entry["name"] for entry in journal.own["undo"]] == ["undo two", "undo one"]
    assert [name for name, _ in kinds(journal, "rollback")] == ["mend"]


async def test_a_failed_rollback_is_critical_and_the_others_run(target: TargetServer, tmp_path: Path) -> None:
    runner = Runner(target.url, "t", allow=AllowList([SAMPLES]), handle_signals=False, journal_path=tmp_path / "j.json")
    rollbacks = [call("bad", "explode", module=SAMPLES, kind="action"), mend_it(target.url)]
    method = [break_it(target.url), http("two", f"{target.url}/value/two", "POST", arguments="1")]
    undo = {"two": call("bad undo", "explode", module=SAMPLES, kind="action", arguments={"text": "stuck"})}
    journal = await runner.run(experiment(target.url, method, rollbacks, {"undo": undo}))
    assert journal.verdict == "failed"
    assert target.state.values["health"] == "good"
    critical = json.loads((tmp_path / "j.json").read_text())["iskra"]["critical"]
    assert len(critical) == 2
    assert "stuck" in critical[0]
    assert journal.reasons[: len(critical)] == critical


async def test_the_time_limit_aborts(target: TargetServer, runner: Runner) -> None:
    method = [break_it(target.url), call("for ever", "wait", kind="action", arguments={"seconds": 3600})]
    journal = await runner.run(experiment(target.url, method, [mend_it(target.url)], {"time_limit": 0.5}))
    assert journal.verdict == "aborted"
    assert "time limit of 0.5 s" in journal.reasons[0]
    assert target.state.values["health"] == "good"


async def test_a_cancelled_run_takes_everything_back_before_it_ends(
    target: TargetServer, runner: Runner, tmp_path: Path
) -> None:
    method = [
        http("one", f"{target.url}/value/one", "POST", arguments="1"),
        call("for ever", "wait", kind="action", arguments={"seconds": 3600}),
    ]
    undo = {"one": http("undo one", f"{target.url}/value/one", "DELETE")}
    faults = [{"point": "work", "kind": "error"}]
    slow = call("slow", "wait", kind="action", arguments={"seconds": 0.5})
    plan = experiment(target.url, method, [slow, mend_it(target.url)], {"undo": undo, "faults": faults})
    task = asyncio.ensure_future(runner.run(plan))
    await asyncio.to_thread(target.wait_for, "POST", "/value/one")
    task.cancel()
    await asyncio.to_thread(target.wait_for, "DELETE", FAULTS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "one" not in target.state.values
    assert target.state.active() == []
    journal = Journal.read(tmp_path / "journal.json")
    assert (journal.verdict, journal.document["status"]) == ("aborted", "interrupted")
    assert [record["activity"]["name"] for record in journal.document["rollbacks"]] == ["slow", "mend"]


def put_a_folder_in_the_way(path: Path) -> None:
    """Make a file impossible to write, also while somebody is writing it again and again."""
    while not path.is_dir():
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()


async def test_a_journal_that_cannot_be_written_does_not_keep_rollbacks_from_running(
    target: TargetServer, tmp_path: Path
) -> None:
    path = tmp_path / "journal.json"
    runner = Runner(target.url, "t", journal_path=path, handle_signals=False)
    method = [break_it(target.url), call("for ever", "wait", kind="action", arguments={"seconds": 3600})]
    task = asyncio.ensure_future(runner.run(experiment(target.url, method, [mend_it(target.url)])))
    await asyncio.to_thread(target.wait_for, "POST", "/value/health")
    put_a_folder_in_the_way(path)
    journal = await task
    assert target.state.values["health"] == "good"
    assert journal.verdict == "failed"


async def test_nothing_runs_when_the_journal_cannot_be_begun(target: TargetServer, tmp_path: Path) -> None:
    put_a_folder_in_the_way(tmp_path / "journal.json")
    runner = Runner(target.url, "t", journal_path=tmp_path / "journal.json", handle_signals=False)
    with pytest.raises(IsADirectoryError):
        await runner.run(experiment(target.url, [break_it(target.url)]))
    assert target.state.calls == [("GET", EXPERIMENTS)], "only the lock was looked at"


@pytest.mark.parametrize(
    ("found", "allowed", "verdict"), [("bad", "bad", "held"), ("good", "bad", "invalid"), (None, "bad", "invalid")]
)
async def test_what_was_not_seen_to_happen_is_no_result(
    target: TargetServer, runner: Runner, found: str | None, allowed: str, verdict: str
) -> None:
    if found is not None:
        target.state.values["sign"] = found
    look = call("sign", "value_at", arguments={"path": "/value/sign", "at": "$[?@ != null]"})
    judged = http("health", f"{target.url}/health", tolerance=200)
    journal = await runner.run(experiment(target.url, [look, judged], iskra={"evidence": {"sign": allowed}}))
    assert journal.verdict == verdict, journal.reasons
    assert journal.own["evidence"] == [{"name": "sign", "seen": verdict == "held"}]
    if verdict == "invalid":
        assert journal.reasons[0].startswith("'sign' did not show")


async def test_a_result_is_judged_apart_from_what_it_is_evidence_of(target: TargetServer, runner: Runner) -> None:
    target.state.values["sign"] = 7
    expectation = call("sign", "value_at", tolerance=[0, 5], arguments={"path": "/value/sign", "at": "$.value"})
    for allowed, verdict in (([7, 9], "deviated"), ([8, 9], "invalid")):
        own = {"expect": [expectation], "evidence": {"sign": allowed}}
        assert (await runner.run(experiment(target.url, iskra=own))).verdict == verdict


async def test_what_never_ran_shows_nothing(target: TargetServer, runner: Runner) -> None:
    guard = {"name": "health", "probe": http("look", f"{target.url}/health"), "tolerance": 200, "every": 0.01}
    broken = [break_it(target.url), call("wait", "wait", kind="action", arguments={"seconds": 30})]
    plan = experiment(
        target.url, [*broken, call("sign", "wait", arguments={"seconds": 0})], [mend_it(target.url)],
        {"guards": [guard], "evidence": {"sign": 0}},
    )  # fmt: skip
    journal = await runner.run(plan)
    assert journal.verdict == "aborted"
    assert journal.own["evidence"] == [{"name": "sign", "seen": False}]


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ({"somewhere else": 1}, "neither in the method"),
        ({"break": {"type": "probe", "provider": {"type": "process", "path": "true"}}}, "further probe"),
        ({"break": {"type": "odd"}}, "unknown"),
    ],
)
def test_evidence_that_cannot_be_judged_is_refused(evidence: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        experiment("", [break_it("http://127.0.0.1:1")], iskra={"evidence": evidence})


async def test_nothing_checked_is_no_result(runner: Runner) -> None:
    journal = await runner.run(experiment(method=[call("wait", "wait", kind="action", arguments={"seconds": 0})]))
    assert journal.verdict == "invalid"
    assert "Nothing was held against a tolerance" in journal.reasons[0]


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (call("back", "mend_it_all", kind="action"), "offers no function 'mend_it_all'"),
        (call("back", "nowhere", module=f"{SAMPLES}.inner", kind="action"), "cannot be imported"),
        (call("back", "wait", kind="action", arguments={"minutes": 1}), "no parameter 'minutes'"),
        (call("back", "wait", kind="action"), "needs 'seconds'"),
    ],
)
async def test_a_mistake_in_a_rollback_is_found_before_anything_runs(
    target: TargetServer, mistake: dict[str, Any], text: str
) -> None:
    runner = Runner(target.url, "t", allow=AllowList([SAMPLES]), handle_signals=False)
    with pytest.raises(ExperimentError, match=text):
        await runner.run(experiment(target.url, [break_it(target.url)], [mistake]))
    assert target.state.calls == []


PROGRAM = {"type": "process", "path": "sh", "arguments": ["-c", "echo no way >&2; exit 3"]}


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        (PROGRAM, "the program ended with status 3: no way"),
        ({"type": "http", "url": "/nowhere", "method": "POST"}, "the request was answered with 404"),
    ],
)
async def test_an_action_that_says_it_did_not_succeed_is_no_success(
    target: TargetServer, provider: dict[str, Any], text: str
) -> None:
    if "url" in provider:
        provider = {**provider, "url": target.url + provider["url"]}
    act = {"type": "action", "name": "act", "provider": provider}
    runner = Runner(target.url, "t", allow=AllowList(processes=True), handle_signals=False)
    method = await runner.run(experiment(target.url, [act]))
    assert (method.verdict, method.own["critical"]) == ("failed", [])
    assert method.reasons == [f"The action 'act' failed: {text}."]
    rollback = await runner.run(experiment(target.url, [mend_it(target.url)], [act]))
    assert rollback.own["critical"] == [f"The rollback 'act' failed: {text}."]
    undo = {"undo": {"mend": {"provider": provider}}}
    undone = await runner.run(experiment(target.url, [mend_it(target.url)], iskra=undo))
    assert undone.own["critical"] == [f"'undo mend' could not be taken back: {text}."]


async def test_a_tolerance_says_what_an_action_may_return(target: TargetServer) -> None:
    runner = Runner(target.url, "t", allow=AllowList(processes=True), handle_signals=False)
    fine = {"type": "action", "name": "fine", "provider": PROGRAM, "tolerance": 3}
    journal = await runner.run(experiment(target.url, [fine], [fine]))
    assert journal.verdict == "held", journal.reasons
    journal = await runner.run(experiment(target.url, [], [{**fine, "tolerance": 4}]))
    assert journal.verdict == "failed"
    assert "outside its tolerance" in journal.own["critical"][0]
