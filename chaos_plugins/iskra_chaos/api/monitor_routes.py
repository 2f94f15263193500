"""``/api/v1/monitor``: the conversation and chaos figures of this server."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from iskra_chaos.api.access import caller, has_level, require_level
from iskra_chaos.balance.figures import ExperimentResult, VoiceCoordinationMetrics
from iskra_chaos.balance.wire import BalanceMetrics, ChaosMetrics, StabilityMetrics
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
        is_critical = any(key.startswith("chaos_overflow") for key in alerts) or parts.stop.is_locked
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

    return app


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
