import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.sift.sift_blocks import english_block
from iskra_chaos.sift.block import SIFTBlock, canonical_json, content_hash, read_block
from iskra_chaos.sift.refusals import BlockSchemaError
from iskra_sdk.errors import InputTooLargeError

EMPTY: dict[str, Any] = {"id": "b", "source": {}, "inference": {}, "fact": {}, "trace": {}}
TOO_DEEP: Any = "end"
for _ in range(40):
    TOO_DEEP = [TOO_DEEP]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def test_the_five_parts_are_all_a_block_needs() -> None:
    block = read_block(EMPTY)
    assert block.fact.verified_data == []
    assert read_block(block.model_dump_json()) == block


@pytest.mark.parametrize("missing", ["id", "source", "inference", "fact", "trace"])
def test_a_missing_part_is_named(missing: str) -> None:
    with pytest.raises(BlockSchemaError, match=f"/{missing}: Field required"):
        read_block({name: part for name, part in EMPTY.items() if name != missing})


@pytest.mark.parametrize(
    ("part", "members", "path"),
    [
        ("source", {"reliability": 1.01}, "/source/reliability"),
        ("source", {"reliability": "0.5"}, "/source/reliability"),
        ("source", {"reliability": True}, "/source/reliability"),
        ("source", {"reliability": math.nan}, "/source/reliability"),
        ("source", {"chaos_sensitivity": -0.1}, "/source/chaos_sensitivity"),
        ("source", {"colour": "red"}, "/source/colour"),
        ("source", {"context": []}, "/source/context"),
        ("source", {"context": {"a": {"b/c": math.inf}}}, "/source/context/a/b~1c"),
        ("source", {"context": {"a": "\ud800"}}, "/source/context/a"),
        ("inference", {"logic_chain": ["fine", 3]}, "/inference/logic_chain/1"),
        ("inference", {"logic_chain": ["x"] * 1001}, "/inference/logic_chain"),
        ("fact", {"verified_data": ["x" * 20_001]}, "/fact/verified_data/0"),
        ("fact", {"uncertainty_zones": ["zone"]}, "/fact/uncertainty_zones/0"),
        ("trace", {"chaos_interventions": [{}]}, "/trace/chaos_interventions/0/id"),
        ("trace", {"phase_transitions": [{"from_phase": "a"}]}, "/trace/phase_transitions/0/from_phase"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(part: str, members: dict[str, Any], path: str) -> None:
    with pytest.raises(BlockSchemaError) as refusal:
        read_block({**EMPTY, part: members})
    problems: Any = refusal.value.facts["problems"]
    assert path in [problem["path"] for problem in problems]
    assert refusal.value.http_status == 422


@pytest.mark.parametrize(
    "raw",
    [
        {**EMPTY, "fact": {"verified_data": ["x" * 20_000] * 51}},
        {**EMPTY, "fact": {"verified_data": ["ж" * 19_000] * 27}},
        {**EMPTY, "source": {"context": {"grid": [[0] * 1000] * 1000}}},
        {**EMPTY, "source": {"context": {"deep": TOO_DEEP}}},
    ],
    ids=["large", "large in bytes", "many values", "deep"],
)
def test_a_block_over_a_limit_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(BlockSchemaError):
        read_block(raw)
    with pytest.raises(ValueError, match="validation error"):
        SIFTBlock.model_validate(raw)


def test_ten_megabytes_are_refused_without_being_parsed() -> None:
    with pytest.raises(InputTooLargeError):
        read_block(b"{" * 10_000_000)


@pytest.mark.parametrize("raw", ["", "[]", "null", "{", "[" * 100_000, b"\xff\xfe", '{"id": NaN}'])
def test_what_is_no_json_object_is_refused(raw: str | bytes) -> None:
    with pytest.raises(BlockSchemaError):
        read_block(raw)


@pytest.mark.parametrize("name", ["", " b", "b\n", "x" * 201])
def test_an_id_is_short_and_visible(name: str) -> None:
    with pytest.raises(BlockSchemaError, match="/id"):
        read_block({**EMPTY, "id": name})


def shuffled_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled_keys(value[name]) for name in reversed(value)}
    return [shuffled_keys(item) for item in value] if isinstance(value, list) else value


def test_the_hash_is_of_content_alone() -> None:
    block = english_block()
    raw = block.model_dump(mode="json")
    assert content_hash(read_block(shuffled_keys(raw))) == content_hash(block)
    assert content_hash(english_block(id="another", trace={"processing_history": [{"op": "x"}]})) == content_hash(block)
    assert content_hash(english_block(source__reliability=0.81)) != content_hash(block)
    assert content_hash(english_block(fact__verified_data=[])) != content_hash(block)


def test_left_out_members_count_with_their_defaults() -> None:
    full = read_block(EMPTY).model_dump(mode="json")
    assert content_hash(read_block(full)) == content_hash(read_block(EMPTY))


@settings(max_examples=200)
@given(json_values)
def test_canonical_json_keeps_the_value_and_forgets_the_order(value: Any) -> None:
    spelled = canonical_json(value)
    assert json.loads(spelled) == json.loads(json.dumps(value))
    assert canonical_json(shuffled_keys(value)) == spelled == canonical_json(json.loads(spelled))


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (True, "true"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-7, "1e-7"),
        (1.5e-6, "0.0000015"),
        (0.1, "0.1"),
        ({"\u20ac": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4}, '{"\\r":2,"€":1,"😀":3,"\ufb33":4}'),
    ],
)
def test_canonical_json_is_spelled_after_rfc_8785(value: object, spelling: str) -> None:
    assert canonical_json(value) == spelling


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {"a": object()}])
def test_what_json_cannot_say_has_no_spelling(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical_json(value)
