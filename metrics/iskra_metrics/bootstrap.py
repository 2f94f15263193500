"""Confidence intervals of paired differences, by the bootstrap."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """How one thing differs from another, over pairs.

    Attributes:
        mean: Mean difference.
        low: Lower bound of the 95 % interval of the mean difference.
        high: Upper bound.
        relative: Mean difference by the mean of what it is compared with; 0 where that is 0.
    """

    mean: float
    low: float
    high: float
    relative: float


def paired_change(after: Sequence[float], before: Sequence[float], *, seed: int = 0) -> Change:
    """Return the mean of ``after − before`` with its percentile interval (Efron and Tibshirani, 1993, chapter 13).

    Pairs are drawn together, so what is common to both, such as a hard question, does not widen the interval.

    Raises:
        ValueError: There are no pairs, or not as many of one as of the other.
    """
    if not after or len(after) != len(before):
        raise ValueError(f"{len(after)} values cannot be paired with {len(before)}")
    differences = [mine - theirs for mine, theirs in zip(after, before, strict=True)]
    count = len(differences)
    draw = random.Random(seed)  # noqa: S311  # statistics, and the same at every run
    means = sorted(sum(draw.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    mean, base = sum(differences) / count, sum(before) / count
    return Change(mean, means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1], mean / base if base else 0.0)
