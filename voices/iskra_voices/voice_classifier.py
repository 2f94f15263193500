"""Tells by an answer alone which voice gave it: the proof that voices are more than names.

Multinomial naive Bayes over character n-grams with Laplace smoothing, as in Manning, Raghavan and Schütze,
*Introduction to Information Retrieval* (2008), chapter 13. Names of voices are taken out of the answers first.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iskra_metrics.text import normal
from iskra_voices.catalogue import VoiceCatalogue

N = 3
"""Characters of an n-gram."""
GOAL_ACCURACY = 0.80
GOAL_PASSING = 0.90


class VoiceClassifier:
    """Learns voices from answers.

    Args:
        masked: Names that must not give a voice away.
    """

    def __init__(self, masked: Iterable[str] = ()) -> None:
        names = sorted(map(re.escape, masked), key=len, reverse=True)
        self._names = re.compile(rf"\b(?:{'|'.join(names)})\w?\b") if names else None
        self._counts: dict[str, Counter[str]] = {}
        self._documents: Counter[str] = Counter()
        self._vocabulary: set[str] = set()

    def learn(self, voice: str, answer: str) -> None:
        """Take in an answer of a voice."""
        grams = self._grams(answer)
        self._counts.setdefault(voice, Counter()).update(grams)
        self._documents[voice] += 1
        self._vocabulary.update(grams)

    def classify(self, answer: str) -> str:
        """Return the likeliest voice; of equally likely ones the first by name.

        Raises:
            ValueError: Nothing was learned.
        """
        grams = self._grams(answer)
        return max(sorted(self._counts), key=lambda voice: self._likelihood(voice, grams))

    def _likelihood(self, voice: str, grams: Counter[str]) -> float:
        counts = self._counts[voice]
        total = counts.total() + len(self._vocabulary) + 1
        prior = math.log(self._documents[voice] / self._documents.total())
        return prior + sum(times * math.log((counts[gram] + 1) / total) for gram, times in grams.items())

    def _grams(self, answer: str) -> Counter[str]:
        text = " ".join(normal(answer).split())
        if self._names is not None:
            text = self._names.sub(" ", text)
        return Counter(text[start : start + N] for start in range(max(1, len(text) - N + 1)))


@dataclass(frozen=True, slots=True)
class Proof:
    """How well voices can be told apart.

    Attributes:
        accuracy: Share of the held-out answers whose voice was named, in [0, 1].
        by_voice: The same per voice.
        samples: Held-out answers.
    """

    accuracy: float
    by_voice: Mapping[str, float]
    samples: int


def prove(answers: Mapping[str, Sequence[str]]) -> Proof:
    """Learn from every other answer of each voice and name the voices of the rest."""
    masked = {
        normal(name)
        for policy in VoiceCatalogue(("maki", "sibyl")).policies
        for name in (policy.name, policy.russian, *policy.aliases)
    }
    classifier = VoiceClassifier(masked)
    for voice, given in answers.items():
        for answer in given[::2]:
            classifier.learn(voice, answer)
    named = {
        voice: [classifier.classify(answer) == voice for answer in given[1::2]] for voice, given in answers.items()
    }
    samples = sum(map(len, named.values()))
    right = sum(map(sum, named.values()))
    by_voice = {voice: sum(hits) / len(hits) if hits else 0.0 for voice, hits in named.items()}
    return Proof(right / samples if samples else 0.0, by_voice, samples)
