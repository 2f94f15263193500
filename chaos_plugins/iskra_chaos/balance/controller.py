"""A PI controller that keeps the tension of a conversation in its band.

Positive output asks for creative perturbation, negative output for stabilising. The integral is corrected by
back-calculation (Åström and Hägglund, *Advanced PID Control*, 2006, section 3.5): whatever a limit takes away from the
output is taken from the integral too, so it cannot wind up.
"""

import math
from dataclasses import dataclass
from typing import Literal

from iskra_chaos.balance.tension import SET_POINT

Phase = Literal["acting", "resting", "frozen"]

PROPORTIONAL_GAIN = 0.5
INTEGRAL_GAIN = 0.18
"""Per turn."""
SLEW = 0.15
"""Most the output changes per turn."""
ACT_ABOVE = 0.05
REST_BELOW = 0.02
DEAD_ZONE = 0.1
"""Outputs below are not carried out: no operation has a smaller intensity."""
LEAST_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class Intensity:
    """What the controller asks for.

    Attributes:
        value: In [-1, -0.1], 0, or [0.1, 1].
        phase: ``acting`` follows the tension, ``resting`` holds since the tension is good, ``frozen`` holds since
            nothing may or can be decided; nothing new is started while frozen.
    """

    value: float
    phase: Phase

    @property
    def creative(self) -> float:
        """Intensity of a creative operation, 0 for none."""
        return max(0.0, self.value)

    @property
    def stabilising(self) -> float:
        """Strength of a stabiliser, 0 for none."""
        return max(0.0, -self.value)


@dataclass(frozen=True, slots=True)
class ControllerState:
    """All that a controller remembers between turns."""

    output: float = 0.0
    integral: float = 0.0
    is_resting: bool = True


class PIController:
    """Turns a session's tension into an intensity, once per turn.

    Args:
        set_point: The tension aimed at.
        proportional: Output per unit of error.
        integral: Output per unit of error and turn.
        state: Where to go on from.
    """

    def __init__(
        self,
        *,
        set_point: float = SET_POINT,
        proportional: float = PROPORTIONAL_GAIN,
        integral: float = INTEGRAL_GAIN,
        state: ControllerState | None = None,
    ) -> None:
        self.set_point = set_point
        self._proportional = proportional
        self._integral = integral
        self.state = state or ControllerState()

    def step(self, tension: float, *, may_act: bool = True, confidence: float = 1.0, scale: float = 1.0) -> Intensity:
        """Return this turn's intensity.

        Args:
            tension: The averaged tension.
            may_act: False without a cause, after a veto of the ethics check, after "stop" or "keep" by the user, and
                while a fault experiment runs: output and integral then stay as they are.
            confidence: Of the readings; below 0.5 nothing changes either.
            scale: Factor on both gains, from :class:`~iskra_chaos.balance.gain.GainEstimate`.
        """
        # A comparison with NaN is false, so a confidence or tension that is no number freezes.
        if not (may_act and confidence >= LEAST_CONFIDENCE and math.isfinite(tension)):
            return self._intensity("frozen")
        error = tension - self.set_point
        state = self.state
        if state.is_resting and abs(error) <= ACT_ABOVE:
            return self._intensity("resting")
        wanted = scale * self._proportional * error + state.integral
        slewed = min(max(wanted, state.output - SLEW), state.output + SLEW)
        output = min(max(slewed, -1.0), 1.0)
        # The turn that reaches the set point is still carried out: resting begins with the next one. Otherwise a
        # slightly higher tension could give a lower output.
        self.state = ControllerState(
            output=output,
            integral=state.integral + scale * self._integral * error + (output - wanted),
            is_resting=abs(error) < REST_BELOW,
        )
        return self._intensity("acting")

    def _intensity(self, phase: Phase) -> Intensity:
        output = self.state.output
        return Intensity(output if abs(output) >= DEAD_ZONE else 0.0, phase)
