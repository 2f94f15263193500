"""Alerts begin once, hold, and end only when the cause is clearly over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.alerts import Alert, AlertMonitor, packaged_alert_rules, read_alert_rules
from iskra_sdk.errors import ConfigurationError

_SLOW = """
[[rule]]
name = "slow"
severity = "medium"
action = "look"
for = 30.0
when = [{ metric = "rate", below = 0.70, until = 0.75 }]
dedupe = ["session_id"]
"""


def _states(alerts: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.rule.name, alert.state) for alert in alerts]


def test_the_rules_of_the_specification_are_there() -> None:
    rules = {rule.name: rule for rule in packaged_alert_rules()}
    assert {(name, rule.severity, rule.action) for name, rule in rules.items()} == {
        ("chaos_overflow", "critical", "emergency_stabilization"),
        ("ethical_violation_detected", "high", "halt_operations"),
        ("voice_coordination_failure", "medium", "voice_recalibration"),
        ("stability_degradation", "medium", "structure_reinforcement"),
        ("load_caution", "medium", "hold_back"),
        ("load_last_call", "high", "hold_back"),
    }


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ({"current_chaos_level": 0.85}, []),
        ({"current_chaos_level": 0.851}, ["chaos_overflow"]),
        ({"ethical_approval_rejected": True}, ["ethical_violation_detected"]),
        ({"ethical_approval_rejected": False}, []),
        ({"ethical_approval_rejected": 1.0}, []),
        ({"coordination_success_rate": 0.69}, ["voice_coordination_failure"]),
        ({"coordination_success_rate": 0.70}, []),
        ({"stability_trend": "declining", "stability_level": 0.59}, ["stability_degradation"]),
        ({"stability_trend": "stable", "stability_level": 0.10}, []),
        ({"stability_trend": "declining", "stability_level": 0.60}, []),
        ({"stability_level": 0.10}, []),
        ({"highest_load": 0.80}, []),
        ({"highest_load": 0.81}, ["load_caution"]),
        ({"highest_load": 0.96}, ["load_caution", "load_last_call"]),
        ({}, []),
    ],
)
def test_each_rule_fires_by_its_condition(metrics: dict[str, float | str | bool], names: list[str]) -> None:
    monitor = AlertMonitor(packaged_alert_rules())
    begun = [*monitor.observe(metrics, at=0.0), *monitor.observe(metrics, at=30.0)]
    assert _states(begun) == [(name, "firing") for name in names]


def test_a_condition_has_to_hold_for_its_time() -> None:
    monitor = AlertMonitor(read_alert_rules(_SLOW))
    assert monitor.observe({"rate": 0.5}, at=0.0) == []
    assert monitor.observe({"rate": 0.5}, at=29.9) == []
    assert monitor.observe({"rate": 0.8}, at=29.95) == []
    assert monitor.observe({"rate": 0.5}, at=30.0) == []
    assert _states(monitor.observe({"rate": 0.5}, at=60.0)) == [("slow", "firing")]


def test_an_alert_is_told_once_and_ends_past_its_far_bound() -> None:
    monitor = AlertMonitor(packaged_alert_rules())
    told = []
    for at, level in enumerate((0.9, 0.9, 0.84, 0.86, 0.81, 0.80, 0.84, 0.86)):
        told += [(at, alert.state) for alert in monitor.observe({"current_chaos_level": level}, at=float(at))]
    assert told == [(0, "firing"), (5, "resolved"), (7, "firing")]


def test_sources_are_told_apart_by_their_labels() -> None:
    monitor = AlertMonitor(packaged_alert_rules())
    for session in ("a", "b"):
        labels = {"session_id": session, "process_id": "same"}
        assert len(monitor.observe({"current_chaos_level": 0.9}, at=0.0, labels=labels)) == 1
        assert monitor.observe({"current_chaos_level": 0.9}, at=1.0, labels=labels) == []
    assert monitor.firing == ["chaos_overflow|session_id=a", "chaos_overflow|session_id=b"]
    monitor.forget("session_id", "a")
    assert monitor.firing == ["chaos_overflow|session_id=b"]


def test_a_missing_or_broken_metric_says_nothing() -> None:
    monitor = AlertMonitor(packaged_alert_rules())
    monitor.observe({"current_chaos_level": 0.9}, at=0.0)
    assert monitor.observe({}, at=1.0) == []
    assert monitor.observe({"current_chaos_level": float("nan")}, at=2.0) == []
    assert monitor.firing


def test_memory_is_bounded_and_keeps_firing_alerts_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra_chaos.balance.alerts._MOST_TRACKED", 3)
    monitor = AlertMonitor(read_alert_rules(_SLOW))
    monitor.observe({"rate": 0.1}, at=0.0, labels={"session_id": "first"})
    monitor.observe({"rate": 0.1}, at=30.0, labels={"session_id": "first"})
    for number in range(20):
        monitor.observe({"rate": 0.1}, at=31.0, labels={"session_id": str(number)})
    assert monitor.firing == ["slow|session_id=first"]


@given(st.lists(st.floats(0.0, 1.0), max_size=60))
def test_beginnings_and_ends_take_turns(levels: list[float]) -> None:
    monitor = AlertMonitor(packaged_alert_rules())
    states = [
        alert.state
        for at, level in enumerate(levels)
        for alert in monitor.observe({"current_chaos_level": level}, at=float(at))
    ]
    assert states == ["firing" if number % 2 == 0 else "resolved" for number in range(len(states))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("below = 0.70, until = 0.75", "below = 0.70, above = 0.2"),
        ("below = 0.70, until = 0.75", ""),
        ("until = 0.75", "until = 0.65"),
        ("for = 30.0", "for = -1.0"),
        ('"medium"', '"mild"'),
        ("[[rule]]", "[[rule"),
        ("below = 0.70", "below = nan"),
        ("for = 30.0", 'channels = ["webhook"]'),
    ],
)
def test_malformed_rules_are_refused(old: str, new: str) -> None:
    assert old in _SLOW
    with pytest.raises(ConfigurationError):
        read_alert_rules(_SLOW.replace(old, new))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="one name"):
        read_alert_rules(_SLOW + _SLOW)
