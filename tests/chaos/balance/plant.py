"""A conversation as control engineering sees it: chaos and stability follow the intensity slowly, late and noisily.

The plant is assumed, not measured: two first-order lags with a common delay. Rates are .25 to .6 per turn,
gain ±50 %, delay 1 to 3 turns, noise σ .04.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from iskra_chaos.balance.tension import SMOOTHING, TensionAverage

STALE_TENSION = 0.65
_CHAOS_PART = 0.6  # of the gain; the rest moves stability
_STALE_CHAOS = 0.2


@dataclass(frozen=True)
class Parameters:
    """One conversation's way to answer.

    Attributes:
        gain: By how much the tension falls per unit of intensity, in the end.
        base: Tension without any intervention.
        delay: Turns until an intensity begins to act; 1 is the next turn.
        noise: Standard deviation of the measured tension.
    """

    chaos_rate: float = 0.4
    stability_rate: float = 0.4
    gain: float = 1.0
    base: float = STALE_TENSION
    delay: int = 2
    noise: float = 0.04

    @property
    def holding_intensity(self) -> float:
        """The intensity that keeps the tension at .30."""
        return (self.base - 0.30) / self.gain


class Plant:
    """A simulated conversation."""

    def __init__(self, parameters: Parameters, random: Random, *, held: float = 0.0) -> None:
        """Start at rest under the intensity ``held``."""
        self.parameters = parameters
        self._random = random
        self.chaos = _STALE_CHAOS + _CHAOS_PART * parameters.gain * held
        self.stability = _STALE_CHAOS + parameters.base - (1 - _CHAOS_PART) * parameters.gain * held
        self.base = parameters.base
        self._underway = deque([held] * (parameters.delay - 1))

    @property
    def tension(self) -> float:
        """The true tension."""
        return self.stability - self.chaos

    def turn(self, intensity: float) -> tuple[float, float]:
        """Live through a turn and return chaos and stability as they are measured."""
        p = self.parameters
        self._underway.append(intensity)
        acting = self._underway.popleft()
        self.chaos += p.chaos_rate * (_STALE_CHAOS + _CHAOS_PART * p.gain * acting - self.chaos)
        self.stability += p.stability_rate * (
            _STALE_CHAOS + self.base - (1 - _CHAOS_PART) * p.gain * acting - self.stability
        )
        sigma = p.noise / 2**0.5
        return _clipped(self.chaos + self._random.gauss(0, sigma)), _clipped(
            self.stability + self._random.gauss(0, sigma)
        )


@dataclass(frozen=True)
class Run:
    """What happened, turn by turn."""

    tensions: list[float]
    intensities: list[float]

    def settled_at(self, low: float = 0.20, high: float = 0.40, dwell: int = 10) -> int | None:
        """Return the first turn from which the tension stays within the limits for ``dwell`` turns."""
        inside = 0
        for turn, value in enumerate(self.tensions):
            inside = inside + 1 if low <= value <= high else 0
            if inside == dwell:
                return turn - dwell + 1
        return None

    def share_within(self, low: float, high: float, *, after: int = 40) -> float:
        """Return the share of turns within the limits."""
        tail = self.tensions[after:]
        return sum(low <= value <= high for value in tail) / len(tail)


def drawn(random: Random) -> Parameters:
    """Return a conversation from the published ranges."""
    return Parameters(
        chaos_rate=random.uniform(0.25, 0.6),
        stability_rate=random.uniform(0.25, 0.6),
        gain=random.uniform(0.5, 1.5),
        base=random.uniform(0.60, 0.70),
        delay=random.randint(1, 3),
    )


def simulate(
    plant: Plant,
    decide: Callable[[float], float],
    turns: int = 200,
    *,
    before_turn: Callable[[int], None] = lambda turn: None,
    actuator: Callable[[int, float], float] = lambda turn, intensity: intensity,
    intensity: float = 0.0,
    is_averaged: bool = True,
) -> Run:
    """Close the loop: ``decide`` takes the averaged tension, or the latest, and returns the next intensity."""
    average = TensionAverage()
    tensions, intensities = [], []
    for turn in range(turns):
        before_turn(turn)
        chaos, stability = plant.turn(actuator(turn, intensity))
        averaged = average.update(chaos, stability)
        intensity = decide(averaged if is_averaged else stability - chaos)
        tensions.append(plant.tension)
        intensities.append(intensity)
    return Run(tensions, intensities)


def spectral_radius(parameters: Parameters, proportional: float, integral: float) -> float:
    """Return the largest magnitude of an eigenvalue of the linear closed loop; below 1 it is stable.

    State: chaos, stability, averaged tension, integral, and the intensities underway.
    """
    p, underway = parameters, parameters.delay - 1
    loop: NDArray[np.float64] = np.zeros((4 + underway, 4 + underway))
    output = np.zeros(4 + underway)
    output[2], output[3] = proportional, 1.0
    acting = np.eye(4 + underway)[4] if underway else output
    loop[0, 0] = 1 - p.chaos_rate
    loop[0] += p.chaos_rate * _CHAOS_PART * p.gain * acting
    loop[1, 1] = 1 - p.stability_rate
    loop[1] -= p.stability_rate * (1 - _CHAOS_PART) * p.gain * acting
    # The average takes in the readings after the turn, the integral the error that led to the output.
    loop[2] = SMOOTHING * (loop[1] - loop[0])
    loop[2, 2] += 1 - SMOOTHING
    loop[3, 3], loop[3, 2] = 1.0, integral
    for place in range(underway):
        loop[4 + place] = np.eye(4 + underway)[5 + place] if place + 1 < underway else output
    return float(np.abs(np.linalg.eigvals(loop)).max())


def _clipped(value: float) -> float:
    return min(max(value, 0.0), 1.0)
