"""The figures for people who watch the server: the specification's dashboard, each of them measured."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from iskra_chaos.balance.alerts import Alert, AlertMonitor, MetricValue
from iskra_chaos.balance.tension import SET_POINT
from iskra_chaos.balance.wire import (
    BalanceMetrics,
    ChaosMetrics,
    StabilityMetrics,
    Trend,
    balance_metrics,
    chaos_capacity,
    slope_of,
    trend_of,
)
from iskra_chaos.balancing import Balancing
from iskra_chaos.figures import (
    ExperimentResult,
    VoiceCoordinationMetrics,
    constructive_share,
    mean,
    recovery_time,
    resilience_score,
    rest_after,
    voice_figures,
)
from iskra_chaos.processes.engine import ChaosEngine
from iskra_sdk.clock import Clock
from iskra_sdk.plugin_context import KeyValueState

_LEVELS_KEPT = 3600
"""Noted levels: at least the last hour, at one a second."""
_HEARD_KEPT = 500
"""Latest events of the voices."""
_LEVEL_EVERY = timedelta(minutes=1)
"""After this long a level is noted again although it is the same."""
_PRESENT = 3600.0
"""Seconds that a session counts as present after it was measured last."""
_VOICES_SINCE = timedelta(hours=1)
_RESULTS_KEPT = 200
_REJECTIONS_KEPT = 100
_RESULTS_KEY = "experiment_results"


@dataclass(frozen=True, slots=True)
class _Level:
    at: datetime
    chaos: float
    stability: float


class Overview:
    """Sums up sessions, operations, faults and experiments."""

    def __init__(
        self,
        engine: ChaosEngine,
        balancing: Balancing,
        clock: Clock,
        state: KeyValueState,
        alerts: AlertMonitor,
    ) -> None:
        self._engine = engine
        self._balancing = balancing
        self._clock = clock
        self._state = state
        self._alerts = alerts
        self._voices: deque[tuple[datetime, Mapping[str, object]]] = deque(maxlen=_HEARD_KEPT)
        self._seen: dict[str, tuple[Mapping[str, float], float]] = {}
        self._levels: deque[_Level] = deque(maxlen=_LEVELS_KEPT)
        self._results: list[ExperimentResult] = []
        self._rejected: list[str] = []
        self._alerted: list[str] = []

    def note_rejection(self, process_id: str) -> None:
        """Have the alert on rejected operations raised at the next tick; it is over at the one after."""
        self._rejected = [*self._rejected, process_id][-_REJECTIONS_KEPT:]

    def hear_voices(self, data: Mapping[str, object]) -> None:
        """Take in an event of the voices."""
        self._voices.append((self._clock.now(), data))

    async def load(self) -> None:
        """Read the experiments' results."""
        kept = await self._state.get(_RESULTS_KEY)
        self._results = [ExperimentResult.model_validate(each) for each in kept] if isinstance(kept, list) else []

    async def note_experiment(self, result: ExperimentResult) -> None:
        """Keep what a runner reports."""
        result.at = self._clock.now()
        self._results = [*self._results, result][-_RESULTS_KEPT:]
        await self._state.put(_RESULTS_KEY, [each.model_dump(mode="json") for each in self._results])

    def rests_until(self) -> datetime | None:
        """Return when the next scheduled experiment may run; ``None`` where it may run now."""
        ends = [each.at + rest_after(each) for each in self._results if each.at is not None]
        latest = max(ends, default=None)
        return latest if latest is not None and latest > self._clock.now() else None

    # Once a second ---------------------------------------------------------------------------------------------------

    async def tick(self) -> list[Alert]:
        """Note the levels of now, and return the alerts that begin or end; others run between sessions."""
        present = self._present()
        self._note_level()
        found = []
        at = self._clock.monotonic()
        for session_id, values in present.items():
            metrics: dict[str, MetricValue] = {
                "current_chaos_level": values["chaos"],
                "stability_level": values["stability"],
            }
            balance = self._balancing.sessions.get(session_id)
            if balance is not None:
                metrics["highest_load"] = balance.surroundings.highest_load
                metrics["stability_trend"] = trend_of(slope_of(balance.stabilities)) or "stable"
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

    def _present(self) -> Mapping[str, Mapping[str, float]]:
        """Return the last readings of the sessions that were measured within the hour; alerts of others are dropped."""
        now = self._clock.monotonic()
        last = self._engine.measuring.last()
        for session_id, values in last.items():
            seen = self._seen.get(session_id)
            if seen is None or seen[0] is not values:
                self._seen[session_id] = (values, now)
        gone = [each for each, (_, at) in self._seen.items() if each not in last or now - at >= _PRESENT]
        for session_id in gone:
            self._alerts.forget("session_id", session_id)
            if session_id not in last:
                del self._seen[session_id]
        return {each: values for each, values in last.items() if each not in gone}

    def _note_level(self) -> None:
        chaos, stability = self.chaos_level, self.stability_level
        if chaos is None or stability is None:
            return
        newest = self._levels[-1] if self._levels else None
        now = self._clock.now()
        is_same = newest is not None and (newest.chaos, newest.stability) == (chaos, stability)
        if newest is None or not is_same or now - newest.at >= _LEVEL_EVERY:
            self._levels.append(_Level(now, chaos, stability))

    @property
    def firing(self) -> list[str]:
        """Keys of the alerts that have begun and not ended; they name sessions."""
        return self._alerts.firing

    def forget(self, session_id: str) -> None:
        """Forget the alerts of a session that is gone."""
        self._seen.pop(session_id, None)
        self._alerts.forget("session_id", session_id)

    # Figures ---------------------------------------------------------------------------------------------------------

    @property
    def chaos_level(self) -> float | None:
        """Mean chaos of the sessions measured within the hour, in [0, 1]; ``None`` where none was."""
        return mean(values["chaos"] for values in self._present().values())

    @property
    def stability_level(self) -> float | None:
        """Mean stability of the sessions measured within the hour, in [0, 1]; ``None`` where none was."""
        return mean(values["stability"] for values in self._present().values())

    @property
    def trend(self) -> Trend | None:
        """Where the stability of these sessions goes on average; ``None`` where none has three readings."""
        present = self._present()
        slopes = [slope_of(each.stabilities) for key, each in self._balancing.sessions.items() if key in present]
        return trend_of(mean(slope for slope in slopes if slope is not None))

    def chaos(self, since: timedelta = timedelta(hours=1)) -> ChaosMetrics:
        """Return chaos now, and what went on within ``since``."""
        began = self._clock.now() - since
        processes = [each for each in self._engine.journal.all() if each.start_time >= began]
        level = self.chaos_level
        return ChaosMetrics(
            current_chaos_level=level,
            chaos_capacity=None if level is None else chaos_capacity(level),
            active_chaos_processes=len(self._engine.sessions),
            chaos_events_per_hour=round(len(processes) * 3600.0 / since.total_seconds(), 3),
            constructive_vs_destructive_ratio=constructive_share(processes),
        )

    def stability(self) -> StabilityMetrics:
        """Return stability now, and how well the server comes back from faults."""
        return StabilityMetrics(
            current_stability_level=self.stability_level,
            stability_trend=self.trend,
            recovery_time_avg=recovery_time(self._results),
            resilience_score=resilience_score(self._results),
        )

    def balance(self) -> BalanceMetrics:
        """Return the mean tension of the sessions looked at within the hour, each against its own set point."""
        present = self._present()
        kept = [each for key, each in self._balancing.sessions.items() if key in present]
        off = mean(each.tension - each.set_point for each in kept)
        return balance_metrics(None if off is None else SET_POINT + off)

    def voice_coordination(self, since: timedelta = _VOICES_SINCE) -> VoiceCoordinationMetrics:
        """Return what was heard of the voices within ``since``."""
        began = self._clock.now() - since
        return voice_figures(data for at, data in self._voices if at >= began)

    def history(self, since: timedelta) -> list[dict[str, object]]:
        """Return the levels within ``since``, at most 300 of them, oldest first."""
        began = self._clock.now() - since
        levels = [level for level in self._levels if level.at >= began]
        step = max(1, len(levels) // 300)
        return [{"at": each.at, "chaos": each.chaos, "stability": each.stability} for each in levels[::step]]
