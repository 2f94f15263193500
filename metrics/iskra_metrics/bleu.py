"""How much of a text was said before, by BLEU."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

MOST_WORDS = 4
_UNSEEN = 0.1  # counted for an order without a match: method 1 of Chen and Cherry (2014)


def bleu(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return BLEU-4 of ``hypothesis`` against ``references``, in [0, 1]: 1 for a copy, 0 where no word matches.

    Papineni et al., "BLEU" (ACL 2002). A text of fewer than four words is judged by the runs that it has. Against the
    other turns of a conversation this is Self-BLEU (Zhu et al., "Texygen", 2018).
    """
    if not hypothesis or not any(references):
        return 0.0
    orders = min(MOST_WORDS, len(hypothesis))
    logarithms = 0.0
    for n in range(1, orders + 1):
        counts = _runs(tuple(hypothesis), n)
        most: dict[tuple[str, ...], int] = {}
        for reference in references:
            known = _runs(tuple(reference), n)
            for run in counts.keys() & known.keys():
                most[run] = max(known[run], most.get(run, 0))
        matched = sum(min(count, most.get(run, 0)) for run, count in counts.items())
        if n == 1 and not matched:
            return 0.0
        logarithms += math.log((matched or _UNSEEN) / (len(hypothesis) - n + 1))
    length = len(hypothesis)
    closest = min((abs(len(reference) - length), len(reference)) for reference in references if reference)[1]
    brevity = min(0.0, 1.0 - closest / length)
    return min(1.0, math.exp(logarithms / orders + brevity))


@lru_cache(maxsize=512)
def _runs(words: tuple[str, ...], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))
