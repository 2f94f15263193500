from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iskra_chaos.sift.block import canonical_json
from iskra_chaos.sift.injections.patches import apply, diff, is_below, value_at
from iskra_sdk.errors import BadInputError

documents = st.dictionaries(
    st.sampled_from("ab/~"),
    st.recursive(
        st.sampled_from((None, True, False, 0, 1, 1.0, "x", "")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab/~"), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(documents, documents)
def test_a_diff_leads_from_one_document_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    as_they_were = canonical_json([before, after])
    assert canonical_json(apply(before, diff(before, after))) == canonical_json(after)
    assert canonical_json([before, after]) == as_they_were


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/nowhere"}],
        [{"op": "explode", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "replace", "path": "/a/9", "value": 1}],
        [{"op": "test", "path": "/a", "value": 2}],
        [{"path": "/a"}],
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: list[dict[str, Any]]) -> None:
    document = {"a": [1]}
    with pytest.raises(BadInputError):
        apply(document, patch)
    assert document == {"a": [1]}


def test_a_pointer_leads_to_its_value_or_nowhere() -> None:
    document = {"a": [{"b/c": None}]}
    assert value_at(document, "/a/0/b~1c") == (True, None)
    assert value_at(document, "/a/1") == (False, None)


def test_a_path_lies_below_a_root_by_whole_steps() -> None:
    assert is_below("/fact/verified_data/0", ["/fact/verified_data"])
    assert not is_below("/fact/verified_data_2", ["/fact/verified_data"])
