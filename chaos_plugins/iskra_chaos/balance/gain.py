"""Learns how strongly a session's tension answers to interventions.

Recursive least squares with forgetting (Ljung, *System Identification*, 2nd ed., section 11.2) for one coefficient:
the tension falls by ``gain`` per unit of intensity.
"""

from dataclasses import dataclass

NOMINAL_GAIN = 1.0
"""The gain that the controller's own gains were chosen for; tension per unit of intensity, as all gains here."""
GAIN_RANGE = (0.2, 2.0)
SCALE_RANGE = (0.5, 2.0)
INTERVENTIONS_NEEDED = 20
_FORGETTING = 0.98
_FIRST_VARIANCE = 10.0
_MOST_VARIANCE = 100.0  # forgetting lets it grow without bound where nothing happens
_LEAST_CHANGE = 0.02  # of the intensity: smaller ones say nothing about the gain
_MOST_CHANGE = 2.0  # of intensity or tension


@dataclass(slots=True)
class GainEstimate:
    """The estimate so far.

    Attributes:
        gain: In [0.2, 2].
        variance: How unsure it is, relative to the noise.
        interventions: Seen so far.
    """

    gain: float = NOMINAL_GAIN
    variance: float = _FIRST_VARIANCE
    interventions: int = 0

    def observe(self, intensity_change: float, tension_change: float) -> None:
        """Take in an intervention: how the intensity changed, and the tension once the effect had settled.

        Changes that no intensity or tension can make, or too small ones to tell anything, are left out.
        """
        if not (_LEAST_CHANGE <= abs(intensity_change) <= _MOST_CHANGE and abs(tension_change) <= _MOST_CHANGE):
            return
        step = self.variance * intensity_change / (_FORGETTING + self.variance * intensity_change**2)
        surprise = -tension_change - self.gain * intensity_change
        low, high = GAIN_RANGE
        self.gain = min(max(self.gain + step * surprise, low), high)
        self.variance = min((1.0 - step * intensity_change) * self.variance / _FORGETTING, _MOST_VARIANCE)
        self.interventions += 1

    @property
    def scale(self) -> float:
        """Factor on the controller's gains, in [0.5, 2]; 1 until 20 interventions were seen."""
        if self.interventions < INTERVENTIONS_NEEDED:
            return 1.0
        low, high = SCALE_RANGE
        return min(max(NOMINAL_GAIN / self.gain, low), high)
