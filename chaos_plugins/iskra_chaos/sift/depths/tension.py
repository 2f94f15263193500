"""What each operation would do to the tension between stability and chaos, as far as can be said beforehand."""

from collections.abc import Sequence
from typing import get_args

from iskra_chaos.sift.analysis import Operation, TensionChange
from iskra_metrics.chaos import chaos
from iskra_metrics.reading import Reading, reading
from iskra_metrics.stability import stability
from iskra_metrics.utterance import Utterance

# Shares by which an operation of intensity 1 is expected to move each metric: below zero towards 0, above towards 1.
# Nobody has measured them; the balance controller estimates the real gain from what interventions do.
EXPECTED: dict[Operation, dict[str, float]] = {
    "micro_disturbance": {"staleness": -0.25, "drift": 0.02, "volatility": 0.05},
    "pattern_break": {"staleness": -0.60, "drift": 0.05, "volatility": 0.15},
    "paradox_generation": {"staleness": -0.20, "contradiction": 0.25, "volatility": 0.10},
    "fire_reset": {"staleness": -0.70, "drift": -0.60, "contradiction": -0.40, "volatility": 0.10},
    "quantum_flux": {"staleness": -0.40, "drift": 0.10, "volatility": 0.20},
    "emergent_stimulation": {"staleness": -0.40, "drift": 0.15, "volatility": 0.10},
}


def tension_changes(
    conversation: Sequence[Utterance],
    *,
    staleness: float,
    drift: float,
    contradiction: float,
    grounding: float,
    intensity: float,
) -> list[TensionChange]:
    """Return the expected change of tension for each of the six operations.

    The metrics are moved as :data:`EXPECTED` says, in proportion to the intensity, and chaos and stability are computed
    anew from them. It is a prior and no measurement.
    """
    now = {"staleness": staleness, "drift": drift, "contradiction": contradiction, "volatility": 0.0}
    before = _tension(conversation, now, grounding)
    changes = []
    for operation in get_args(Operation):
        after = _tension(conversation, _moved(now, EXPECTED[operation], intensity), grounding)
        changes.append(
            TensionChange(
                operation=operation,
                intensity=intensity,
                before=round(before, 4),
                after=round(after, 4),
                change=round(after - before, 4),
            )
        )
    return changes


def _moved(now: dict[str, float], shares: dict[str, float], intensity: float) -> dict[str, float]:
    moved = dict(now)
    for name, share in shares.items():
        room = now[name] if share < 0 else 1.0 - now[name]
        moved[name] = now[name] + share * intensity * room
    return moved


def _tension(conversation: Sequence[Utterance], metrics: dict[str, float], grounding: float) -> float:
    readings: dict[str, Reading] = {name: reading(value, len(conversation)) for name, value in metrics.items()}
    loose = chaos(
        conversation,
        staleness=readings["staleness"],
        drift=readings["drift"],
        contradiction=readings["contradiction"],
        volatility=metrics["volatility"],
    )
    firm = stability(
        conversation, drift=readings["drift"], contradiction=readings["contradiction"], grounding=grounding
    )
    return firm.value - loose.value
