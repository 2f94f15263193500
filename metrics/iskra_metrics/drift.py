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

NEAR = 0.92
FAR = 0.98
"""Distances of half of the conversations that keep to their subject, and of most that left it, on Russian and English
prose (published raw values lie from .87 to .96 for turns of twice the length, see :data:`USUAL_STEMS`)."""

USUAL_STEMS = 26.0
"""Content words of a turn that :data:`NEAR` and :data:`FAR` are about. The fewer words, the less two turns of one
subject have in common: their cosine is about proportional to the number, and is set right by it."""

_FULL_TRUST = 16  # distances of a session after which its own distribution counts most
_MOST_WEIGHT = 0.8
_UPPER = 0.75  # ranks below are what every steady session has
_LEAST_STEMS = 3
_MOST_CORRECTION, _LEAST_CORRECTION = 4.0, 0.5


def drift(conversation: Sequence[Utterance], goal: str = "", baseline: Sequence[float] = ()) -> Reading:
    """Return how far the last four turns are from the intent: 0 at home, 1 elsewhere.

    One less the cosine of TF-IDF vectors of stems, between the intent (the goal and the first three turns of the user)
    and the mean of the last four turns that are not among these; in the family of Hearst, "TextTiling" (1997). Because
    such distances crowd near one, they are mapped twice: on a line from :data:`NEAR` to :data:`FAR`, and by the rank in
    the session's own distances, of which the upper quarter counts, and the more the more of them there are.

    Parts: ``raw`` (0 to 1), ``distance`` (``raw``, set right for the length of turns), ``prior`` (the line) and
    ``rank`` (percentile in the session's baseline; .5 without one).

    Args:
        conversation: The turns; tool results are passed over.
        goal: What the session is for, where it was said.
        baseline: Earlier ``distance`` parts of this session, taken while it kept to its subject.
    """
    turns = spoken(conversation)
    first = [i for i, turn in enumerate(turns) if turn.role == "user"][:INTENT_TURNS]
    later = [turn.text for i, turn in enumerate(turns) if i not in first]
    intent = [text for text in (goal, *(turns[i].text for i in first)) if stems(text)]
    recent = [text for text in later[-RECENT_TURNS:] if len(stems(text)) >= _LEAST_STEMS]
    if not intent or not recent:
        return reading(0.0, len(turns), {"raw": 0.0, "distance": 0.0, "prior": 0.0, "rank": 0.5})
    raw = raw_distance(intent, recent)
    usual = USUAL_STEMS * (len(intent) + len(recent)) / sum(len(stems(text)) for text in (*intent, *recent))
    distance = clamp(1.0 - (1.0 - raw) * max(_LEAST_CORRECTION, min(_MOST_CORRECTION, usual)))
    prior = clamp((distance - NEAR) / (FAR - NEAR))
    rank = _rank(distance, baseline)
    weight = _MOST_WEIGHT * min(1.0, len(baseline) / _FULL_TRUST)
    above = clamp((rank - _UPPER) / (1.0 - _UPPER))
    value = (1.0 - weight) * prior + weight * math.sqrt(prior * above)
    return reading(value, len(turns), {"raw": raw, "distance": distance, "prior": prior, "rank": rank})


def raw_distance(intent: Sequence[str], recent: Sequence[str]) -> float:
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
