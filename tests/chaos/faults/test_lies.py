"""Altered results: still of the same form, and different only where they were altered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.faults import lies
from iskra_chaos.faults.firing import uniform
from iskra_chaos.faults.tool_arguments import other_name, other_type
from iskra_sdk.message import ToolResult

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=5) | st.lists(VALUES, max_size=5)
ALTERATIONS: list[Callable[[ToolResult, int, lies.Draw], ToolResult]] = [
    lies.transpose_digits,
    lies.swap_fields,
    lies.name_another,
]


def drawing(seed: int) -> lies.Draw:
    return lambda *what: uniform(seed, *what)


def skeleton(document: Any) -> Any:
    """Return a document with its values replaced by their types."""
    if isinstance(document, dict):
        return {key: skeleton(value) for key, value in document.items()}
    if isinstance(document, list):
        return [skeleton(value) for value in document]
    return type(document).__name__


def leaves(document: Any) -> list[Any]:
    if isinstance(document, dict | list):
        values = document.values() if isinstance(document, dict) else document
        return [leaf for value in values for leaf in leaves(value)]
    return [document]


@pytest.mark.parametrize("alter", ALTERATIONS)
@given(document=DOCUMENTS, seed=st.integers(0, 2**32), fields=st.integers(1, 5))
def test_a_lie_keeps_the_form(
    alter: Callable[[ToolResult, int, lies.Draw], ToolResult], document: Any, seed: int, fields: int
) -> None:
    truth = ToolResult(json.dumps(document), data=json.loads(json.dumps(document)))
    lie = alter(truth, fields, drawing(seed))
    assert skeleton(lie.data) == skeleton(document)
    assert truth.data == json.loads(json.dumps(document)), "the tool's own result is never touched"
    assert json.loads(lie.content) == lie.data
    assert lie == alter(truth, fields, drawing(seed)), "the same draw tells the same lie"
    if alter is not lies.swap_fields:
        changed = sum(one != other for one, other in zip(leaves(document), leaves(lie.data), strict=True))
        assert changed <= fields


@given(st.integers(10, 10**12), st.integers(0, 2**32))
def test_transposed_digits_are_the_same_digits(number: int, seed: int) -> None:
    lie = lies.transpose_digits(ToolResult("", data={"n": number}), 1, drawing(seed)).data
    assert isinstance(lie, dict)
    assert sorted(str(lie["n"])) == sorted(str(number))


def test_text_is_altered_as_one_value() -> None:
    truth = ToolResult("Room 42 on floor 17")
    assert lies.transpose_digits(truth, 1, lambda *_: 0.0).content == "Room 24 on floor 17"
    assert lies.swap_fields(truth, 1, lambda *_: 0.0).content == "Room 17 on floor 42"
    assert lies.name_another(truth, 1, lambda *_: 0.3).content == "Room 43 on floor 17"
    assert lies.hide_instructions(truth, "Stop.").content == "Room 42 on floor 17\n\nStop."


def test_swapped_fields_hold_each_others_values() -> None:
    lie = lies.swap_fields(ToolResult("", data={"from": "Oslo", "to": "Rome", "km": 2000}), 1, lambda *_: 0.0)
    assert lie.data == {"from": "Rome", "to": "Oslo", "km": 2000}


@given(st.from_regex(r"[a-z]+(_[a-z]+)*", fullmatch=True))
def test_a_renamed_field_has_another_name(name: str) -> None:
    assert other_name(name) != name


def test_a_camel_case_name_becomes_a_snake_case_one() -> None:
    assert (other_name("filePath"), other_name("file_path")) == ("file_path", "filePath")


@given(VALUES)
def test_a_retyped_value_has_another_type(value: Any) -> None:
    assert type(other_type(value)) is not type(value)
