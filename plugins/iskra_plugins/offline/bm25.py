"""Ranks texts by the words they share with a query (BM25).

The formula is that of Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), section
3.4, with occurrences weighted by field before they are saturated (section 3.6). The inverse document frequency has one
added inside the logarithm, as in Lucene, so that it is never negative. It is our own because the index is small and the
libraries bring numpy, whose import alone takes longer than building this index.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

K1 = 1.2
"""How soon more occurrences of a word stop counting."""
B = 0.75
"""How much long texts are held against: 0 not at all, 1 in proportion to their length."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that shares words with the query.

    Attributes:
        document: Its position in what the index was built from.
        score: Higher is better; comparable within one query only.
        coverage: Share of the query's weight, by inverse document frequency, that the text contains: 0 to 1.
    """

    document: int
    score: float
    coverage: float


class BM25Index:
    """An immutable index.

    Args:
        documents: For each text its terms with their weights; an ordinary occurrence weighs 1, one in a title more.
    """

    def __init__(self, documents: Sequence[Mapping[str, float]]) -> None:
        self._count = len(documents)
        lengths = [sum(terms.values()) for terms in documents]
        mean = sum(lengths) / len(lengths) if lengths else 1.0
        postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, terms in enumerate(documents):
            norm = K1 * (1 - B + B * lengths[number] / (mean or 1.0))
            for term, weight in terms.items():
                postings[term].append((number, weight * (K1 + 1) / (weight + norm)))
        self._postings = dict(postings)

    def __len__(self) -> int:
        return self._count

    def rarity(self, term: str) -> float:
        """Return the inverse document frequency of a term; one that occurs nowhere counts as occurring once."""
        found = len(self._postings.get(term, ())) or 1
        return math.log(1 + (self._count - found + 0.5) / (found + 0.5))

    def search(self, query: Iterable[Sequence[str]], *, limit: int = 5) -> Sequence[Hit]:
        """Return the best texts for a query, best first; of equals the earlier one first.

        Args:
            query: Ideas to look for; an idea is a group of terms, of which the best one found in a text counts.
            limit: Longest result.
        """
        scores: defaultdict[int, float] = defaultdict(float)
        covered: defaultdict[int, float] = defaultdict(float)
        total = 0.0
        for group in query:
            if not group:
                continue
            group_weight = min(self.rarity(term) for term in group)
            total += group_weight
            best: defaultdict[int, float] = defaultdict(float)
            for term in group:
                rarity = self.rarity(term)
                for number, weight in self._postings.get(term, ()):
                    best[number] = max(best[number], rarity * weight)
            for number, score in best.items():
                scores[number] += score
                covered[number] += group_weight
        if not total:
            return []
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(number, score, covered[number] / total) for number, score in ranked[:limit]]
