"""Identifies how sessions answer to operations, from recorded interventions, and which gains that would suggest.

The model is one of first order with a delay: the tension, from its mean before the first operation, keeps a share *a*
of itself each turn and is moved by *b* times the intensity that acted *delay* turns ago, plus a constant (an ARX model:
Ljung, *System Identification*, 2nd ed., section 4.2). The gain is −b / (1 − a), the rate 1 − a. How sure both are is
told by drawing whole segments again (Efron and Tibshirani, *An Introduction to the Bootstrap*, chapter 8).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from iskra_chaos.balance.controller import INTEGRAL_GAIN, PROPORTIONAL_GAIN
from iskra_chaos.balance.gain import NOMINAL_GAIN, SCALE_RANGE
from iskra_chaos.balance.recording import Segment

INTERVENTIONS_WANTED = 200
"""From so many on the gains may be set anew; fewer are told all the same."""
LEAST_SEGMENTS = 8
DELAYS = (0, 1, 2)
_RESAMPLES = 200
_SEED = 1
_LEAST_CHANGE = 0.1
"""Least gain that is told from none."""

Row = tuple[float, float, float]
"""Tension now, tension a turn before, intensity ``delay`` turns before; tensions from the segment's baseline."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the interval that holds it nine times of ten."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Plant:
    """What was identified.

    Attributes:
        gain: By how much the tension falls per unit of intensity, in the end.
        rate: Share of the way to its rest that the tension goes in a turn.
        delay: Turns until an operation begins to act; 0 is the turn it acts on.
        explained: Share of the variance that the model explains (R²).
        proportional: The gain of the controller that the plant suggests.
        integral: The same per turn.
    """

    gain: Estimate
    rate: Estimate
    delay: int
    explained: float
    proportional: float
    integral: float


@dataclass(frozen=True, slots=True)
class Identification:
    """What recorded interventions tell.

    Attributes:
        status: ``too_few``; ``unclear`` where the interval of the gain reaches down to none, so that nothing is
            suggested; ``preliminary`` below 200 interventions; else ``identified``.
        segments: Recorded stretches of turns.
        interventions: Turns on which an operation acted.
        plant: ``None`` where there were too few, or nothing fits.
    """

    status: Literal["too_few", "unclear", "preliminary", "identified"]
    segments: int
    interventions: int
    plant: Plant | None = None


def identify(segments: Sequence[Segment]) -> Identification:
    """Return what segments tell of the sessions they are from; equal segments give equal results."""
    interventions = sum(turn.intensity > 0.0 for segment in segments for turn in segment.turns)
    if len(segments) < LEAST_SEGMENTS:
        return Identification("too_few", len(segments), interventions)
    fits = [(fit, delay) for delay in DELAYS if (fit := _fitted([_rows(each, delay) for each in segments])) is not None]
    if not fits:
        return Identification("unclear", len(segments), interventions)
    best, delay = max(fits, key=lambda found: found[0].explained)
    gains, rates = _resampled([_rows(each, delay) for each in segments])
    if not gains:
        return Identification("unclear", len(segments), interventions)
    gain = Estimate(round(best.gain, 4), *_interval(gains))
    rate = Estimate(round(best.rate, 4), *_interval(rates))
    if gain.low < _LEAST_CHANGE:
        return Identification("unclear", len(segments), interventions)
    scale = min(max(NOMINAL_GAIN / gain.value, SCALE_RANGE[0]), SCALE_RANGE[1])
    plant = Plant(
        gain,
        rate,
        delay,
        round(best.explained, 4),
        round(PROPORTIONAL_GAIN * scale, 4),
        round(INTEGRAL_GAIN * scale, 4),
    )
    is_enough = interventions >= INTERVENTIONS_WANTED
    return Identification("identified" if is_enough else "preliminary", len(segments), interventions, plant)


@dataclass(frozen=True, slots=True)
class _Fit:
    gain: float
    rate: float
    explained: float


def _rows(segment: Segment, delay: int) -> list[Row]:
    base, turns = segment.baseline, segment.turns
    return [
        (turns[place].tension - base, turns[place - 1].tension - base, turns[place - delay].intensity)
        for place in range(max(segment.first, delay, 1), len(turns))
    ]


def _fitted(segments: Sequence[Sequence[Row]]) -> _Fit | None:
    """Fit the model by least squares; ``None`` where it has no rest, or the intensity never changed."""
    rows = [row for segment in segments for row in segment]
    if len(rows) < 4:
        return None
    means = [math.fsum(row[place] for row in rows) / len(rows) for place in range(3)]
    now, before, acted = ([row[place] - means[place] for row in rows] for place in range(3))
    bb, aa, ba = _product(before, before), _product(acted, acted), _product(before, acted)
    nb, na, nn = _product(now, before), _product(now, acted), _product(now, now)
    determinant = bb * aa - ba * ba
    if determinant <= 1e-12 or nn <= 0.0:
        return None
    kept = (nb * aa - na * ba) / determinant
    moved = (na * bb - nb * ba) / determinant
    rate = 1.0 - kept
    if not 0.05 <= rate <= 1.5:
        return None
    return _Fit(-moved / rate, rate, (kept * nb + moved * na) / nn)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _resampled(segments: Sequence[Sequence[Row]]) -> tuple[list[float], list[float]]:
    """Return gains and rates of samples of segments drawn with replacement."""
    random = Random(_SEED)  # noqa: S311  # a simulation, repeatable
    fits = [_fitted(random.choices(segments, k=len(segments))) for _ in range(_RESAMPLES)]
    found = [fit for fit in fits if fit is not None]
    if len(found) < _RESAMPLES // 2:
        return [], []
    return sorted(fit.gain for fit in found), sorted(fit.rate for fit in found)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    edge = len(values) // 20
    return round(values[edge], 4), round(values[-1 - edge], 4)
