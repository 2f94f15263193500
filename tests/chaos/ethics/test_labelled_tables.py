"""What people ask for is judged as the tables say."""

from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import pytest

from chaos.ethics.operations import LabelledCase, held_out_cases, labelled_cases
from iskra_chaos.ethics.review import Review, review
from iskra_chaos.ethics.rules import Kind, packaged_rules

_RULES = packaged_rules()
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_CASES = [*labelled_cases("cases.toml"), *labelled_cases("heldout.toml")]
_UNSEEN = labelled_cases("unseen.toml")
_FALSE_REJECTS_ALLOWED = 0.02


def _reviewed(case: LabelledCase) -> Review:
    return review(case.operation, _RULES, language="en", at=_AT)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_a_request_is_judged_as_its_label_says(case: LabelledCase) -> None:
    given = _reviewed(case)
    assert given.decision == case.expect, given.violations
    assert case.kinds <= {violation.kind for violation in given.violations}


def test_the_tables_cover_every_kind_in_both_languages() -> None:
    assert len(_CASES) >= 120
    kinds = Counter(kind for case in _CASES for kind in case.kinds)
    assert set(kinds) == set(get_args(Kind))
    for decision in ("approve", "modify", "reject"):
        texts = [
            f"{case.operation.session.request} {case.operation.prompt_card}"
            for case in _CASES
            if case.expect == decision
        ]
        assert any(any("а" <= letter <= "я" for letter in text) for text in texts)
        assert any(any("a" <= letter <= "z" for letter in text) for text in texts)


def test_all_rejections_are_found_and_hardly_a_good_request_is_rejected() -> None:
    judged = [(case.expect, _reviewed(case).decision) for case in _CASES]
    assert all(decision == "reject" for expect, decision in judged if expect == "reject")
    good = [decision for expect, decision in judged if expect != "reject"]
    assert good.count("reject") / len(good) <= _FALSE_REJECTS_ALLOWED


def test_words_the_rules_were_not_made_for_are_found_no_worse_than_measured() -> None:
    """The word lists alone found 5 of 25 unseen objections; with the classifier 17, and 21 do not pass as they are."""
    judged = [(case.expect, _reviewed(case).decision) for case in _UNSEEN]
    assert sum(expect == "reject" and decision == "reject" for expect, decision in judged) >= 17
    assert sum(expect == "reject" and decision != "approve" for expect, decision in judged) >= 21
    assert all(decision == "approve" for expect, decision in judged if expect == "approve")


def test_the_held_out_table_fares_no_worse_than_measured() -> None:
    """The word lists alone found 65 of its 152 objections, 38 of the 110 that are to be rejected."""
    judged = [(case.expect, _reviewed(case).decision) for case in held_out_cases()]
    assert sum(expect != "approve" and decision != "approve" for expect, decision in judged) >= 141
    assert sum(expect == "reject" and decision == "reject" for expect, decision in judged) >= 86
    assert sum(expect == "approve" and decision == "reject" for expect, decision in judged) <= 2
    assert sum(expect == "approve" and decision == "modify" for expect, decision in judged) <= 1
