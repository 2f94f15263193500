"""``/api/v1/monitor``: the conversation and chaos figures of this server."""

import asyncio
import re
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from iskra_chaos.api.access import caller, has_level, require_level
from iskra_chaos.balance.controller import INTEGRAL_GAIN, PROPORTIONAL_GAIN
from iskra_chaos.balance.identification import INTERVENTIONS_WANTED, Identification, identify
from iskra_chaos.balance.wire import BalanceMetrics, ChaosMetrics, StabilityMetrics
from iskra_chaos.figures import ExperimentResult, VoiceCoordinationMetrics
from iskra_chaos.parts import ChaosParts
from iskra_sdk.errors import BadInputError

MetricType = Literal["chaos", "stability", "balance", "voice_coordination"]
_RANGE = re.compile(r"(\d{1,4})([smhd])", re.ASCII)
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=30)


class SystemHealth(BaseModel):
    """The answer to ``/monitor/health``.

    Attributes:
        uptime: Seconds since the plugin started.
        alerts: Alerts that fire now; the sessions they concern are named to `chaos:advanced` only.
        is_locked: An emergency stop is in force.
        active_faults: Faults at work now.
    """

    overall_status: Literal["healthy", "warning", "critical"]
    uptime: float
    last_health_check: str
    alerts: list[str]
    is_locked: bool
    active_faults: int


class ScheduleRest(BaseModel):
    """The answer to ``/monitor/rest``.

    Attributes:
        rests_until: When the next scheduled experiment may run; ``None`` where it may now.
    """

    may_run: bool
    rests_until: datetime | None


class PlantEstimate(BaseModel):
    """A value with the interval that holds it nine times of ten."""

    value: float
    low: float
    high: float


class SuggestedGains(BaseModel):
    """Gains of the controller; nothing applies them by itself."""

    proportional: float
    integral: float


class PlantIdentification(BaseModel):
    """The answer to ``/monitor/plant``: how sessions answer to operations, from recorded interventions.

    Attributes:
        status: ``too_few`` segments; ``unclear`` where the gain cannot be told from none; ``preliminary`` below 200
            interventions; else ``identified``.
        segments: Recorded stretches of turns around operations.
        interventions: Turns on which an operation acted.
        wanted: Interventions from which on the gains may be set anew.
        gain: By how much the tension falls per unit of intensity, in the end.
        rate: Share of the way to its rest that the tension goes in a turn.
        delay: Turns until an operation begins to act; 0 is the turn it acts on.
        explained: Share of the variance that the model explains.
        suggested: Gains that would suit.
        in_use: Gains that are used, before they are scaled by what was learned of a tenant.
    """

    status: Literal["too_few", "unclear", "preliminary", "identified"]
    segments: int
    interventions: int
    wanted: int
    gain: PlantEstimate | None = None
    rate: PlantEstimate | None = None
    delay: int | None = None
    explained: float | None = None
    suggested: SuggestedGains | None = None
    in_use: SuggestedGains


class Metrics(BaseModel):
    """The answer to ``/monitor/metrics``; what was not asked for is ``null``."""

    time_range: str
    chaos_metrics: ChaosMetrics | None = None
    stability_metrics: StabilityMetrics | None = None
    balance_metrics: BalanceMetrics | None = None
    voice_coordination_metrics: VoiceCoordinationMetrics | None = None
    history: list[dict[str, object]]


def monitor_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``."""
    app = FastAPI(title="Chaos figures", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/health", tags=["monitor"])
    async def health(request: Request) -> SystemHealth:
        """See in one word whether conversations and faults are in order."""
        overview = parts.overview
        faults = sum(fault.lease.is_active for fault in parts.board.faults())
        alerts = overview.firing
        if parts.experiment_lock.is_locked:
            alerts = [*alerts, "failed_rollback"]
        is_locked = parts.stop.is_locked or parts.experiment_lock.is_locked
        is_critical = any(key.startswith("chaos_overflow") for key in alerts) or is_locked
        if not has_level(caller(request), "advanced"):
            alerts = sorted({key.partition("|")[0] for key in alerts})
        return SystemHealth(
            overall_status="critical" if is_critical else "warning" if alerts or faults else "healthy",
            uptime=round(parts.context.clock.monotonic() - parts.began, 3),
            last_health_check=parts.context.clock.now().isoformat(),
            alerts=alerts,
            is_locked=parts.stop.is_locked,
            active_faults=faults,
        )

    @app.get("/metrics", tags=["monitor"])
    async def metrics(
        time_range: Annotated[str, Query(max_length=10)] = "1h",
        metric_types: Annotated[list[MetricType] | None, Query()] = None,
    ) -> Metrics:
        """See chaos, stability, balance and voices; `time_range` is a number and s, m, h or d."""
        since = duration(time_range)
        wanted = set(metric_types or ("chaos", "stability", "balance", "voice_coordination"))
        overview = parts.overview
        return Metrics(
            time_range=time_range,
            chaos_metrics=overview.chaos(since) if "chaos" in wanted else None,
            stability_metrics=overview.stability() if "stability" in wanted else None,
            balance_metrics=overview.balance() if "balance" in wanted else None,
            voice_coordination_metrics=overview.voice_coordination(since) if "voice_coordination" in wanted else None,
            history=overview.history(since),
        )

    @app.post("/experiments", tags=["monitor"], status_code=201)
    async def note_experiment(request: Request, body: ExperimentResult) -> ExperimentResult:
        """Keep the verdict of an experiment; the resilience score counts it."""
        require_level(caller(request), "advanced", second_factor=parts.settings.second_factor)
        await parts.overview.note_experiment(body)
        return body

    @app.get("/rest", tags=["monitor"])
    async def rest() -> ScheduleRest:
        """See whether a scheduled experiment may run: after each one the server rests, the longer the worse it was."""
        rests_until = parts.overview.rests_until()
        return ScheduleRest(may_run=rests_until is None and not parts.stop.is_locked, rests_until=rests_until)

    @app.get("/plant", tags=["monitor"])
    async def plant(request: Request, tenant: Annotated[str, Query(max_length=200)] = "") -> PlantIdentification:
        """Identify how sessions answer to operations, and see which gains would suit; nothing is changed."""
        require_level(caller(request), "advanced", second_factor=parts.settings.second_factor)
        segments = [each for each in parts.balancing.learned.segments if not tenant or each.tenant == tenant]
        return _plant(await asyncio.to_thread(identify, segments))

    return app


def _plant(found: Identification) -> PlantIdentification:
    plant = found.plant
    answer = PlantIdentification(
        status=found.status,
        segments=found.segments,
        interventions=found.interventions,
        wanted=INTERVENTIONS_WANTED,
        in_use=SuggestedGains(proportional=PROPORTIONAL_GAIN, integral=INTEGRAL_GAIN),
    )
    if plant is None:
        return answer
    return answer.model_copy(
        update={
            "gain": PlantEstimate(**asdict(plant.gain)),
            "rate": PlantEstimate(**asdict(plant.rate)),
            "delay": plant.delay,
            "explained": plant.explained,
            "suggested": SuggestedGains(proportional=plant.proportional, integral=plant.integral),
        }
    )


def duration(text: str) -> timedelta:
    """Return how long ``90s``, ``15m``, ``1h`` or ``7d`` is.

    Raises:
        BadInputError: It is none of these, or nothing, or longer than thirty days.
    """
    found = _RANGE.fullmatch(text)
    length = timedelta(**{_UNIT[found.group(2)]: int(found.group(1))}) if found else timedelta(0)
    if not timedelta(0) < length <= _LONGEST:
        raise BadInputError(
            f"{text!r} is no time range.", mend="Send a number and s, m, h or d, e.g. `1h`; at most 30d."
        )
    return length
