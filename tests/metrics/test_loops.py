import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.loops import Loop, find_loop, fingerprint

READ = fingerprint("read_file", {"path": "a.py"}, "text of a")
TEST = fingerprint("run_tests", {"path": "tests"}, "1 failed")
LIST = fingerprint("list_files", {"path": "."}, "a.py")
GREP = fingerprint("grep", {"pattern": "x"}, "nothing")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("calls", "loop"),
    [
        ([], None),
        ([READ], None),
        ([READ, READ], None),
        ([READ, READ, READ], Loop(1, 3)),
        ([TEST, READ, READ, READ, READ], Loop(1, 4)),
        ([READ, TEST, READ], None),
        ([READ, TEST, READ, TEST], Loop(2, 2)),
        ([READ, TEST, LIST, READ, TEST, LIST], Loop(3, 2)),
        ([READ, TEST, LIST, GREP, READ, TEST, LIST], None),
        ([READ, TEST, LIST, GREP] * 2, Loop(4, 2)),
        ([READ, TEST, LIST, GREP, "other"] * 2, None),
        ([READ, READ, READ, TEST], None),
        ([READ] * 63, Loop(1, 63)),
    ],
)
def test_circles_at_the_end_of_a_row_of_calls_are_found(calls: list[str], loop: Loop | None) -> None:
    assert find_loop(calls) == loop


def test_an_agent_that_repeats_a_successful_call_is_seen_at_the_third() -> None:
    calls: list[str] = []
    while find_loop(calls) is None:
        calls.append(fingerprint("write_file", {"path": "a.py", "text": "x"}, {"ok": True}))

    assert len(calls) == 3


def test_polling_with_changing_results_is_no_loop() -> None:
    calls = [fingerprint("job_status", {"id": 7}, {"done": percent}) for percent in range(50)]

    assert all(find_loop(calls[:n]) is None for n in range(51))


def test_the_same_work_on_other_arguments_is_no_loop() -> None:
    calls = [fingerprint("delete_file", {"path": f"{number}.tmp"}, "ok") for number in range(50)]

    assert all(find_loop(calls[:n]) is None for n in range(51))


@given(st.lists(st.integers(0, 1000), unique=True, max_size=30))
def test_calls_that_all_differ_are_never_a_loop(numbers: list[int]) -> None:
    assert find_loop([fingerprint("tool", {"n": number}, "ok") for number in numbers]) is None


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), JSON)
def test_order_of_keys_and_form_of_json_make_no_difference(arguments: dict[str, object], result: object) -> None:

    shuffled = dict(reversed(list(arguments.items())))
    first = fingerprint("tool", arguments, json.dumps(result, indent=3))

    assert first == fingerprint("tool", shuffled, json.dumps(result))
    assert first == fingerprint("tool", json.dumps(arguments, indent=2), json.dumps(result))


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("read_file", {"path": "b.py"}, "text of a"),
        fingerprint("read_file", {"path": "a.py"}, "text of b"),
        fingerprint("open_file", {"path": "a.py"}, "text of a"),
    ],
)
def test_tool_arguments_and_result_all_count(other: str) -> None:
    assert other != READ


def test_what_json_cannot_hold_has_a_fingerprint() -> None:
    assert fingerprint("tool", "{not json", b"\xff\xfe") == fingerprint("tool", " {not json ", b"\xff\xfe")
    assert fingerprint("tool", {"x": {1, 2}.__class__}, object) == fingerprint("tool", {"x": set}, object)
