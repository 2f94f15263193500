"""Statistics of experiments: when to stop, how sure an error rate is, whether two latencies differ."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Decision = Literal["continue", "accept", "reject"]


class SequentialTest:
    """Decides between two error rates with as few requests as possible.

    The sequential probability ratio test of A. Wald, "Sequential Tests of Statistical Hypotheses", Annals of
    Mathematical Statistics 16 (1945). After each request the log-likelihood ratio is compared with Wald's two
    boundaries; once one is crossed the decision stands.

    Args:
        p0: Acceptable error rate, in (0, 1).
        p1: Unacceptable error rate, in (p0, 1).
        alpha: Probability, in (0, .5), of rejecting although the rate is ``p0``.
        beta: Probability, in (0, .5), of accepting although the rate is ``p1``.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, p0: float, p1: float, alpha: float = 0.05, beta: float = 0.05) -> None:
        if not 0.0 < p0 < p1 < 1.0:
            raise ValueError(f"0 < p0 < p1 < 1 does not hold for p0={p0} and p1={p1}")
        if not (0.0 < alpha < 0.5 and 0.0 < beta < 0.5):
            raise ValueError(f"alpha and beta lie between 0 and .5, not {alpha} and {beta}")
        self.p0, self.p1, self.alpha, self.beta = p0, p1, alpha, beta
        self._failure = math.log(p1 / p0)
        self._success = math.log((1.0 - p1) / (1.0 - p0))
        self.upper = math.log((1.0 - beta) / alpha)
        self.lower = math.log(beta / (1.0 - alpha))
        self.log_ratio = 0.0
        self.requests = 0
        self.failures = 0
        self.decision: Decision = "continue"

    def observe(self, failed: bool) -> Decision:
        """Take one request into account and return the decision; after one has been made nothing is counted."""
        if self.decision != "continue":
            return self.decision
        self.requests += 1
        self.failures += failed
        self.log_ratio += self._failure if failed else self._success
        if self.log_ratio >= self.upper:
            self.decision = "reject"
        elif self.log_ratio <= self.lower:
            self.decision = "accept"
        return self.decision


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; ``low <= estimate <= high``."""

    low: float
    estimate: float
    high: float


def wilson_interval(failures: int, requests: int, confidence: float = 0.95) -> Interval:
    """Return the interval of E. B. Wilson (JASA 22, 1927) for an error rate; it holds for small rates too.

    Without requests nothing is known, and the interval is [0, 1].
    """
    if not 0 <= failures <= requests:
        raise ValueError(f"{failures} failures of {requests} requests")
    if requests == 0:
        return Interval(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    rate = failures / requests
    scale = 1.0 + z * z / requests
    centre = (rate + z * z / (2 * requests)) / scale
    half = z / scale * math.sqrt(rate * (1.0 - rate) / requests + z * z / (4 * requests * requests))
    # At the ends the formula misses the estimate by a rounding error.
    return Interval(max(0.0, min(rate, centre - half)), rate, min(1.0, max(rate, centre + half)))


def rule_of_three(requests: int, confidence: float = 0.95) -> float:
    """Return the largest error rate that is still plausible after ``requests`` requests without a failure.

    The exact form of the rule of three (Hanley and Lippman-Hand, JAMA 249, 1983): about 3/n at 95 %.
    """
    if requests <= 0:
        return 1.0
    return float(-math.expm1(math.log1p(-confidence) / requests))


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the smallest value that at least the share ``q`` of the values does not exceed.

    Args:
        ordered: Values in ascending order, at least one.
        q: In [0, 1].
    """
    return ordered[_rank(len(ordered), q) - 1]


def _rank(n: int, q: float) -> int:
    # .99 * 100 is 99.00000000000001 or 98.99999999999999 by the mood of the last bit.
    return min(n, max(1, math.ceil(q * n - 1e-9)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a quantile of the experiment arm compares with the control arm.

    Attributes:
        control: The control arm's quantile.
        experiment: The experiment arm's quantile.
        ratio: Experiment by control, with its bootstrap interval.
    """

    control: float
    experiment: float
    ratio: Interval


def compare_quantiles(
    control: Sequence[float],
    experiment: Sequence[float],
    q: float = 0.99,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Return the ratio of two quantiles with its bootstrap interval (percentile method, Efron 1979).

    The k-th smallest of ``n`` draws with replacement from ``n`` ordered values is the value at ``ceil(n * U)`` with
    ``U`` from Beta(k, n-k+1), the law of uniform order statistics. So a resampled quantile costs one draw instead of
    ``n``, and the result has exactly the distribution of the plain bootstrap.

    Args:
        control: Positive values, in any order, at least one.
        experiment: Likewise.
        q: The quantile, in (0, 1].
        resamples: Bootstrap repetitions.
        confidence: Coverage of the interval.
        seed: The same seed and values give the same interval.
    """
    base, other = sorted(control), sorted(experiment)
    draw = random.Random(seed)  # noqa: S311 - statistics, not secrets
    ratios = sorted(
        _resampled(other, q, draw) / max(_resampled(base, q, draw), _TINY) for _ in range(max(1, resamples))
    )
    tail = (1.0 - confidence) / 2.0
    at_control, at_experiment = quantile(base, q), quantile(other, q)
    estimate = at_experiment / max(at_control, _TINY)
    low, high = quantile(ratios, tail), quantile(ratios, 1.0 - tail)
    return Comparison(at_control, at_experiment, Interval(min(low, estimate), estimate, max(high, estimate)))


_TINY = 1e-9  # seconds: no request is faster, and a ratio needs a divisor


def _resampled(ordered: Sequence[float], q: float, draw: random.Random) -> float:
    n = len(ordered)
    k = _rank(n, q)
    place = math.ceil(n * draw.betavariate(k, n - k + 1))
    return ordered[min(n, max(1, place)) - 1]
