"""The balance schemas of the HTTP interface and the dashboard."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.balance.tension import BAND, BalanceStatus, status_of

Level = Annotated[float, Field(ge=0.0, le=1.0)]
Trend = Literal["improving", "stable", "declining"]

STOP_LINE = 0.8
"""Chaos at which no further load is taken on."""
_TREND_STEP = 0.02


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True, allow_inf_nan=False)


class BalanceMetrics(_Schema):
    """How chaos and stability stand to each other.

    Attributes:
        chaos_stability_tension: The averaged tension without its sign; ``balance_status`` says what the sign was. Both
            are ``None`` until a session was looked at.
    """

    chaos_stability_tension: float | None = Field(ge=0.0, le=2.0)
    optimal_tension_range: tuple[float, float] = BAND
    balance_status: BalanceStatus | None


class ChaosMetrics(_Schema):
    """Chaos now, and what is going on.

    Attributes:
        current_chaos_level: Mean of the sessions measured within the hour; ``None`` where none was.
        chaos_capacity: What is left up to the stop line of .80.
        constructive_vs_destructive_ratio: Finished operations after which staleness fell without a loss, of all.
    """

    current_chaos_level: Level | None
    chaos_capacity: Level | None
    active_chaos_processes: int = Field(ge=0)
    chaos_events_per_hour: float = Field(ge=0.0)
    constructive_vs_destructive_ratio: Level | None = None


class StabilityMetrics(_Schema):
    """Stability now, and how well the system comes back.

    Attributes:
        current_stability_level: Mean of the sessions measured within the hour; ``None`` where none was.
        stability_trend: Where these sessions go on average; ``None`` where none has three readings.
        recovery_time_avg: Seconds from the end of a fault to the steady state, written like ``"2.3 seconds"``.
        resilience_score: Share of observed experiments whose hypothesis held.
    """

    current_stability_level: Level | None
    stability_trend: Trend | None
    recovery_time_avg: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? seconds$")
    resilience_score: Level | None = None


class SystemState(_Schema):
    """The state that a calibration starts from: what a healthy session reads, without any offset.

    Attributes:
        n_turns: Turns the readings rest on.
        confidence: Of the readings.
        readings: Further conversation metrics by name.
    """

    chaos_level: Level
    stability_level: Level
    n_turns: int = Field(default=0, ge=0)
    confidence: Level = 1.0
    readings: dict[str, Level] = Field(default_factory=dict)


class TargetBalance(_Schema):
    """What a calibration aims at; all three are optional, and together they have to be possible.

    Ranges are checked by the calibration itself, which explains more than a schema can.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, allow_inf_nan=True)

    chaos_level: float | None = None
    stability_level: float | None = None
    optimal_tension: float | None = None


class CalibrationResult(_Schema):
    """A tenant's calibration after a request.

    Attributes:
        offset: Added to the tension of every reading of this tenant.
        set_point: What the controller aims at.
        tension_before: Signed tension of the state that was sent.
        tension_after: The same with the offset.
    """

    tenant: str
    offset: float
    set_point: float
    optimal_tension_range: tuple[float, float]
    tension_before: float
    tension_after: float
    balance_metrics: BalanceMetrics


def balance_metrics(tension: float | None, band: tuple[float, float] = BAND) -> BalanceMetrics:
    """Return the schema for a signed tension; ``None`` where nothing was observed."""
    return BalanceMetrics(
        chaos_stability_tension=None if tension is None else abs(tension),
        optimal_tension_range=band,
        balance_status=None if tension is None else status_of(tension, band),
    )


def chaos_capacity(chaos: float) -> float:
    """Return how much chaos is left up to the stop line, never less than 0."""
    return max(0.0, round(STOP_LINE - chaos, 6))


def slope_of(stabilities: Sequence[float]) -> float | None:
    """Return the slope per reading of a straight line through readings, oldest first; ``None`` for fewer than three."""
    count = len(stabilities)
    if count < 3:
        return None
    middle = (count - 1) / 2
    mean = sum(stabilities) / count
    rise = sum((place - middle) * (value - mean) for place, value in enumerate(stabilities))
    return rise / sum((place - middle) ** 2 for place in range(count))


def trend_of(slope: float | None) -> Trend | None:
    """Return a slope in a word: within ±.02 per reading it counts as stable."""
    if slope is None:
        return None
    return "improving" if slope > _TREND_STEP else "declining" if slope < -_TREND_STEP else "stable"
