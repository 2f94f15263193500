from collections.abc import Mapping
from typing import Any

import pytest

from iskra_chaos.experiments.errors import ActivityError, ExperimentError
from iskra_chaos.experiments.files.tolerance import check_tolerance, find, is_within


async def no_probe(tolerance: Mapping[str, Any], value: object) -> object:
    raise AssertionError("no probe was expected")


def answer(status: int = 200, body: object = "") -> dict[str, object]:
    return {"status": status, "headers": {}, "body": body}


PODS = {"pods": [{"name": "a", "up": True, "n": 1}, {"name": "b", "up": False, "n": 2}]}


@pytest.mark.parametrize(
    ("tolerance", "value", "expected"),
    [
        (True, True, True),
        (True, False, False),
        ("ok", "ok", True),
        ("ok", answer(), False),
        (200, answer(200), True),
        (200, answer(503), False),
        (0, {"status": 0, "stdout": "", "stderr": ""}, True),
        (5, 5, True),
        (0.5, 0.5, True),
        ([200, 204], answer(204), True),
        ([200, 204], answer(202), False),
        ([1, 3], 2, True),
        ([1, 3], 3.0001, False),
        ([1, 3], "two", False),
        ([1, 3], None, False),
        (["a", "b", "c"], "b", True),
        (["a", "b", "c"], "d", False),
        ([1, 2, 3], 1.5, False),
        ({"type": "range", "range": [1, 2]}, "1.5", True),
        ({"type": "range", "range": [1, 2]}, float("nan"), False),
        ({"type": "range", "range": [1, 2], "target": "body"}, answer(body=3), False),
        ({"type": "regex", "pattern": "^o.$"}, "ok", True),
        ({"type": "regex", "pattern": "^o.$"}, "no", False),
        ({"type": "regex", "pattern": "ready", "target": "body"}, answer(body="ready now"), True),
        ({"type": "regex", "pattern": '"n": 2'}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[*].name"}, PODS, True),
        ({"type": "jsonpath", "path": "$.nodes[*].name"}, PODS, False),
        ({"type": "jsonpath", "path": "$.pods[*].name", "count": 2}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[*].name", "count": 0}, PODS, False),
        ({"type": "jsonpath", "path": "$.gone[*]", "count": 0}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[*].name", "expect": ["a", "b"]}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[0].name", "expect": "a"}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[0].name", "expect": "b"}, PODS, False),
        ({"type": "jsonpath", "path": "$.pods[?(@.n>1)].name", "expect": "b"}, PODS, True),
        ({"type": "jsonpath", "path": "$.pods[?(@.name='b')].n", "expect": 2}, PODS, True),
        ({"type": "jsonpath", "path": "$.status", "target": "body"}, answer(body='{"status": "ok"}'), True),
        ({"type": "jsonpath", "path": "$.status", "target": "body"}, answer(body="no json"), False),
        ({"type": "jsonpath", "path": "$.x"}, 7, False),
    ],
)
async def test_tolerances(tolerance: object, value: object, expected: bool) -> None:
    check_tolerance(tolerance)
    assert await is_within(tolerance, value, no_probe) is expected


@pytest.mark.parametrize(("verdict", "expected"), [(True, True), (False, False), ({"a": 1}, True), (None, False)])
async def test_a_probe_decides(verdict: object, expected: bool) -> None:
    seen: list[object] = []

    async def probe(tolerance: Mapping[str, Any], value: object) -> object:
        seen.append(value)
        return verdict

    assert await is_within({"type": "probe"}, "judge me", probe) is expected
    assert seen == ["judge me"]


async def test_a_probe_that_fails_is_not_met() -> None:
    async def probe(tolerance: Mapping[str, Any], value: object) -> object:
        raise ActivityError("no idea")

    assert not await is_within({"type": "probe"}, 1, probe)


@pytest.mark.parametrize(
    ("tolerance", "text"),
    [
        ({"type": "regex", "pattern": "("}, "no regular expression"),
        ({"type": "regex"}, "needs a `pattern`"),
        ({"type": "jsonpath", "path": "  "}, "needs a `path`"),
        ({"type": "jsonpath", "path": "$.["}, "no JSONPath"),
        ({"type": "range", "range": [1]}, "two numbers"),
        ({"type": "guess"}, "unknown"),
        (None, "A tolerance is"),
    ],
)
def test_tolerances_that_mean_nothing_are_refused(tolerance: object, text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        check_tolerance(tolerance)


def test_a_path_into_something_that_is_no_structure_finds_nothing() -> None:
    assert find("$..x", "text") == []


def test_a_path_as_the_chaos_toolkit_documents_it_selects_the_values_themselves() -> None:
    value = {"foo": [{"baz": "hello"}, {"baz": "bonjour"}, {"bar": 1}]}
    for path in ("$.foo.*[?(@.baz)].baz", "$.foo[*][?(@.baz)].baz", "$.foo[?(@.baz)].baz"):
        assert find(path, value) == ["hello", "bonjour"]
    assert find("$.foo.*[?(@.none)].baz", value) == []
