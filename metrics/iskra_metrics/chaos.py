"""How turbulent a conversation is."""

from collections.abc import Sequence

from iskra_metrics.contradiction import contradiction as contradiction_of
from iskra_metrics.drift import drift as drift_of
from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.staleness import staleness as staleness_of
from iskra_metrics.utterance import Utterance, spoken


def chaos(
    conversation: Sequence[Utterance],
    *,
    staleness: Reading | None = None,
    drift: Reading | None = None,
    contradiction: Reading | None = None,
    volatility: float = 0.0,
) -> Reading:
    """Return .35 novelty + .25 drift + .20 contradiction + .20 volatility; about .40 in a healthy conversation.

    Args:
        conversation: The turns.
        staleness: Its reading, where it is known already; novelty is what is left of one.
        drift: Its reading, where it is known already.
        contradiction: Its reading, where it is known already.
        volatility: How much the metrics moved and calls failed lately, in [0, 1].
    """
    stale = staleness or staleness_of(conversation)
    parts = {
        "novelty": 1.0 - stale.value,
        "drift": (drift or drift_of(conversation)).value,
        "contradiction": (contradiction or contradiction_of(conversation)).value,
        "volatility": clamp(volatility),
    }
    value = 0.35 * parts["novelty"] + 0.25 * parts["drift"] + 0.20 * parts["contradiction"] + 0.20 * parts["volatility"]
    return reading(value, len(spoken(conversation)), parts)
