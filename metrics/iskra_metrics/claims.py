"""What is claimed in a text: how firmly, against what else, and how to say the opposite."""

from iskra_metrics.negation import negate
from iskra_metrics.opposition import Contradiction, contradictions
from iskra_metrics.polarity import HEDGES
from iskra_metrics.text import excerpt, normal, sentences

__all__ = ["Contradiction", "contradictions", "hedge_rate", "hedges", "negate"]


def hedges(text: str) -> list[str]:
    """Return the words and phrases that weaken a claim, in order: "perhaps", "it seems", «вероятно», «как бы»."""
    return [match.group() for match in HEDGES.finditer(normal(excerpt(text)).replace("ё", "е"))]


def hedge_rate(text: str) -> float:
    """Return the share of sentences with a hedge, in [0, 1]; 0 for a text without sentences."""
    found = sentences(text)
    return sum(bool(hedges(sentence)) for sentence in found) / len(found) if found else 0.0
