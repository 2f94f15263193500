"""The dashboard's figures, each from what really happened; ``None`` where nothing did."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from iskra_chaos.processes.process import ChaosProcess, ProcessStatus

_GOAL_LOSS = 0.1
"""By this much clarity may fall, or drift rise, before an operation counts as destructive."""
_JUDGED = frozenset({ProcessStatus.COMPLETED, ProcessStatus.ABORTED, ProcessStatus.ROLLED_BACK})

# Rest before the next scheduled run, by severity: the published doses.
_RESTS = (timedelta(hours=2), timedelta(hours=6), timedelta(hours=24), timedelta(days=3))


class ExperimentResult(BaseModel):
    """What a runner reports of a finished experiment.

    Attributes:
        level: Weight in the resilience score: 1 to 3 for L1 to L3.
        recovery_seconds: From the end of the fault to the steady state; ``None`` where it was not lost.
    """

    title: str = Field(max_length=300)
    verdict: Literal["held", "deviated", "aborted", "failed", "invalid"]
    level: int = Field(default=1, ge=1, le=3)
    recovery_seconds: float | None = Field(default=None, ge=0.0, le=86_400.0)
    at: datetime | None = None


class VoiceCoordinationMetrics(BaseModel, defer_build=True):
    """How voices work together; values are ``None`` until something was measured.

    Attributes:
        coordination_efficiency: Useful voice turns of all.
        conflict_resolution_rate: Conflicts closed by the named resolver, of those detected.
        collaboration_success_rate: Rounds whose success criteria were met, of all.
    """

    active_voices: list[str] = Field(default_factory=list)
    coordination_efficiency: float | None = None
    conflict_resolution_rate: float | None = None
    collaboration_success_rate: float | None = None


def constructive_share(processes: Iterable[ChaosProcess]) -> float | None:
    """Return the share of operations after which staleness fell and the goal was not lost, of those that acted.

    One that was aborted is judged by what it left behind; one that was taken back did no good, whatever the metrics.
    """
    judged = [each for each in processes if each.status in _JUDGED and each.applied and each.metrics_after]
    return mean(float(_is_constructive(each)) for each in judged)


def _is_constructive(process: ChaosProcess) -> bool:
    before, after = process.metrics_before, process.metrics_after
    return (
        process.status is not ProcessStatus.ROLLED_BACK
        and after["staleness"] < before.get("staleness", 0.0)
        and after["clarity"] > before.get("clarity", 0.0) - _GOAL_LOSS
        and after.get("drift", 0.0) < before.get("drift", 0.0) + _GOAL_LOSS
    )


def resilience_score(results: Iterable[ExperimentResult]) -> float | None:
    """Return the share of experiments that held, of those whose fault was observed and that ended, by level."""
    observed = [each for each in results if each.verdict in ("held", "deviated")]
    return mean((float(each.verdict == "held") for each in observed), weights=(each.level for each in observed))


def recovery_time(results: Iterable[ExperimentResult]) -> str | None:
    """Return the mean time from the end of a fault to the steady state, in words; only where it had been lost."""
    found = mean(each.recovery_seconds for each in results if each.recovery_seconds is not None)
    return None if found is None else f"{found:.1f} seconds"


def voice_figures(heard: Iterable[Mapping[str, object]]) -> VoiceCoordinationMetrics:
    """Sum up events of voices that worked together.

    Each gives shares; where it also says of how many contributions or conflicts, it weighs as much.
    """
    events = list(heard)
    active = (each for event in events for each in _listed(event))
    return VoiceCoordinationMetrics(
        active_voices=sorted({str(each.get("voice_type", "")) for each in active if isinstance(each, Mapping)}),
        coordination_efficiency=_mean_of(events, "efficiency", counted="contributions"),
        conflict_resolution_rate=_mean_of(events, "conflicts_resolved", counted="conflicts"),
        collaboration_success_rate=_mean_of(events, "succeeded"),
    )


def rest_after(result: ExperimentResult) -> timedelta:
    """Return how long no scheduled run may follow: 2 h to 24 h by level, one step more where it did not hold."""
    if result.verdict == "invalid":
        return timedelta(0)  # nothing happened, so there is nothing to rest from
    return _RESTS[result.level - 1 + (result.verdict != "held")]


def mean(values: Iterable[float], *, weights: Iterable[float] | None = None) -> float | None:
    """Return the mean, weighted if weights are given; ``None`` of nothing."""
    found = list(values)
    by = [1.0] * len(found) if weights is None else list(weights)
    total = sum(by)
    return sum(value * weight for value, weight in zip(found, by, strict=True)) / total if total else None


def _listed(event: Mapping[str, object]) -> list[object]:
    active = event.get("active_voices")
    return active if isinstance(active, list) else []


def _mean_of(events: Iterable[Mapping[str, object]], name: str, *, counted: str = "") -> float | None:
    found = [(float(value), each) for each in events if isinstance(value := each.get(name), int | float)]
    weights = (count if isinstance(count := each.get(counted), int) and count > 0 else 1 for _, each in found)
    return mean((value for value, _ in found), weights=weights)
