"""Dashboard figures: from what happened, and nothing where nothing did."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iskra_chaos.figures import (
    ExperimentResult,
    constructive_share,
    recovery_time,
    resilience_score,
    rest_after,
    voice_figures,
)
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus

_GOOD = {"staleness": 0.3, "clarity": 0.6, "drift": 0.2}
_BEFORE = {"staleness": 0.7, "clarity": 0.6, "drift": 0.2}


def _process(status: str = "completed", applied: int = 1, **after: float) -> ChaosProcess:
    return ChaosProcess(
        id="chaos_1",
        type="pattern_break",
        intensity=0.4,
        status=ProcessStatus(status),
        start_time=datetime(2026, 1, 1, tzinfo=UTC),
        applied=applied,
        metrics_before=dict(_BEFORE),
        metrics_after={**_GOOD, **after},
    )


def test_where_nothing_happened_there_is_no_figure() -> None:
    assert constructive_share([]) is None
    assert constructive_share([_process(applied=0), _process("active"), _process("failed")]) is None
    assert resilience_score([]) is None
    assert recovery_time([]) is None
    nothing = voice_figures([{"active_voices": []}])
    assert nothing.active_voices == []
    assert nothing.coordination_efficiency is nothing.conflict_resolution_rate is nothing.collaboration_success_rate
    assert nothing.coordination_efficiency is None


@pytest.mark.parametrize(
    ("process", "share"),
    [
        (_process(), 1.0),
        (_process(staleness=0.7), 0.0),
        (_process(clarity=0.49), 0.0),
        (_process(drift=0.31), 0.0),
        (_process("aborted"), 1.0),
        (_process("aborted", staleness=0.9), 0.0),
        (_process("rolled_back"), 0.0),
    ],
)
def test_an_operation_is_constructive_if_staleness_fell_and_the_goal_was_kept(
    process: ChaosProcess, share: float
) -> None:
    assert constructive_share([process]) == share
    assert constructive_share([process, _process(), _process(applied=0)]) == (share + 1.0) / 2


def _result(verdict: Any, level: int = 1, recovery: float | None = None) -> ExperimentResult:
    return ExperimentResult(title="t", verdict=verdict, level=level, recovery_seconds=recovery)


def test_resilience_is_the_share_that_held_by_level() -> None:
    results = [_result("held", 3), _result("deviated", 1), _result("invalid", 3), _result("aborted", 3)]
    assert resilience_score(results) == 0.75
    assert resilience_score([_result("invalid")]) is None


def test_recovery_is_the_mean_of_those_that_had_to_recover() -> None:
    assert recovery_time([_result("held", recovery=2.0), _result("held"), _result("deviated", recovery=3.0)]) == (
        "2.5 seconds"
    )


def test_rounds_weigh_as_much_as_they_counted() -> None:
    found = voice_figures(
        [
            {"efficiency": 1.0, "contributions": 1, "conflicts_resolved": 0.0, "conflicts": 3, "succeeded": True},
            {"efficiency": 0.5, "contributions": 4, "conflicts_resolved": 1.0, "conflicts": 1, "succeeded": False},
            {"active_voices": [{"voice_type": "sam"}, {"voice_type": "kain"}]},
        ]
    )
    assert found.coordination_efficiency == pytest.approx(0.6)
    assert found.conflict_resolution_rate == pytest.approx(0.25)
    assert found.collaboration_success_rate == 0.5
    assert found.active_voices == ["kain", "sam"]


@pytest.mark.parametrize(
    ("verdict", "level", "hours"),
    [("held", 1, 2), ("held", 2, 6), ("held", 3, 24), ("deviated", 1, 6), ("failed", 3, 72), ("invalid", 3, 0)],
)
def test_the_server_rests_longer_the_worse_it_was(verdict: str, level: int, hours: int) -> None:
    assert rest_after(_result(verdict, level)) == timedelta(hours=hours)
