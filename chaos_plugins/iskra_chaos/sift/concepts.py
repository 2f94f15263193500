"""The salient concepts of some statements, and which of them lie far from each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from iskra_chaos.sift.likeness import farthest_first, jaccard
from iskra_metrics.claims import hedge_rate
from iskra_metrics.text import stems, words

MOST_CONCEPTS = 24
_SHORTEST = 4  # letters of a word that may name a concept


@dataclass(frozen=True, slots=True)
class ConceptPair:
    """Two concepts and how new their meeting is.

    Attributes:
        first: A word of the text.
        second: Another one.
        novelty: 1 where the two never share a statement; less the more of their company they share.
    """

    first: str
    second: str
    novelty: float


def salient_concepts(statements: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return up to 24 words, the most frequent first, each with the stems it shares a statement with."""
    counts: Counter[str] = Counter()
    surfaces: dict[str, Counter[str]] = {}
    company: dict[str, set[str]] = {}
    for statement in statements:
        named = _named(statement)
        for name, word in named.items():
            counts[name] += 1
            surfaces.setdefault(name, Counter())[word] += 1
            company.setdefault(name, set()).update(named)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    labels = ((name, min(surfaces[name], key=lambda word: (-surfaces[name][word], word))) for name in ranked)
    telling = ((name, label) for name, label in labels if not hedge_rate(label))
    return {label: frozenset(company[name]) for name, label in islice(telling, MOST_CONCEPTS)}


def _named(statement: str) -> dict[str, str]:
    """Return the words of a statement that may name a concept, by their stems."""
    named: dict[str, str] = {}
    for word in words(statement):
        if len(word) >= _SHORTEST and word.isalpha() and (stem := stems(word)):
            named.setdefault(stem[0], word)
    return named


def distant_pairs(statements: Sequence[str], wanted: int) -> list[ConceptPair]:
    """Return up to ``wanted`` pairs of concepts that lie far from each other, the farthest first.

    Concepts are chosen farthest-first, so that the pairs do not all share one of them; concepts that stand in the same
    statements only are no pair.
    """
    concepts = salient_concepts(statements)
    names = list(concepts)
    company = list(concepts.values())
    chosen = farthest_first(company, wanted + 1)
    pairs = [
        ConceptPair(names[a], names[b], round(1.0 - jaccard(company[a], company[b]), 4))
        for position, a in enumerate(chosen)
        for b in chosen[position + 1 :]
    ]
    return sorted(
        (pair for pair in pairs if pair.novelty > 0), key=lambda pair: (-pair.novelty, pair.first, pair.second)
    )[:wanted]
