"""Clearances: one approved operation, once, in time, unchanged."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.ethics.operations import creative, operations
from iskra_chaos.ethics.clearance import LIFETIME, Clearances
from iskra_chaos.ethics.errors import ClearanceError, EthicsRefusedError
from iskra_chaos.ethics.operation import Operation, SessionFacts
from iskra_chaos.ethics.review import review
from iskra_chaos.ethics.rules import packaged_rules
from iskra_sdk.errors import QueueFullError
from iskra_sdk.testing import ManualClock

_RULES = packaged_rules()
_KEY = b"a key of thirty-two bytes or more"


def _issued(clearances: Clearances, clock: ManualClock, operation: Operation) -> str:
    return clearances.issue(operation, review(operation, _RULES, language="en", at=clock.now()))


def _refusal(clearances: Clearances, token: str, operation: Operation) -> str:
    with pytest.raises(ClearanceError) as refused:
        clearances.redeem(token, operation)
    assert refused.value.http_status == 403
    assert refused.value.mend
    return refused.value.reason


@given(operations())
@settings(max_examples=200, deadline=None)
def test_no_operation_is_redeemed_without_a_review_that_approves_it(operation: Operation) -> None:
    clock = ManualClock()
    clearances = Clearances(_KEY, clock)
    given_review = review(operation, _RULES, language="en", at=clock.now())
    if given_review.approved:
        clearances.redeem(clearances.issue(operation, given_review), operation)
        return
    with pytest.raises(EthicsRefusedError):
        clearances.issue(operation, given_review)
    other = creative()
    token = _issued(clearances, clock, other)
    if operation != other:
        assert _refusal(clearances, token, operation) == "other_operation"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_token_with_any_change_is_refused(data: st.DataObject) -> None:
    clock = ManualClock()
    clearances = Clearances(_KEY, clock)
    token = _issued(clearances, clock, creative())
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("0123456789abcdefABCDEFvxyz.=- \n\u0661"))
    how = data.draw(st.sampled_from(("replace", "insert", "drop", "cut")))
    changed = {
        "replace": token[:place] + letter + token[place + 1 :],
        "insert": token[:place] + letter + token[place:],
        "drop": token[:place] + token[place + 1 :],
        "cut": token[:place],
    }[how]
    if changed != token:
        assert _refusal(clearances, changed, creative()) in ("tampered", "unknown", "missing")
    clearances.redeem(token, creative())


@given(st.text(max_size=400))
def test_no_text_is_a_clearance_by_chance(text: str) -> None:
    assert _refusal(Clearances(_KEY, ManualClock()), text, creative()) in ("missing", "unknown", "tampered")


def test_a_token_works_once() -> None:
    clock = ManualClock()
    clearances = Clearances(_KEY, clock)
    token = _issued(clearances, clock, creative())
    clearances.redeem(token, creative())
    assert _refusal(clearances, token, creative()) == "used"
    assert _refusal(clearances, token, creative(intensity=0.2)) == "used"


def test_a_token_for_another_operation_stays_good_for_its_own() -> None:
    clock = ManualClock()
    clearances = Clearances(_KEY, clock)
    token = _issued(clearances, clock, creative())
    assert _refusal(clearances, token, creative(intensity=0.31)) == "other_operation"
    clearances.redeem(token, creative())


def test_a_token_expires() -> None:
    clock = _Clock()
    clearances = Clearances(_KEY, clock)
    early, late = _issued(clearances, clock, creative()), _issued(clearances, clock, creative())
    clock.pass_time(LIFETIME - 0.001)
    clearances.redeem(early, creative())
    clock.pass_time(0.001)
    assert _refusal(clearances, late, creative()) == "expired"
    assert _refusal(clearances, early, creative()) == "expired"


def test_a_jump_of_the_wall_clock_changes_nothing() -> None:
    clock = _Clock()
    clearances = Clearances(_KEY, clock)
    token = _issued(clearances, clock, creative())
    clock.jump(timedelta(days=400))
    clearances.redeem(token, creative())
    token = _issued(clearances, clock, creative())
    clock.jump(timedelta(days=-4000))
    clock.pass_time(LIFETIME)
    assert _refusal(clearances, token, creative()) == "expired"


def test_a_token_of_another_process_or_key_is_refused() -> None:
    clock = ManualClock()
    token = _issued(Clearances(_KEY, clock), clock, creative())
    assert _refusal(Clearances(_KEY, clock), token, creative()) == "unknown"
    assert _refusal(Clearances(b"another key" * 3, clock), token, creative()) == "tampered"


def test_an_old_review_or_one_of_another_operation_clears_nothing() -> None:
    clock = _Clock()
    clearances = Clearances(_KEY, clock)
    given_review = review(creative(), _RULES, language="en", at=clock.now())
    with pytest.raises(ClearanceError) as refused:
        clearances.issue(creative(intensity=0.2), given_review)
    assert refused.value.reason == "other_operation"
    clock.pass_time(_RULES.valid_for)
    with pytest.raises(ClearanceError) as refused:
        clearances.issue(creative(), given_review)
    assert refused.value.reason == "expired"


def test_facts_that_changed_since_the_review_undo_the_clearance() -> None:
    clock = ManualClock()
    clearances = Clearances(_KEY, clock)
    before = creative()
    token = _issued(clearances, clock, before)
    in_crisis = before.model_copy(update={"session": before.session.model_copy(update={"in_crisis": True})})
    assert _refusal(clearances, token, in_crisis) == "other_operation"


def test_used_tokens_are_remembered_within_a_bound_and_never_forgotten_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra_chaos.ethics.clearance._MOST_REMEMBERED", 3)
    clock = _Clock()
    clearances = Clearances(_KEY, clock)
    tokens = [_issued(clearances, clock, creative()) for _ in range(4)]
    for token in tokens[:3]:
        clearances.redeem(token, creative())
    with pytest.raises(QueueFullError):
        clearances.redeem(tokens[3], creative())
    assert _refusal(clearances, tokens[0], creative()) == "used"
    clock.pass_time(LIFETIME)
    clearances.redeem(_issued(clearances, clock, creative()), creative())


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Clearances(b"short", ManualClock())


def test_a_stopped_session_gets_no_clearance() -> None:
    clock = ManualClock()
    with pytest.raises(EthicsRefusedError):
        _issued(Clearances(_KEY, clock), clock, creative(session=SessionFacts(stopped=True)))


class _Clock(ManualClock):
    """A manual clock that a test without an event loop can move, wall time and monotonic time apart."""

    def pass_time(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def jump(self, by: timedelta) -> None:
        self._now += by
