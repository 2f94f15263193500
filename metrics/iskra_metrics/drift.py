"""How far a conversation has gone from what it was for."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.text import cosine, stems
from iskra_metrics.utterance import Utterance, spoken

INTENT_TURNS = 3
RECENT_TURNS = 4

NEAR = 0.87
FAR = 0.96
"""Raw distances of conversations that keep to their subject, and of such that left it, on public prose."""

_FULL_TRUST = 16  # distances of a session after which its own distribution counts for half
_LEAST_STEMS = 3


def drift(conversation: Sequence[Utterance], goal: str = "", baseline: Sequence[float] = ()) -> Reading:
    """Return how far the last four turns are from the intent: 0 at home, 1 elsewhere.

    The raw distance is 1 − cosine of TF-IDF vectors of stems, between the intent (the goal and the first three turns of
    the user) and the mean of the last four turns that are not among these. In the family of Hearst, "TextTiling"
    (1997). Because raw distances of prose crowd near one, they are mapped twice: on a line from :data:`NEAR` to
    :data:`FAR`, and by their rank in the session's own distances, which weighs more the more of them there are.

    Parts: ``raw`` (0 to 1), ``prior`` (the line), ``rank`` (percentile in the session's baseline; .5 without one).

    Args:
        conversation: The turns; tool results are passed over.
        goal: What the session is for, where it was said.
        baseline: Earlier raw distances of this session, taken while it kept to its subject.
    """
    turns = spoken(conversation)
    first = [turn for turn in turns if turn.role == "user"][:INTENT_TURNS]
    beginning = {id(turn) for turn in first}
    recent = [turn.text for turn in turns if id(turn) not in beginning][-RECENT_TURNS:]
    intent = [text for text in (goal, *(turn.text for turn in first)) if stems(text)]
    recent = [text for text in recent if len(stems(text)) >= _LEAST_STEMS]
    if not intent or not recent:
        return reading(0.0, len(turns), {"raw": 0.0, "prior": 0.0, "rank": 0.5})
    raw = distance(intent, recent)
    prior = clamp((raw - NEAR) / (FAR - NEAR))
    rank = _rank(raw, baseline)
    weight = 0.5 * min(1.0, len(baseline) / _FULL_TRUST)
    above = clamp(2.0 * rank - 1.0)
    value = (1.0 - weight) * prior + weight * math.sqrt(prior * above)
    return reading(value, len(turns), {"raw": raw, "prior": prior, "rank": rank})


def distance(intent: Sequence[str], recent: Sequence[str]) -> float:
    """Return 1 − cosine of the mean stem TF-IDF vectors of two groups of texts, in [0, 1]."""
    groups = [[Counter(stems(text)) for text in group] for group in (intent, recent)]
    documents = [counts for group in groups for counts in group]
    frequency = Counter(word for counts in documents for word in counts)
    weights = {word: math.log((1 + len(documents)) / (1 + count)) + 1.0 for word, count in frequency.items()}
    one, other = (_mean(group, weights) for group in groups)
    return clamp(1.0 - cosine(one, other))


def _mean(group: Iterable[Mapping[str, int]], weights: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for counts in group:
        vector = {word: (1.0 + math.log(count)) * weights[word] for word, count in counts.items()}
        length = math.hypot(*vector.values())
        for word, value in vector.items():
            total[word] = total.get(word, 0.0) + value / length
    return total


def _rank(value: float, baseline: Sequence[float]) -> float:
    """Return the mid-rank of ``value`` among ``baseline`` in [0, 1]."""
    ordered = sorted(baseline)
    if not ordered:
        return 0.5
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / (2 * len(ordered))
