"""Calibration: what a tenant's healthy sessions read is moved to the set point."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from iskra_chaos.balance.controller import LEAST_CONFIDENCE
from iskra_chaos.balance.tension import BAND, SET_POINT, tension
from iskra_chaos.balance.wire import CalibrationResult, SystemState, TargetBalance, balance_metrics
from iskra_sdk.errors import BadInputError

# The safety envelope: operations are ended at chaos .85 and at stability .60, so nobody may aim there.
_MOST_CHAOS = 0.80
_LEAST_STABILITY = 0.60
_TENSIONS = (0.15, 0.45)
_MOST_OFFSET = 0.35
_AGREEMENT = 0.005
_MOST_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class TenantBalance:
    """What was calibrated for a tenant.

    Attributes:
        offset: Added to the tension of its readings.
        set_point: The tension aimed at.
    """

    offset: float = 0.0
    set_point: float = SET_POINT

    @property
    def band(self) -> tuple[float, float]:
        """The good tensions, around the set point."""
        low, high = BAND
        return round(self.set_point - (SET_POINT - low), 6), round(self.set_point + (high - SET_POINT), 6)


class Calibration:
    """The calibrations of all tenants.

    Args:
        tenants: What was calibrated before.
    """

    def __init__(self, tenants: Mapping[str, TenantBalance] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def of(self, tenant: str) -> TenantBalance:
        """Return a tenant's calibration; without one, no offset and the usual set point."""
        return self._tenants.get(tenant, TenantBalance())

    def calibrate(self, tenant: str, state: SystemState, target: TargetBalance | None = None) -> CalibrationResult:
        """Set a tenant's offset so that a state like this one reads the tension aimed at.

        Raises:
            BadInputError: The target is impossible or unsafe, or the state is no base for a calibration. Nothing is
                changed then.
        """
        set_point = _set_point(target or TargetBalance())
        if state.confidence < LEAST_CONFIDENCE:
            raise _refusal(
                "current_state.confidence",
                f"The readings are too uncertain to calibrate by: confidence {state.confidence:.2f}, 0.5 is needed.",
                "Wait for three or more turns.",
            )
        before = tension(state.chaos_level, state.stability_level)
        offset = round(set_point - before, 6)
        if abs(offset) > _MOST_OFFSET:
            raise _refusal(
                "current_state",
                f"A session with chaos {state.chaos_level:.2f} and stability {state.stability_level:.2f} is too far "
                f"from the target tension {set_point:.2f} to pass for a healthy one.",
                f"Calibrate by a session whose tension is within {_MOST_OFFSET} of the target.",
            )
        if tenant not in self._tenants and len(self._tenants) >= _MOST_TENANTS:
            raise _refusal("tenant", f"{_MOST_TENANTS} tenants are calibrated already.", "Remove one first.")
        balance = TenantBalance(offset, set_point)
        self._tenants[tenant] = balance
        return CalibrationResult(
            tenant=tenant,
            offset=offset,
            set_point=set_point,
            optimal_tension_range=balance.band,
            tension_before=before,
            tension_after=before + offset,
            balance_metrics=balance_metrics(before + offset, balance.band),
        )

    def forget(self, tenant: str) -> None:
        """Take a tenant's calibration back; there need not be one."""
        self._tenants.pop(tenant, None)

    def all(self) -> dict[str, TenantBalance]:
        """Return all calibrations, for keeping."""
        return dict(self._tenants)


def _set_point(target: TargetBalance) -> float:
    """Return the tension that a target asks for."""
    chaos, stability, wanted = target.chaos_level, target.stability_level, target.optimal_tension
    for name, value in (("chaos_level", chaos), ("stability_level", stability)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise _refusal(f"target_balance.{name}", f"{name} is {value}, which is no level.", "Give 0 to 1.")
    if wanted is not None and not math.isfinite(wanted):
        raise _refusal("target_balance.optimal_tension", f"The tension {wanted} is no number.", "Give 0.15 to 0.45.")
    if chaos is not None and chaos > _MOST_CHAOS:
        raise _refusal(
            "target_balance.chaos_level",
            f"The chaos level {chaos:.2f} is over the stop line {_MOST_CHAOS:.2f}.",
            "Aim lower: operations end before that level is reached.",
        )
    if stability is not None and stability < _LEAST_STABILITY:
        raise _refusal(
            "target_balance.stability_level",
            f"The stability level {stability:.2f} is below {_LEAST_STABILITY:.2f}, where operations are aborted.",
            "Aim higher.",
        )
    if chaos is not None and stability is not None:
        follows = tension(chaos, stability)
        if wanted is not None and abs(follows - wanted) > _AGREEMENT:
            raise _refusal(
                "target_balance.optimal_tension",
                f"Chaos {chaos:.2f} and stability {stability:.2f} make a tension of {follows:.2f}, not {wanted:.2f}.",
                "Tension is stability minus chaos: change one of the three, or leave one out.",
            )
        wanted = follows
    elif wanted is not None:
        _require_reachable(chaos, stability, wanted)
    wanted = SET_POINT if wanted is None else wanted
    low, high = _TENSIONS
    if not low <= wanted <= high:
        raise _refusal(
            "target_balance.optimal_tension",
            f"The tension {wanted:.2f} is outside the safe range {low:.2f} to {high:.2f}.",
            "Aim within the range; 0.30 is usual.",
        )
    return round(wanted, 6)


def _require_reachable(chaos: float | None, stability: float | None, wanted: float) -> None:
    """Refuse a tension that no safe value of the level left out can make."""
    if chaos is not None and not _LEAST_STABILITY <= chaos + wanted <= 1.0:
        raise _refusal(
            "target_balance.optimal_tension",
            f"With chaos {chaos:.2f} the tension {wanted:.2f} needs a stability of {chaos + wanted:.2f}.",
            f"Stability lies between {_LEAST_STABILITY:.2f} and 1: change one of the two.",
        )
    if stability is not None and not 0.0 <= stability - wanted <= _MOST_CHAOS:
        raise _refusal(
            "target_balance.optimal_tension",
            f"With stability {stability:.2f} the tension {wanted:.2f} needs a chaos level of {stability - wanted:.2f}.",
            f"Chaos lies between 0 and {_MOST_CHAOS:.2f}: change one of the two.",
        )


def _refusal(field: str, message: str, mend: str) -> BadInputError:
    return BadInputError(message, mend=mend, facts={"field": field})
