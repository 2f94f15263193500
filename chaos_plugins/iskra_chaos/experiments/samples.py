"""Requests of the load block, by arm, and what they say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iskra_chaos.experiments.files.extension import Arm
from iskra_chaos.experiments.statistics import (
    Comparison,
    Interval,
    compare_quantiles,
    quantile,
    rule_of_three,
    wilson_interval,
)

_CURVE = 200  # steps of the latency curve that the journal keeps


@dataclass(slots=True)
class ArmSamples:
    """What one arm's clients saw.

    Attributes:
        seconds: Latency of every finished request, failed ones too, in order of their end.
        failures: Requests without the expected answer.
        reasons: How often each kind of failure came.
    """

    seconds: list[float] = field(default_factory=list)
    failures: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, seconds: float, failure: str) -> None:
        """Take in one request; an empty ``failure`` is a success."""
        self.seconds.append(seconds)
        if failure:
            self.failures += 1
            self.reasons[failure] = self.reasons.get(failure, 0) + 1

    @property
    def requests(self) -> int:
        """How many ended."""
        return len(self.seconds)

    @property
    def error_rate(self) -> Interval:
        """Share of failed requests, with Wilson's interval; without a failure its upper end is the rule of three."""
        interval = wilson_interval(self.failures, self.requests)
        if self.failures or not self.requests:
            return interval
        return Interval(0.0, 0.0, rule_of_three(self.requests))

    def latency(self, q: float) -> float | None:
        """Return a quantile of the latency in seconds, or ``None`` without requests."""
        return quantile(sorted(self.seconds), q) if self.seconds else None

    def summary(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        ordered = sorted(self.seconds)
        rate = self.error_rate
        curve = [quantile(ordered, step / _CURVE) for step in range(_CURVE + 1)] if ordered else []
        return {
            "requests": self.requests,
            "failures": self.failures,
            "reasons": dict(sorted(self.reasons.items())),
            "error_rate": {"low": rate.low, "estimate": rate.estimate, "high": rate.high},
            "mean": sum(ordered) / len(ordered) if ordered else None,
            "p50": self.latency(0.5),
            "p95": self.latency(0.95),
            "p99": self.latency(0.99),
            "latency_curve": [round(value, 6) for value in curve],
        }


def compare(arms: Mapping[Arm, ArmSamples]) -> Comparison | None:
    """Return how the 99th percentiles compare, or ``None`` while an arm has no requests."""
    control, experiment = arms["control"].seconds, arms["experiment"].seconds
    return compare_quantiles(control, experiment) if control and experiment else None
