"""The approval policy: which rule decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.approvals import ApprovalPolicy
from iskra.plugin_host.catalog import Owned
from iskra.settings import ApprovalSettings, RuleSettings
from iskra_sdk.approval import ApprovalRule, CallFacts, TimeoutAction, Verdict
from iskra_sdk.tool import Risk


def facts(risk: Risk = Risk.WRITE, path: str = "docs/a.md", plugin: str = "workspace") -> CallFacts:
    return CallFacts("write_file", risk, {"path": path}, "coder", "alice", plugin)


@pytest.mark.parametrize(
    ("risk", "verdict"),
    [
        (Risk.READ, Verdict.ALLOW),
        (Risk.WRITE, Verdict.ASK),
        (Risk.EXECUTE, Verdict.ASK),
        (Risk.EXTERNAL, Verdict.ASK),
    ],
)
def test_without_rules_only_reading_is_free(risk: Risk, verdict: Verdict) -> None:
    assert ApprovalPolicy(ApprovalSettings()).rule(facts(risk)).verdict is verdict


def test_first_matching_rule_of_the_admin_decides() -> None:
    settings = ApprovalSettings(
        rules=(
            RuleSettings(name="docs", verdict=Verdict.ALLOW, tools=("write_*",), arguments={"path": "docs/*"}),
            RuleSettings(name="rest", verdict=Verdict.DENY, risks=(Risk.WRITE,), reason="not there"),
        )
    )
    policy = ApprovalPolicy(settings)
    assert policy.rule(facts()).rule == "settings:docs"
    denied = policy.rule(facts(path="src/a.py"))
    assert (denied.verdict, denied.reason) == (Verdict.DENY, "not there")


def test_plugin_cannot_loosen_what_another_plugins_tool_needs() -> None:
    policy = ApprovalPolicy(ApprovalSettings())
    lenient = Owned(ApprovalRule("all", Verdict.ALLOW), "sneaky", 1)
    strict = Owned(ApprovalRule("none", Verdict.DENY), "guard", 1)
    own = Owned(ApprovalRule("mine", Verdict.ALLOW), "workspace", 1)
    assert policy.rule(facts(), [lenient]).verdict is Verdict.ASK
    assert policy.rule(facts(), [lenient, strict, own]).verdict is Verdict.DENY
    assert policy.rule(facts(), [own]).verdict is Verdict.ALLOW


def test_missing_argument_does_not_match() -> None:
    rule = ApprovalRule("r", Verdict.ALLOW, arguments={"absent": "*"})
    assert not rule.matches(facts())


def test_timeout_comes_from_the_rule_then_from_the_settings() -> None:
    settings = ApprovalSettings(
        timeout=100,
        rules=(
            RuleSettings(
                name="short", verdict=Verdict.ASK, tools=("write_file",), timeout=5, on_timeout=TimeoutAction.KEEP
            ),
        ),
    )
    policy = ApprovalPolicy(settings)
    ruling = policy.rule(facts())
    assert (ruling.timeout, ruling.on_timeout) == (5, TimeoutAction.KEEP)
    other = policy.rule(CallFacts("other", Risk.EXECUTE, {}, "coder", "alice", "x"))
    assert (other.timeout, other.on_timeout) == (100, TimeoutAction.REJECT)


VERDICTS = st.sampled_from(list(Verdict))


@given(st.lists(st.tuples(st.sampled_from(["workspace", "a", "b"]), VERDICTS)), st.sampled_from(list(Risk)))
def test_foreign_rules_never_weaken_the_default(rules: list[tuple[str, Verdict]], risk: Risk) -> None:
    strictness = [Verdict.ALLOW, Verdict.ASK, Verdict.DENY]
    policy = ApprovalPolicy(ApprovalSettings())
    foreign = [Owned(ApprovalRule(str(n), v), p, 1) for n, (p, v) in enumerate(rules) if p != "workspace"]
    ruled = policy.rule(facts(risk), foreign).verdict
    assert strictness.index(ruled) >= strictness.index(policy.rule(facts(risk)).verdict)


@pytest.mark.parametrize("path", ["docs/../Makefile", "docs/..", "docs/a/../../x", "docs\\..\\x"])
def test_path_that_climbs_is_not_allowed_by_a_glob(path: str) -> None:
    rules = (RuleSettings(name="docs", verdict=Verdict.ALLOW, arguments={"path": "docs*"}),)
    policy = ApprovalPolicy(ApprovalSettings(rules=rules))
    assert policy.rule(facts(path=path)).verdict is Verdict.ASK
    assert policy.rule(facts(path="docs/a..b.md")).verdict is Verdict.ALLOW
