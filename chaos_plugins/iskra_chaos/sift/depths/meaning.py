"""How many different things several answers say."""

import math
from collections.abc import Sequence

from iskra_chaos.sift.likeness import numbers_in, overlap, stem_set
from iskra_metrics.claims import contradictions
from iskra_metrics.text import char_ngrams, cosine
from iskra_metrics.vendi import vendi_score

SAME_MEANING = 0.5
"""Share of the stems of the shorter answer that two answers of one meaning have in common."""

_READ = 1_200  # characters of an answer


def same_meaning(one: str, other: str) -> bool:
    """Tell whether two answers mean the same, as far as words show it.

    They need the same numbers, no contradiction, and half of their stems in common. It stands in for the entailment
    model of Kuhn, Gal and Farquhar (2023), and sees neither synonyms nor other languages.
    """
    one, other = one[:_READ], other[:_READ]
    if " ".join(one.lower().split()) == " ".join(other.lower().split()):
        return True
    if numbers_in(one) != numbers_in(other) or contradictions([one, other]):
        return False
    return overlap(stem_set(one), stem_set(other)) >= SAME_MEANING


def clusters(answers: Sequence[str]) -> list[list[int]]:
    """Group answers by meaning: each joins the first group whose first member means the same."""
    groups: list[list[int]] = []
    for position, answer in enumerate(answers):
        for group in groups:
            if same_meaning(answers[group[0]], answer):
                group.append(position)
                break
        else:
            groups.append([position])
    return groups


def semantic_entropy(groups: Sequence[Sequence[int]]) -> float:
    """Return the entropy over meanings, over its largest value; 0 when all agree, 1 when all differ.

    It is the logarithm of the Vendi score of the kernel that is 1 within a group and 0 between groups, so that this and
    :func:`kernel_entropy` are one measure with two kernels (Kuhn et al. 2023, 2302.09664; Nikitin et al. 2024,
    2405.20003).
    """
    owner = {position: number for number, group in enumerate(groups) for position in group}
    positions = sorted(owner)
    return _scaled([[1.0 if owner[a] == owner[b] else 0.0 for b in positions] for a in positions])


def kernel_entropy(answers: Sequence[str]) -> float:
    """Return the same with cosines of character 4-grams for a kernel: how different the answers look."""
    grams = [char_ngrams(answer[:_READ]) for answer in answers]
    kernel = [[1.0 if a is b else cosine(a, b) for b in grams] for a in grams]
    return _scaled(kernel)


def _scaled(kernel: Sequence[Sequence[float]]) -> float:
    if len(kernel) < 2:
        return 0.0
    return min(1.0, max(0.0, math.log(vendi_score(kernel)) / math.log(len(kernel))))
