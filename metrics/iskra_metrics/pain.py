"""How much pain the user shows."""

from collections.abc import Sequence

from iskra_metrics.distress import in_crisis, pain_in
from iskra_metrics.reading import Reading, reading
from iskra_metrics.utterance import Utterance, spoken

WINDOW = 8
CRISIS_TURNS = 4
"""Turns of the user in which words of crisis hold the value at 1."""

_SHARE = 0.35


def pain(conversation: Sequence[Utterance]) -> Reading:
    """Return the exponential average (.35) of the pain in the user's last eight turns; 1 after words of crisis.

    Parts: ``last`` (of the latest turn), ``average`` (without the crisis) and ``crisis`` (0 or 1).
    """
    turns = spoken(conversation, "user")[-WINDOW:]
    average = last = 0.0
    for turn in turns:
        last = pain_in(turn.text)
        average += _SHARE * (last - average)
    crisis = any(in_crisis(turn.text) for turn in turns[-CRISIS_TURNS:])
    parts = {"last": last, "average": average, "crisis": float(crisis)}
    return reading(1.0 if crisis else average, len(turns), parts)
