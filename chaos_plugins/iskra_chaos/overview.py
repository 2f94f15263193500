"""The figures for people who watch the server: the specification's dashboard, each of them measured."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from pydantic import BaseModel, Field

from iskra_chaos.balance.alerts import Alert, AlertMonitor, MetricValue
from iskra_chaos.balance.wire import (
    BalanceMetrics,
    ChaosMetrics,
    StabilityMetrics,
    Trend,
    balance_metrics,
    chaos_capacity,
    trend_of,
)
from iskra_chaos.balancing import Balancing
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_sdk.clock import Clock
from iskra_sdk.plugin_context import KeyValueState

_LEVELS_KEPT = 3600
_TREND_READINGS = 30
_RESULTS_KEPT = 200
_REJECTIONS_KEPT = 100
_RESULTS_KEY = "experiment_results"
_GOAL_LOSS = 0.1
"""Clarity may fall by this much before an operation counts as destructive."""
_CALM_TENSION = 0.30


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


class VoiceCoordinationMetrics(BaseModel):
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


@dataclass(frozen=True, slots=True)
class _Level:
    at: datetime
    chaos: float
    stability: float


class Overview:
    """Sums up sessions, operations, faults and experiments.

    Attributes:
        voices: What was heard of the voices.
    """

    def __init__(
        self,
        engine: ChaosEngine,
        balancing: Balancing,
        clock: Clock,
        state: KeyValueState,
        alerts: AlertMonitor,
    ) -> None:
        self.voices: deque[Mapping[str, object]] = deque(maxlen=500)
        self._engine = engine
        self._balancing = balancing
        self._clock = clock
        self._state = state
        self._alerts = alerts
        self._levels: deque[_Level] = deque(maxlen=_LEVELS_KEPT)
        self._results: list[ExperimentResult] = []
        self._rejected: list[str] = []
        self._alerted: list[str] = []

    def note_rejection(self, process_id: str) -> None:
        """Have the alert on rejected operations raised at the next tick; it is over at the one after."""
        self._rejected = [*self._rejected, process_id][-_REJECTIONS_KEPT:]

    async def load(self) -> None:
        """Read the experiments' results."""
        kept = await self._state.get(_RESULTS_KEY)
        self._results = [ExperimentResult.model_validate(each) for each in kept] if isinstance(kept, list) else []

    async def note_experiment(self, result: ExperimentResult) -> None:
        """Keep what a runner reports."""
        result.at = self._clock.now()
        self._results = [*self._results, result][-_RESULTS_KEPT:]
        await self._state.put(_RESULTS_KEY, [each.model_dump(mode="json") for each in self._results])

    # Once a second ---------------------------------------------------------------------------------------------------

    async def tick(self) -> list[Alert]:
        """Note the levels of now, and return the alerts that begin or end; others run between sessions."""
        self._levels.append(_Level(self._clock.now(), self.chaos_level, self.stability_level))
        found = []
        at = self._clock.monotonic()
        trend = self.trend
        for session_id, values in self._engine.measuring.last().items():
            metrics: dict[str, MetricValue] = {
                "current_chaos_level": values["chaos"],
                "stability_level": values["stability"],
                "stability_trend": trend,
            }
            found += self._alerts.observe(metrics, at=at, labels={"session_id": session_id})
            await asyncio.sleep(0)
        now, self._rejected = self._rejected, []
        for process_id, is_new in (*((each, False) for each in self._alerted), *((each, True) for each in now)):
            metrics = {"ethical_approval_rejected": is_new}
            found += self._alerts.observe(metrics, at=at, labels={"process_id": process_id})
        self._alerted = now
        rate = self.voice_coordination().collaboration_success_rate
        if rate is not None:
            found += self._alerts.observe({"coordination_success_rate": rate}, at=at)
        return found

    @property
    def firing(self) -> list[str]:
        """Keys of the alerts that have begun and not ended; they name sessions."""
        return self._alerts.firing

    def forget(self, session_id: str) -> None:
        """Forget the alerts of a session that is gone."""
        self._alerts.forget("session_id", session_id)

    # Figures ---------------------------------------------------------------------------------------------------------

    @property
    def chaos_level(self) -> float:
        """Mean chaos of the sessions measured last, in [0, 1]; 0 where none was."""
        return _mean(values["chaos"] for values in self._engine.measuring.last().values()) or 0.0

    @property
    def stability_level(self) -> float:
        """Mean stability of the sessions measured last, in [0, 1]; 1 where none was."""
        level = _mean(values["stability"] for values in self._engine.measuring.last().values())
        return 1.0 if level is None else level

    @property
    def trend(self) -> Trend:
        """Where stability is going."""
        first = max(0, len(self._levels) - _TREND_READINGS)
        return trend_of([level.stability for level in islice(self._levels, first, None)])

    def chaos(self, since: timedelta = timedelta(hours=1)) -> ChaosMetrics:
        """Return chaos now, and what went on within ``since``."""
        began = self._clock.now() - since
        processes = [each for each in self._engine.journal.all() if each.start_time >= began]
        level = self.chaos_level
        return ChaosMetrics(
            current_chaos_level=level,
            chaos_capacity=chaos_capacity(level),
            active_chaos_processes=len(self._engine.sessions),
            chaos_events_per_hour=round(len(processes) * 3600.0 / since.total_seconds(), 3),
            constructive_vs_destructive_ratio=_constructive(processes),
        )

    def stability(self) -> StabilityMetrics:
        """Return stability now, and how well the server comes back from faults."""
        recoveries = [each.recovery_seconds for each in self._results if each.recovery_seconds is not None]
        mean = _mean(recoveries)
        return StabilityMetrics(
            current_stability_level=self.stability_level,
            stability_trend=self.trend,
            recovery_time_avg=None if mean is None else f"{mean:.1f} seconds",
            resilience_score=_resilience(self._results),
        )

    def balance(self) -> BalanceMetrics:
        """Return the mean tension and what it means."""
        tensions = [each.tension for each in self._balancing.sessions.values()]
        return balance_metrics(_CALM_TENSION if not tensions else sum(tensions) / len(tensions))

    def voice_coordination(self) -> VoiceCoordinationMetrics:
        """Return what was heard of the voices lately."""
        heard = list(self.voices)
        return VoiceCoordinationMetrics(
            active_voices=sorted({name for each in heard for name in _voices_in(each)}),
            coordination_efficiency=_mean_of(heard, "efficiency"),
            conflict_resolution_rate=_mean_of(heard, "conflicts_resolved"),
            collaboration_success_rate=_mean_of(heard, "succeeded"),
        )

    def history(self, since: timedelta) -> list[dict[str, object]]:
        """Return the levels within ``since``, at most 300 of them, oldest first."""
        began = self._clock.now() - since
        levels = [level for level in self._levels if level.at >= began]
        step = max(1, len(levels) // 300)
        return [{"at": each.at, "chaos": each.chaos, "stability": each.stability} for each in levels[::step]]


def _constructive(processes: Iterable[ChaosProcess]) -> float | None:
    """Return the share of finished operations after which staleness fell without the task getting lost."""
    finished = [
        each for each in processes if each.status is ProcessStatus.COMPLETED and each.metrics_after and each.applied
    ]
    if not finished:
        return None
    good = sum(
        each.metrics_after["staleness"] < each.metrics_before.get("staleness", 0.0)
        and each.metrics_after["clarity"] > each.metrics_before.get("clarity", 0.0) - _GOAL_LOSS
        for each in finished
    )
    return good / len(finished)


def _resilience(results: Iterable[ExperimentResult]) -> float | None:
    """Return the share of observed experiments whose hypothesis held, weighted by level."""
    observed = [each for each in results if each.verdict in ("held", "deviated")]
    weight = sum(each.level for each in observed)
    return sum(each.level for each in observed if each.verdict == "held") / weight if weight else None


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _voices_in(heard: Mapping[str, object]) -> Iterator[str]:
    """Yield the voices that an event of the voices' coordination names."""
    active = heard.get("active_voices")
    for each in active if isinstance(active, list) else ():
        if isinstance(each, Mapping):
            yield str(each.get("voice_type", ""))


def _mean_of(heard: Iterable[Mapping[str, object]], name: str) -> float | None:
    found = [float(value) for each in heard if isinstance(value := each.get(name), int | float)]
    return _mean(found)
