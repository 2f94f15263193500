"""Calibration: healthy sessions are centred, impossible and unsafe targets refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from iskra_chaos.balance.calibration import Calibration
from iskra_chaos.balance.tension import SET_POINT, TensionAverage, status_of
from iskra_chaos.balance.wire import (
    BalanceMetrics,
    ChaosMetrics,
    StabilityMetrics,
    SystemState,
    TargetBalance,
    balance_metrics,
    chaos_capacity,
    slope_of,
    trend_of,
)
from iskra_sdk.errors import BadInputError

_HEALTHY = SystemState(chaos_level=0.40, stability_level=0.85, n_turns=12)
_level = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-0.2, 1.2)


def test_a_healthy_session_reads_the_set_point_afterwards() -> None:
    calibration = Calibration()
    result = calibration.calibrate("tenant", _HEALTHY)
    assert result.tension_before == pytest.approx(0.45)
    assert result.tension_after == pytest.approx(SET_POINT)
    assert result.balance_metrics.balance_status == "optimal"
    assert TensionAverage(calibration.of("tenant").offset).update(0.40, 0.85) == pytest.approx(SET_POINT)


def test_tenants_do_not_share_a_calibration() -> None:
    calibration = Calibration()
    calibration.calibrate("one", _HEALTHY)
    assert calibration.of("other").offset == 0.0
    calibration.forget("one")
    calibration.forget("one")
    assert calibration.of("one").offset == 0.0


def test_calibrations_can_be_kept_and_read_back() -> None:
    calibration = Calibration()
    calibration.calibrate("tenant", _HEALTHY, TargetBalance(optimal_tension=0.35))
    assert Calibration(calibration.all()).of("tenant") == calibration.of("tenant")
    assert calibration.of("tenant").band == pytest.approx((0.30, 0.40))


@pytest.mark.parametrize(
    "target",
    [
        TargetBalance(optimal_tension=0.30),
        TargetBalance(chaos_level=0.45, stability_level=0.75),
        TargetBalance(chaos_level=0.45, stability_level=0.75, optimal_tension=0.30),
        TargetBalance(chaos_level=0.45, stability_level=0.75, optimal_tension=0.303),
        TargetBalance(chaos_level=0.45),
        TargetBalance(stability_level=0.9, optimal_tension=0.4),
        TargetBalance(),
    ],
)
def test_possible_targets_are_taken(target: TargetBalance) -> None:
    result = Calibration().calibrate("tenant", _HEALTHY, target)
    assert result.tension_after == pytest.approx(result.set_point)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (TargetBalance(chaos_level=0.45, stability_level=0.75, optimal_tension=0.20), "optimal_tension"),
        (TargetBalance(chaos_level=0.2, stability_level=0.9), "optimal_tension"),
        (TargetBalance(chaos_level=0.7, stability_level=0.65), "optimal_tension"),
        (TargetBalance(optimal_tension=-0.1), "optimal_tension"),
        (TargetBalance(optimal_tension=0.9), "optimal_tension"),
        (TargetBalance(optimal_tension=float("nan")), "optimal_tension"),
        (TargetBalance(optimal_tension=float("inf")), "optimal_tension"),
        (TargetBalance(chaos_level=0.1, optimal_tension=0.3), "optimal_tension"),
        (TargetBalance(chaos_level=0.75, optimal_tension=0.3), "optimal_tension"),
        (TargetBalance(chaos_level=1.2), "chaos_level"),
        (TargetBalance(chaos_level=-0.1), "chaos_level"),
        (TargetBalance(chaos_level=0.85), "chaos_level"),
        (TargetBalance(chaos_level=float("nan")), "chaos_level"),
        (TargetBalance(stability_level=0.5), "stability_level"),
        (TargetBalance(stability_level=float("nan")), "stability_level"),
        (TargetBalance(stability_level=1.01), "stability_level"),
    ],
)
def test_impossible_and_unsafe_targets_are_refused_and_change_nothing(target: TargetBalance, field: str) -> None:
    calibration = Calibration()
    with pytest.raises(BadInputError) as refused:
        calibration.calibrate("tenant", _HEALTHY, target)
    assert refused.value.facts["field"] == f"target_balance.{field}"
    assert refused.value.mend
    assert calibration.all() == {}


@pytest.mark.parametrize(
    "state",
    [
        SystemState(chaos_level=0.9, stability_level=0.1),
        SystemState(chaos_level=0.0, stability_level=1.0),
        SystemState(chaos_level=0.4, stability_level=0.85, confidence=0.4),
    ],
)
def test_a_session_that_is_not_healthy_or_not_known_is_no_base(state: SystemState) -> None:
    with pytest.raises(BadInputError):
        Calibration().calibrate("tenant", state)


@given(_level, _level, _level)
def test_whatever_is_taken_is_safe(chaos: float, stability: float, wanted: float) -> None:
    target = TargetBalance(chaos_level=chaos, stability_level=stability, optimal_tension=wanted)
    try:
        result = Calibration().calibrate("tenant", _HEALTHY, target)
    except BadInputError:
        return
    assert 0.15 <= result.set_point <= 0.45
    assert result.set_point == pytest.approx(stability - chaos)
    assert chaos <= 0.8
    assert stability >= 0.6


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_state_with_an_impossible_level_is_refused(level: float) -> None:
    with pytest.raises(ValidationError):
        SystemState(chaos_level=level, stability_level=0.5)


def test_the_dashboard_sample_of_the_specification_is_valid() -> None:
    chaos = {
        "current_chaos_level": 0.45,
        "chaos_capacity": 0.80,
        "active_chaos_processes": 3,
        "chaos_events_per_hour": 12,
        "constructive_vs_destructive_ratio": 0.85,
    }
    stability = {
        "current_stability_level": 0.75,
        "stability_trend": "improving",
        "recovery_time_avg": "2.3 seconds",
        "resilience_score": 0.92,
    }
    balance = {
        "chaos_stability_tension": 0.30,
        "optimal_tension_range": [0.25, 0.35],
        "balance_status": "optimal",
    }
    assert ChaosMetrics.model_validate(chaos).model_dump(mode="json") == chaos
    assert StabilityMetrics.model_validate(stability).model_dump(mode="json") == stability
    assert BalanceMetrics.model_validate(balance).model_dump(mode="json") == balance
    assert balance_metrics(0.75 - 0.45) == BalanceMetrics.model_validate(
        balance | {"chaos_stability_tension": 0.75 - 0.45}
    )


def test_the_shown_tension_has_no_sign_but_its_word_tells() -> None:
    shown = balance_metrics(-0.2)
    assert shown.chaos_stability_tension == 0.2
    assert shown.balance_status == status_of(-0.2) == "critical"


def test_capacity_ends_at_the_stop_line() -> None:
    assert chaos_capacity(0.45) == pytest.approx(0.35)
    assert chaos_capacity(0.95) == 0.0


@pytest.mark.parametrize(
    ("readings", "trend"),
    [
        ([], None),
        ([0.9, 0.1], None),
        ([0.5, 0.6, 0.7], "improving"),
        ([0.9, 0.8, 0.75, 0.6], "declining"),
        ([0.70, 0.71, 0.70, 0.69, 0.70], "stable"),
    ],
)
def test_a_trend_is_the_slope_of_the_readings(readings: list[float], trend: str | None) -> None:
    assert trend_of(slope_of(readings)) == trend
