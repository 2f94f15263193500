import sys

import httpx
import pytest

from chaos.experiments.experiment_documents import SAMPLES, call, experiment, http
from chaos.experiments.target_server import TargetServer
from iskra_chaos.experiments.errors import ActivityError, ActivityRefusedError
from iskra_chaos.experiments.files.allow_list import AllowList
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.runner import Runner

NOTHING = Variables()
SHELL = call("evil", "system", module="os", kind="action", arguments={"command": "touch /tmp/owned"})


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        (call("own", "p99"), True),
        (call("sample", "echo", module=SAMPLES), True),
        (call("parent", "echo", module="chaos.experiments"), False),
        (call("prefix", "echo", module=f"{SAMPLES}_evil"), False),
        (call("below", "echo", module=f"{SAMPLES}.inner"), True),
        (SHELL, False),
        (http("here", "http://one.example:8080/x"), True),
        (http("any port", "http://two.example:9/x"), True),
        (http("case", "HTTP://ONE.example:8080/x"), True),
        (http("port", "http://one.example/x"), False),
        (http("user info", "http://one.example:8080@three.example/"), False),
        (http("file", "file:///etc/passwd"), False),
        (http("no address", "http://[/"), False),
        (http("filled", "http://${host}/"), False),
        ({"type": "action", "name": "p", "provider": {"type": "process", "path": "true"}}, False),
    ],
)
def test_what_is_allowed(part: dict[str, object], allowed: bool) -> None:
    allow = AllowList([SAMPLES], ["one.example:8080", "two.example"])
    variables = Variables({"host": "elsewhere.example"})
    if allowed:
        allow.check(experiment(method=[part]), variables)
    else:
        with pytest.raises(ActivityRefusedError):
            allow.check(experiment(method=[part]), variables)


def test_processes_run_only_where_they_are_allowed() -> None:
    part = {"type": "action", "name": "p", "provider": {"type": "process", "path": "true"}}
    AllowList(processes=True).check(experiment(method=[part]), NOTHING)


@pytest.mark.parametrize(
    "document",
    [
        {"steady-state-hypothesis": {"title": "h", "probes": [{**SHELL, "type": "probe", "tolerance": 0}]}},
        {"method": [{**call("p", "p99"), "tolerance": {**SHELL, "type": "probe"}}]},
        {"rollbacks": [SHELL]},
        {"configuration": {"x": {**SHELL, "type": "probe"}}},
        {"extensions": [{"name": "iskra", "expect": [{**SHELL, "type": "probe", "tolerance": 0}]}]},
        {"extensions": [{"name": "iskra", "guards": [{"name": "g", "probe": SHELL, "tolerance": 0}]}]},
        {"method": [call("a", "wait", kind="action")], "extensions": [{"name": "iskra", "undo": {"a": SHELL}}]},
        {
            "extensions": [
                {"name": "iskra", "load": {"requests": 1, "expect": {**SHELL, "type": "probe"}}},
            ]
        },
    ],
    ids=["hypothesis", "tolerance", "rollback", "configuration", "expectation", "guard", "undo", "load"],
)
async def test_a_python_action_outside_the_list_is_refused_before_anything_runs(
    document: dict[str, object], target: TargetServer, runner: Runner
) -> None:
    touched = http("touch", f"{target.url}/value/x", "POST", arguments="1")
    method = [touched, *document.get("method", [])]  # type: ignore[misc]  # a list in every case
    refused = Experiment.from_document({"title": "t", "description": "d", **document, "method": method})
    with pytest.raises(ActivityRefusedError, match=r"'evil'|calls os\.system"):
        await runner.run(refused)
    assert target.state.calls == []


async def test_a_refused_module_is_not_even_imported(runner: Runner) -> None:
    assert "this" not in sys.modules
    with pytest.raises(ActivityRefusedError, match="zen"):
        await runner.run(experiment(method=[call("zen", "d", module="this")]))
    assert "this" not in sys.modules


def test_every_reason_is_told_at_once() -> None:
    both = experiment(method=[SHELL, http("far", "http://far.example/")])
    with pytest.raises(ActivityRefusedError) as caught:
        AllowList().check(both, NOTHING)
    assert caught.value.refused == (
        "'evil' calls os.system, a module that is not allowed",
        "'far' sends a request to far.example:80, which is not allowed",
    )


def test_an_address_that_is_filled_later_is_looked_at_again() -> None:
    late = experiment(method=[http("late", "http://${host}/")])
    allow = AllowList(hosts=["good.example"])
    allow.check(late, NOTHING)
    activity = late.resolve(late.method)[0]
    allow.check_activity(activity, Variables({"host": "good.example"}))
    with pytest.raises(ActivityError, match="bad"):
        allow.check_activity(activity, Variables({"host": "bad.example"}))
    with pytest.raises(ActivityError):
        allow.check_activity(activity, NOTHING)


def test_the_server_under_test_is_always_allowed() -> None:
    allow = AllowList().with_host_of("http://127.0.0.1:8700")
    allow.check_address(httpx.URL("http://127.0.0.1:8700/x"))
    with pytest.raises(ActivityError):
        allow.check_address(httpx.URL("http://127.0.0.1:8701/x"))
