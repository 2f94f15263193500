import json
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments.experiment_documents import DOCUMENTS, call, experiment, http
from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files.document import MAX_BYTES, MAX_DEPTH, Experiment

VALID: dict[str, Any] = {"title": "t", "description": "d", "method": []}
PROBE = call("p", "server_answers", tolerance=True)


def iskra(**block: Any) -> dict[str, Any]:
    return {**VALID, "extensions": [{"name": "iskra", **block}]}


def test_a_json_document_is_read_unchanged() -> None:
    path = DOCUMENTS / "checkout.json"
    read = Experiment.from_file(path)
    assert read.document == json.loads(path.read_bytes())
    assert read.hypothesis is not None
    assert read.resolve(read.hypothesis.probes)[0].name == "shop-answers"
    assert read.resolve(read.method)[1] is read.resolve(read.hypothesis.probes)[0]
    assert read.contributions == {"reliability": "high", "security": "none"}


def test_a_yaml_document_is_read_with_its_anchors() -> None:
    read = Experiment.from_file(DOCUMENTS / "tolerances.yaml")
    assert read.hypothesis is not None
    assert len(read.hypothesis.probes) == 11
    assert read.runtime.hypothesis.strategy == "after-method-only"
    assert read.runtime.rollbacks.strategy == "always"


def test_what_other_tools_add_is_kept() -> None:
    document = {**VALID, "x-owner": "us", "extensions": [{"name": "chatops", "room": 7}]}
    read = Experiment.from_document(document)
    assert read.model_dump()["x-owner"] == "us"
    assert not read.iskra.faults


def test_every_activity_that_could_run_is_listed() -> None:
    judged = call("judged", "server_answers", tolerance={"type": "probe", **call("inner", "p99")})
    undo = {"an action": call("undo it", "wait", kind="action")}
    read = experiment(
        method=[call("an action", "wait", kind="action"), judged],
        rollbacks=[call("back", "wait", kind="action")],
        configuration={"found": call("a probe for configuration", "p99")},
        iskra={
            "undo": undo,
            "expect": [call("expected", "p99", tolerance=1)],
            "guards": [{"name": "g", "probe": call("watched", "p99"), "tolerance": 1}],
        },
    )
    names = {activity.name for activity in read.activities()}
    assert names == {
        "an action", "judged", "inner", "back", "a probe for configuration", "undo it", "expected", "watched"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "an object"),
        ({"description": "d", "method": []}, "title"),
        ({"title": "t", "description": "d"}, "method"),
        ({**VALID, "method": [{"type": "action", "name": "x"}]}, "provider"),
        ({**VALID, "method": [{"ref": "nobody"}]}, "leads to no activity"),
        ({**VALID, "method": [{**PROBE, "type": "guess"}]}, "type"),
        ({**VALID, "method": [{**PROBE, "provider": {"type": "ssh"}}]}, "provider"),
        ({**VALID, "steady-state-hypothesis": {"title": "h", "probes": [http("x", "u")]}}, "no tolerance"),
        ({**VALID, "steady-state-hypothesis": {"probes": []}}, "title"),
        ({**VALID, "method": [{**PROBE, "tolerance": {"type": "regex", "pattern": "("}}]}, "regular expression"),
        ({**VALID, "runtime": {"hypothesis": {"strategy": "sometimes"}}}, "strategy"),
        ({**VALID, "extensions": [{"name": "iskra"}, {"name": "iskra"}]}, "more than once"),
        (iskra(gaurds=[]), "gaurds"),
        (iskra(guards=[{"name": "g"}]), "either a probe or a measure"),
        (iskra(guards=[{"name": "g", "measure": "p99"}]), "needs a bound"),
        (iskra(guards=[{"name": "g", "measure": "p99", "most": 1}]), "need a `load`"),
        (iskra(guards=[{"name": "g", "probe": call("p", "p99")}]), "needs a tolerance"),
        (iskra(load={"path": "/"}), "duration"),
        (iskra(load={"path": "http://elsewhere/", "requests": 1}), "path"),
        (iskra(load={"requests": 1, "clients": 100_000}), "clients"),
        (iskra(load={"requests": 10**9}), "requests"),
        (iskra(load={"requests": 1}, sequential={"p0": 0.5, "p1": 0.1}), "below p1"),
        (iskra(faults=[{"point": "x", "kind": "y", "ttl": 3600}]), "ttl"),
        (iskra(faults=[{"point": "x", "kind": "y", "scope": {"share": 0}}]), "share"),
        (iskra(undo={"nothing": PROBE}), "could be undone"),
        (iskra(expect=[call("p", "p99")]), "no tolerance"),
        (iskra(time_limit=float("inf")), "time_limit"),
    ],
)
def test_what_is_no_experiment_is_refused_with_the_place(document: object, text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        Experiment.from_document(document)


def test_a_mistake_does_not_quote_secrets() -> None:
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_document({**VALID, "secrets": "my-secret-value"})
    assert "my-secret-value" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.json", b"{", "no JSON"),
        ("a.json", b"\xff", "no JSON"),
        ("a.yaml", b"a: [", "no YAML"),
        ("a.yml", b"!!python/object/apply:os.getcwd []", "no YAML"),
        ("a.json", b" " * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ExperimentError, match=text):
        Experiment.from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"gone\.yaml cannot be read"):
        Experiment.from_file(tmp_path / "gone.yaml")


def test_numbers_of_our_own_part_may_come_from_the_configuration() -> None:
    document = {**iskra(load={"requests": "${many}", "clients": 2}), "configuration": {"many": 100, "name": "x"}}
    read = Experiment.from_document(document)
    assert read.iskra.load is not None
    assert read.iskra.load.requests == 100
    smaller = read.with_values({"many": 7})
    assert smaller.iskra.load is not None
    assert smaller.iskra.load.requests == 7
    assert smaller.document == read.document


def test_a_number_that_is_out_of_range_is_refused_wherever_it_comes_from() -> None:
    read = Experiment.from_document({**iskra(load={"requests": "${many}"}), "configuration": {"many": 100}})
    with pytest.raises(ExperimentError, match="requests"):
        read.with_values({"many": 0})


def laughs(first: str, each: str, levels: int = 9) -> str:
    """A small file that is huge: every level holds the one before it ten times."""
    lines = [f"x0: &x0 {first}"]
    for level in range(1, levels + 1):
        lines.append(f"x{level}: &x{level} " + each.format(", ".join([f"*x{level - 1}"] * 10)))
    return "\n".join(["title: t", "method: []", *lines])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("laughs.yaml", laughs("[lol]", "[{}]"), "more than 200,000 parts"),
        ("merges.yaml", laughs("{a: 1}", "{{<<: [{}]}}"), "more than 200,000 parts"),
        ("loop.yaml", "title: t\nmethod: []\nconfiguration: &c {a: *c}", "contains itself"),
        ("loops.yaml", "title: t\nmethod: []\nconfiguration: &c {a: *c, b: *c}", "contains itself"),
        ("deep.yaml", "title: t\nmethod: []\nx: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("deep.json", '{"title": "t", "method": [], "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper"),
        ("levels.json", '{"title": "t", "method": [], "x": ' + "[" * 70 + "]" * 70 + "}", f"than {MAX_DEPTH} levels"),
        ("date.yaml", "title: t\nmethod: []\nx: 2024-13-45", "no YAML"),
        ("number.yaml", "title: t\nmethod: []\nx: " + "9" * 5000, "no YAML"),
    ],
)
def test_a_file_that_is_more_than_it_seems_is_refused(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ExperimentError, match=reason):
        Experiment.from_file(tmp_path / name)
