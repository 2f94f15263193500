"""Where voices pull in opposite directions, how strongly, and who resolves it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from iskra_metrics.claims import contradictions
from iskra_metrics.text import sentences
from iskra_voices.choice import Signals

CONFLICT_FROM = 0.5
"""Tension above which two voices are in conflict."""

ESCALATIONS = ("crisis", "pain > 0.80", "trust < 0.30", "chaos > 0.70")
"""What overrides the usual choice of a voice, as clients are told it; ``choice.choose`` acts on it."""
STRATEGIES = ("iskra_synthesis", "iskriv_audit")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two voices that do not go together now.

    Attributes:
        tension: In [0, 1].
        resolver: Who resolves it.
        kind: By what each voice is for, or by what they said.
    """

    voices: tuple[str, str]
    tension: float
    resolver: str
    kind: Literal["function", "statement"] = "function"


def tensions(voices: Iterable[str], signals: Signals) -> list[Conflict]:
    """Return the known tensions between voices, whether or not they are strong enough for a conflict."""
    present = set(voices)
    known = [
        Conflict(("kain", "pino"), 1 - 2 * abs(signals.pain - 0.5), "iskra"),
        Conflict(("sam", "hundun"), min(signals.clarity, signals.chaos), "iskra"),
        Conflict(("kain", "anhantha"), signals.pain * (1 - signals.trust), "iskriv"),
    ]
    return [conflict for conflict in known if set(conflict.voices) <= present]


def conflicts(voices: Iterable[str], signals: Signals) -> list[Conflict]:
    """Return the tensions that are conflicts."""
    return [tension for tension in tensions(voices, signals) if tension.tension > CONFLICT_FROM]


def said_against(contributions: Mapping[str, str]) -> list[Conflict]:
    """Return the pairs of voices whose words contradict each other, as far as words and numbers show it."""
    spoken = [(voice, sentence) for voice, text in contributions.items() for sentence in sentences(text)]
    found = contradictions([sentence for _, sentence in spoken])
    pairs = {frozenset((spoken[pair.first][0], spoken[pair.second][0])) for pair in found}
    return [
        Conflict((a, b), 1.0, "iskra", "statement")
        for a, b in combinations(contributions, 2)
        if frozenset((a, b)) in pairs
    ]
