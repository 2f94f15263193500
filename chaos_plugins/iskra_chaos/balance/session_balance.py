"""What the control loop remembers of a session."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from iskra_chaos.balance.bounds import ENVELOPE, Bounds, Postponing, Surroundings
from iskra_chaos.balance.calibration import TenantBalance
from iskra_chaos.balance.causes import CauseGate, Stabiliser
from iskra_chaos.balance.controller import Intensity, PIController
from iskra_chaos.balance.recording import Recording
from iskra_chaos.balance.tension import TensionAverage

_STABILITIES = 12
"""Readings of stability from which its trend is told."""


@dataclass(slots=True)
class SessionBalance:
    """One session.

    Attributes:
        tenant: Whose it is.
        tension: The averaged tension.
        wanted: What the controller asked for last.
        frozen_because: Why the controller holds; empty while it does not.
        bounds: What was allowed last, and why.
        surroundings: What that was decided by.
        vetoed_for: Turns that the controller still holds after the ethics check refused an operation of its own.
        advised: The stabilisers that the last turn called for.
        stabilities: The latest readings, oldest first.
        applied: Process id → answers it had acted on when the session was looked at last.
    """

    tenant: str
    average: TensionAverage
    controller: PIController
    recording: Recording
    gate: CauseGate = field(default_factory=CauseGate)
    postponing: Postponing = field(default_factory=Postponing)
    turns: int = 0
    tension: float = 0.0
    wanted: Intensity = field(default_factory=lambda: Intensity(0.0, "resting"))
    frozen_because: str = ""
    bounds: Bounds = ENVELOPE
    surroundings: Surroundings = field(default_factory=Surroundings)
    vetoed_for: int = 0
    advised: Sequence[Stabiliser] = ()
    stabilities: deque[float] = field(default_factory=lambda: deque(maxlen=_STABILITIES))
    applied: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begun(cls, tenant: str, calibrated: TenantBalance) -> "SessionBalance":
        """Return the balance of a session that was never looked at."""
        average, controller = TensionAverage(calibrated.offset), PIController(set_point=calibrated.set_point)
        return cls(tenant, average, controller, Recording(tenant))

    @property
    def set_point(self) -> float:
        """The tension aimed at."""
        return self.controller.set_point

    @property
    def is_loose(self) -> bool:
        """Whether there is less tension than is aimed at."""
        return self.tension < self.set_point

    def read(self, readings: Mapping[str, float]) -> None:
        """Take in the readings of a turn."""
        self.turns += 1
        self.tension = self.average.update(readings["chaos"], readings["stability"])
        self.stabilities.append(readings["stability"])

    def start_over(self) -> None:
        """Let go of what the controller wanted: what was put off too often is not done later, unasked."""
        self.controller = PIController(set_point=self.set_point)
        self.gate.turns_since_start = 0
