"""How steady a conversation, and the service under it, are."""

import math
from collections.abc import Sequence

from iskra_metrics.contradiction import contradiction as contradiction_of
from iskra_metrics.drift import drift as drift_of
from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.trust import trust
from iskra_metrics.utterance import Utterance, spoken

PAGING_BURN_RATE = 14.4
"""Burn rate that spends 2 % of a month's error budget in one hour (*The Site Reliability Workbook*, chapter 5)."""


def stability(
    conversation: Sequence[Utterance],
    *,
    drift: Reading | None = None,
    contradiction: Reading | None = None,
    grounding: float | None = None,
    health: float = 1.0,
) -> Reading:
    """Return .35 (1 − drift) + .25 (1 − contradiction) + .20 grounding + .20 service health.

    Args:
        conversation: The turns.
        drift: Its reading, where it is known already.
        contradiction: Its reading, where it is known already.
        grounding: The share of grounded claims, the part of trust of that name, where it is known already.
        health: Of the service, in [0, 1]; see :func:`service_health`.
    """
    parts = {
        "on_course": 1.0 - (drift or drift_of(conversation)).value,
        "consistent": 1.0 - (contradiction or contradiction_of(conversation)).value,
        "grounding": clamp(trust(conversation).parts["grounded"] if grounding is None else grounding),
        "health": clamp(health),
    }
    value = 0.35 * parts["on_course"] + 0.25 * parts["consistent"] + 0.20 * parts["grounding"] + 0.20 * parts["health"]
    return reading(value, len(spoken(conversation)), parts)


def service_health(burn_rate: float) -> float:
    """Return 1 while the error budget lasts (a burn rate of 1 or less), 0 from the rate that pages, on a log scale."""
    if burn_rate <= 1.0:
        return 1.0
    return clamp(1.0 - math.log(burn_rate) / math.log(PAGING_BURN_RATE))
