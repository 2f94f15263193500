import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import pytest
from pydantic import ValidationError

from iskra_plugins.adaptive_approvals.advisor import Learner
from iskra_plugins.adaptive_approvals.ledger import MOST_SHAPES, Thresholds, UserLedger
from iskra_plugins.adaptive_approvals.settings import AdaptiveSettings
from iskra_sdk import Advice, Event, Principal, Risk, Verdict
from iskra_sdk.approval import CallFacts
from iskra_sdk.errors import BusyError
from iskra_sdk.testing import ManualClock, MemoryStore
from iskra_sdk.testing.harness_context import HarnessState

FOLDER = Path(__file__).parents[3] / "benchmarks"
ANNA, BORIS = Principal("anna"), Principal("boris")
ADMIN = Principal("admin", permissions=frozenset({"*"}))


@pytest.fixture(scope="module")
def month() -> Iterator[ModuleType]:
    """The simulation of a month."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("approvals_month")
    finally:
        sys.path.remove(str(FOLDER))


class Office:
    """A learner, and users who decide."""

    def __init__(self, month: ModuleType, store: MemoryStore | None = None, **settings: Any) -> None:
        self.month = month
        self.store = store or MemoryStore()
        self.context = month.Context(ManualClock(), month.Decided(), HarnessState("adaptive_approvals", self.store))
        self.learner = Learner(cast("Any", self.context), AdaptiveSettings(**settings))

    def advice(
        self, path: str = "docs/a.md", user: str = "anna", language: Literal["en", "ru"] = "en"
    ) -> Advice | None:
        call = self.month.write(path)
        facts = CallFacts(call.tool, call.risk, call.arguments, "coder", user, "workspace", language)
        return self.learner.advise(facts)

    async def decide(
        self,
        path: str = "docs/a.md",
        *,
        approves: bool = True,
        user: str = "anna",
        remember: bool = False,
        remark: str = "",
        rule: str = "",
        by: str = "",
    ) -> None:
        advice = self.advice(path, user)
        name = rule or (advice.ruling_name("adaptive_approvals") if advice is not None else "default:ask")
        request = self.month._decided(self.month.write(path), name, user, approves=approves, context=self.context)
        self.context.approvals.request = replace(request, remark=remark, decided_by=by or user)
        decision = "approved" if approves else "denied"
        await self.learner.learn(
            Event("approval.decided", {"approval_id": "a", "decision": decision, "remember": remember})
        )


@pytest.fixture
def office(month: ModuleType) -> Office:
    return Office(month)


async def test_five_approvals_in_a_row_bring_an_offer_and_nothing_more(office: Office) -> None:
    for number in range(5):
        assert office.advice() is None
        await office.decide(f"docs/{number}.md")
    advice = office.advice("docs/other.md")
    assert advice is not None
    assert (advice.verdict, advice.offers_rule) == (Verdict.ASK, True)
    assert "docs/**/*.md" in advice.reason
    for number in range(20):
        await office.decide(f"docs/{number}.md")
    advice = office.advice()
    assert advice is not None
    assert advice.verdict is Verdict.ASK


async def test_an_accepted_rule_allows_says_why_and_expires(office: Office) -> None:
    for _ in range(5):
        await office.decide()
    await office.decide(remember=True)
    advice = office.advice("docs/new/page.md")
    assert advice is not None
    assert advice.verdict is Verdict.ALLOW
    assert "accepted by you on 2026-01-01 allows it until 2026-01-31" in advice.reason
    assert office.advice("docs/run.sh") is None
    assert office.advice("src/a.md") is None
    assert office.advice(user="boris") is None
    office.context.clock.set_now(office.context.clock.now() + timedelta(days=31))
    assert office.advice() is None  # and it must be earned anew


async def test_the_session_is_told_of_a_rule_when_it_begins_and_when_a_refusal_takes_it_back(office: Office) -> None:
    for _ in range(5):
        await office.decide()
    assert office.context.told == []
    await office.decide(remember=True)
    await office.decide()  # of a rule that holds already nothing is told
    ((kind, accepted),) = office.context.told
    assert kind == "adaptive_approvals.rule_accepted"
    assert accepted["calls"] == office.learner.in_force("anna")[0].text
    assert (accepted["expires_at"], accepted["silent"]) == ("2026-01-31T00:00:00+00:00", False)
    await office.decide(approves=False)
    await office.decide(approves=False)
    assert [kind for kind, _ in office.context.told[1:]] == ["adaptive_approvals.rule_revoked"]
    assert office.context.told[1][1]["rule_id"] == accepted["rule_id"]


async def test_the_audit_log_says_who_accepted_and_took_back_which_rule(office: Office) -> None:
    for _ in range(5):
        await office.decide()
    assert office.context.audited == []
    await office.decide(remember=True)
    await office.decide()  # of a rule that holds already nothing is recorded
    (rule,) = office.learner.in_force("anna")
    facts = {"user": "anna", "tool": "write_file"}
    begun = {**facts, "expires_at": "2026-01-31T00:00:00+00:00", "silent": False}
    assert office.context.audited == [("rule_accepted", "anna", rule.id, {**begun, "approval_id": "apr_1"})]
    await office.decide(approves=False)
    assert office.context.audited[1:] == [("rule_revoked", "anna", rule.id, {**facts, "approval_id": "apr_1"})]
    for _ in range(5):
        await office.decide()
    assert await office.learner.accept(BORIS, rule.id) is None
    await office.learner.accept(ANNA, rule.id)
    assert not await office.learner.revoke(BORIS, rule.id)
    await office.learner.revoke(ADMIN, rule.id, user="anna")
    assert office.context.audited[2:] == [
        ("rule_accepted", "anna", rule.id, begun),
        ("rule_revoked", "admin", rule.id, facts),
    ]
    assert "docs" not in str(office.context.audited)


@pytest.mark.parametrize("is_asked_first", [False, True])
async def test_a_rule_that_expires_is_in_the_audit_log_once_also_after_a_restart(
    office: Office, month: ModuleType, *, is_asked_first: bool
) -> None:
    for _ in range(5):
        await office.decide()
    await office.decide(remember=True)
    await office.learner.record_expired()
    again = Office(month, office.store)
    await again.learner.load()
    again.context.clock.set_now(office.context.clock.now() + timedelta(days=31))
    if is_asked_first:
        assert again.advice() is None
    await again.learner.record_expired()
    await again.learner.record_expired()
    ((action, who, _, facts),) = again.context.audited
    assert (action, who) == ("rule_expired", "system")
    assert facts == {"user": "anna", "tool": "write_file", "expires_at": "2026-01-31T00:00:00+00:00"}
    third = Office(month, office.store)
    await third.learner.load()
    third.context.clock.set_now(again.context.clock.now())
    await third.learner.record_expired()
    assert third.context.audited == []


async def test_what_cannot_be_told_is_learned_all_the_same(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_arguments: object, **_more: object) -> None:
        raise BusyError("Too many events.")

    monkeypatch.setattr(office.context, "tell_session", busy)
    for _ in range(5):
        await office.decide()
    await office.decide(remember=True)
    assert len(office.learner.in_force("anna")) == 1


async def test_remember_without_an_offer_accepts_nothing(office: Office) -> None:
    await office.decide(remember=True)
    assert office.learner.in_force("anna") == []


async def test_who_writes_russian_is_told_in_russian(office: Office) -> None:
    for _ in range(3):
        await office.decide(approves=False, remark="не сюда")
    advice = office.advice(language="ru")
    assert advice is not None
    assert advice.reason == "Такие вызовы вы отклонили 3 раза, последний раз с замечанием: не сюда."
    for _ in range(10):
        await office.decide()
    advice = office.advice(language="ru")
    assert advice is not None
    assert "разрешили 10 раз подряд: write_file (" in advice.reason


async def test_who_edits_the_call_accepts_no_rule_for_what_was_not_offered(office: Office) -> None:
    for _ in range(5):
        await office.decide()
    offer = office.advice()
    assert offer is not None
    await office.decide("src/a.py", rule=offer.ruling_name("adaptive_approvals"), remember=True)
    assert office.learner.in_force("anna") == []
    await office.decide("docs/b.md", rule=offer.ruling_name("adaptive_approvals"), remember=True)
    assert len(office.learner.in_force("anna")) == 1


async def test_one_rejection_takes_the_rule_back_and_starts_anew(office: Office) -> None:
    for _ in range(5):
        await office.decide()
    await office.decide(remember=True)
    rules = office.learner.in_force("anna")
    assert len(rules) == 1
    # A call of the same kind that asked for another reason, and was refused.
    await office.decide(approves=False, rule="default:ask")
    assert office.learner.in_force("anna") == []
    for _ in range(4):
        await office.decide()
    assert office.advice() is None


async def test_three_rejections_are_told_with_the_last_remark_and_need_ten_approvals(office: Office) -> None:
    for remark in ("no", "never", "not in my docs"):
        await office.decide(approves=False, remark=remark)
    advice = office.advice()
    assert advice is not None
    assert advice.verdict is Verdict.ASK
    assert "refused 3 calls" in advice.reason
    assert "not in my docs" in advice.reason
    for _ in range(9):
        await office.decide()
    assert office.learner.offered("anna") == {}
    await office.decide()
    assert len(office.learner.offered("anna")) == 1


async def test_decisions_of_others_and_on_other_questions_teach_nothing(office: Office) -> None:
    for _ in range(5):
        await office.decide(by="admin")
        await office.decide(rule="kernel:untrusted")
        await office.decide(rule="settings:docs")
    assert office.learner.offered("anna") == {}


async def test_silent_learning_is_only_for_what_an_admin_allows(month: ModuleType) -> None:
    office = Office(month, silent_risks=["write"])
    for _ in range(5):
        await office.decide()
    advice = office.advice()
    assert advice is not None
    assert advice.verdict is Verdict.ALLOW
    assert "silently" in advice.reason
    # The admin changes their mind: what was learned silently no longer holds.
    again = Office(month, office.store)
    await again.learner.load()
    advice = again.advice()
    assert advice is None or advice.verdict is Verdict.ASK
    for risk in ("execute", "external", "read"):
        with pytest.raises(ValidationError):
            AdaptiveSettings(silent_risks=[risk])  # type: ignore[list-item]


async def test_what_was_learned_outlives_a_restart(office: Office, month: ModuleType) -> None:
    for _ in range(5):
        await office.decide()
    again = Office(month, office.store)
    await again.learner.load()
    (shape_id,) = again.learner.offered("anna")
    assert await again.learner.accept(BORIS, shape_id) is None
    assert await again.learner.accept(ANNA, shape_id) is not None
    third = Office(month, office.store)
    await third.learner.load()
    advice = third.advice()
    assert advice is not None
    assert advice.verdict is Verdict.ALLOW
    assert not await third.learner.revoke(BORIS, shape_id)
    assert await third.learner.revoke(ANNA, shape_id)
    assert third.advice() is None


def test_a_ledger_is_bounded_and_keeps_rules_in_force() -> None:
    ledger, thresholds, clock = UserLedger(), Thresholds(), ManualClock()
    ledger.approved("kept", "kept", "t", thresholds)
    ledger.accept("kept", clock.now(), thresholds)
    for number in range(MOST_SHAPES + 50):
        ledger.approved(str(number), "x", "t", thresholds)
    assert len(ledger.shapes) <= MOST_SHAPES + 1
    assert ledger.rule_for("kept", clock.now()) is not None


def test_a_month_of_work_needs_less_than_half_the_questions_and_nothing_slips_through(month: ModuleType) -> None:
    # In a process of its own: it computes for seconds, which the loop guards of other tests' servers would not bear.
    code = (
        "import json, approvals_month as month\n"
        "found = month.months(range(3))\n"
        "print(json.dumps([[each.profile, each.saved, len(each.slipped), each.harmless] for each in found]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for profile in month.PROFILES:
        saved = [share for name, share, _, harmless in found if name == profile.name and harmless > 200]
        assert len(saved) == 3
        assert sum(saved) / 3 >= 50, profile.name
    assert [slipped for _, _, slipped, _ in found] == [0] * len(found)


def test_every_imitation_differs_from_what_it_imitates(month: ModuleType) -> None:
    """Or else the simulation would prove nothing."""
    for call in (month.write("docs/a.md"), month.run_command("pytest -q")):
        assert len(list(month.imitations(call))) > 20
        assert all(other != call for other in month.imitations(call))
    assert Risk.EXTERNAL in {month.frontend(__import__("random").Random(seed)).risk for seed in range(40)}
