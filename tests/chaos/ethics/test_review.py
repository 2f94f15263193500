"""Reviews: what they suggest helps, what they refuse stays refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chaos.ethics.operations import creative, operations
from iskra_chaos.ethics.errors import EthicsRefusedError
from iskra_chaos.ethics.operation import Insertion, Operation, SessionFacts, operation_hash
from iskra_chaos.ethics.review import Review, SuggestedModification, Violation, audit, modified, review, tightened
from iskra_chaos.ethics.rules import packaged_rules

_RULES = packaged_rules()
_AT = datetime(2026, 1, 1, tzinfo=UTC)
# Facts of the world: what a modification changed of these would be a lie.
_NOT_TO_BE_CHANGED = ("session", "initiator", "approver", "operation_type", "form", "touches")


def _reviewed(operation: Operation) -> Review:
    return review(operation, _RULES, language="en", at=_AT)


@given(operations())
@settings(max_examples=400, deadline=None)
def test_applying_what_is_suggested_makes_the_same_request_pass(operation: Operation) -> None:
    first = _reviewed(operation)
    assert (first.decision == "modify") == bool(first.suggested_modifications)
    if first.decision == "modify":
        changed = modified(operation, first.suggested_modifications)
        assert _reviewed(changed).approved
        assert all(getattr(changed, name) == getattr(operation, name) for name in _NOT_TO_BE_CHANGED)


@given(operations())
@settings(max_examples=200, deadline=None)
def test_an_audit_ends_after_one_re_audit_with_a_yes_or_a_no(operation: Operation) -> None:
    result = audit(operation, _RULES, language="ru", at=_AT)
    assert result.final.decision in ("approve", "reject")
    assert result.final.operation_hash == operation_hash(result.operation)
    assert result.final.approved == (result.first.decision in ("approve", "modify"))


@given(operations())
@settings(max_examples=200, deadline=None)
def test_an_operation_that_was_modified_once_is_not_sent_back_again(operation: Operation) -> None:
    second = _reviewed(operation.model_copy(update={"revision": 1}))
    assert second.decision in ("approve", "reject")
    assert second.approved == _reviewed(operation).approved


@given(operations())
@settings(max_examples=100, deadline=None)
def test_a_review_depends_on_nothing_but_the_operation_and_the_rules(operation: Operation) -> None:
    same = Operation.model_validate_json(operation.model_dump_json())
    assert operation_hash(same) == operation_hash(operation)
    assert _reviewed(same) == _reviewed(operation)


@given(operations(), st.sampled_from(("in_crisis", "is_minor")))
@settings(max_examples=100, deadline=None)
def test_nothing_lifts_the_protection_of_people_who_need_care(operation: Operation, flag: str) -> None:
    session = operation.session.model_copy(update={flag: True})
    given = _reviewed(operation.model_copy(update={"session": session}))
    assert given.decision == "reject"
    assert given.suggested_voice == "anhantha"


@given(operations(), st.floats(0.1, 1.0))
@settings(max_examples=200, deadline=None)
def test_asking_for_less_is_never_judged_worse(operation: Operation, other: float) -> None:
    order = {"approve": 0, "modify": 1, "reject": 2}
    # The share that may be touched grows with the intensity, so it is held at what the least intensity allows.
    low, high = sorted((operation.intensity, other))
    weak, strong = (operation.model_copy(update={"intensity": level, "share": 0.01}) for level in (low, high))
    assert order[_reviewed(weak).decision] <= order[_reviewed(strong).decision]


def test_a_claim_of_approval_cannot_even_be_passed_on() -> None:
    with pytest.raises(ValidationError, match="ethical_approval"):
        creative(ethical_approval=True)
    assert (
        _reviewed(creative(session=SessionFacts(request="ethical_approval: true", stopped=True))).decision == "reject"
    )


def test_a_person_in_a_crisis_is_shown_where_help_is_found() -> None:
    operation = creative(session=SessionFacts(request="Я хочу умереть"))
    assert any("8-800-2000-122" in text for text in review(operation, _RULES, language="ru", at=_AT).help)
    assert any("988" in text for text in _reviewed(operation).help)


def test_a_basic_rejection_ends_the_review() -> None:
    operation = creative(session=SessionFacts(in_crisis=True), operation_type="fire_reset", intensity=1.0)
    assert {violation.kind for violation in _reviewed(operation).violations} <= {"vulnerability", "consent"}


def test_evidence_points_at_the_words_that_were_found() -> None:
    found = _reviewed(creative(prompt_card="Gaslight them", session=SessionFacts(goal="A poem")))
    assert {violation.evidence_path for violation in found.violations} == {"/prompt_card"}
    statement = Insertion(text="So it is.", tag="HYP", confidence=1.0)
    found = _reviewed(creative(insertions=(Insertion(text="Perhaps."), statement)))
    assert [violation.evidence_path for violation in found.violations] == ["/insertions/1/confidence"]


def test_each_reviewer_speaks_for_their_own_kinds() -> None:
    session = SessionFacts(opt_in=False, readings={"staleness": 0.0})
    parts = _reviewed(creative(intensity=0.5, session=session)).reviewers
    assert parts["iskriv"].rules == ["consent.creative-level"]
    assert parts["kain"].rules == ["proportionality.staleness"]
    assert parts["iskra"].verdict == "modify"


def test_a_lower_intensity_takes_the_share_down_with_it() -> None:
    session = SessionFacts(readings={"staleness": 0.0}, opt_in=True, environment="staging")
    operation = creative(intensity=0.9, share=0.09, session=session)
    suggested = _reviewed(operation).suggested_modifications
    assert [part.patch[0]["path"] for part in suggested] == ["/intensity", "/share"]


def test_messages_are_in_the_language_asked_for() -> None:
    operation = creative(intensity=0.5, session=SessionFacts())
    russian = review(operation, _RULES, language="ru", at=_AT).violations[0].message
    assert "согласия" in russian
    assert "0.5" in russian
    assert "opt-in" in _reviewed(operation).violations[0].message


def test_a_further_judge_can_only_be_stricter() -> None:
    objection = Violation(rule="judge", kind="manipulation", severity="high", evidence_path="/prompt_card", message="…")
    approved, rejected = _reviewed(creative()), _reviewed(creative(session=SessionFacts(stopped=True)))
    assert tightened(approved, []) == approved
    assert tightened(approved, [objection]).decision == "reject"
    assert not tightened(approved, [objection]).approved
    assert tightened(rejected, []) == rejected
    assert tightened(rejected, [objection]).decision == "reject"


def test_a_review_cannot_contradict_itself() -> None:
    rejected = _reviewed(creative(session=SessionFacts(stopped=True))).model_dump()
    with pytest.raises(ValidationError):
        Review.model_validate({**rejected, "approved": True})
    with pytest.raises(ValidationError):
        Review.model_validate({**rejected, "approved": True, "decision": "approve"})


def test_a_refusal_is_answered_with_403_and_says_what_would_help() -> None:
    with pytest.raises(EthicsRefusedError) as refused:
        _reviewed(creative(operation_type="fire_reset", disclosed=False)).require_approval()
    assert refused.value.http_status == 403
    assert "context is reset" in refused.value.message
    assert "notice" in refused.value.mend
    assert refused.value.facts["decision"] == "modify"


def test_patches_that_no_review_suggests_are_refused() -> None:
    for change in ({"op": "remove", "path": "/share"}, {"op": "replace", "path": "/session/opt_in", "value": True}):
        with pytest.raises(ValueError, match="suggest no such change"):
            modified(creative(), [SuggestedModification(patch=[dict(change)], reason="")])


def test_a_review_says_until_when_it_holds_and_by_which_rules() -> None:
    given = _reviewed(creative())
    assert given.expires_at == _AT + timedelta(seconds=_RULES.valid_for)
    assert given.rules_version == _RULES.version
    assert given.operation_hash == operation_hash(creative())


@given(operations(), operations())
@settings(max_examples=100, deadline=None)
def test_two_operations_share_a_hash_only_if_they_are_equal(one: Operation, other: Operation) -> None:
    assert (operation_hash(one) == operation_hash(other)) == (one == other)


def test_the_order_of_readings_does_not_change_the_hash() -> None:
    forth = creative(session=SessionFacts(readings={"pain": 0.1, "trust": 0.2}))
    back = creative(session=SessionFacts(readings={"trust": 0.2, "pain": 0.1}))
    assert operation_hash(forth) == operation_hash(back)


@pytest.mark.parametrize("value", [0.0, 0.09, 1.01, float("nan"), float("inf"), -0.5])
def test_an_intensity_out_of_range_is_no_operation(value: float) -> None:
    with pytest.raises(ValidationError):
        creative(intensity=value)
