"""Words of pain and of crisis, in Russian and English.

The scoring follows the shape of VADER (Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment
Analysis of Social Media Text", 2014): a weighted word, moved by intensifiers before it, silenced by a negation close
before it, raised by exclamation marks, and squashed into [0, 1]. The word lists are our own.
"""

import math
import re
from collections import defaultdict
from functools import lru_cache

from iskra_metrics.crisis_words import CRISIS_BEGINNINGS, crisis, harmless
from iskra_metrics.distress_words import INTENSIFIERS, NEGATIONS, PAIN, SELF, WITHOUT_PAIN
from iskra_metrics.text import excerpt, normal, sentences, tokens

NEGATION_WINDOW = 3
"""Words before a word of pain in which a negation silences it."""

_OTHERS = 0.6  # weight of a sentence that does not speak of the speaker
_SQUASH = 8.0  # one word of weight 2 gives 2 / sqrt(2² + 8) = .58
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

_KEY = 4  # letters by which words with any ending are found; none of them is shorter
_PREFIXES: dict[str, list[tuple[str, float]]] = defaultdict(list)
for _listed, _points in PAIN.items():
    if _listed.endswith("*"):
        _PREFIXES[_listed[:_KEY]].append((_listed[:-1], _points))


def in_crisis(text: str) -> bool:
    """Tell whether somebody speaks of ending or harming themselves, or of having nothing to live for.

    Technical and figurative uses ("kill the process", «убить процесс», "this deadline is killing me") are none. A true
    answer does not say how grave it is: it asks for care, and for no chaos.
    """
    return _in_crisis(excerpt(text))


@lru_cache(maxsize=512)
def _in_crisis(text: str) -> bool:
    if CRISIS_BEGINNINGS.isdisjoint([word[:4] for word in tokens(text)]):
        return False
    plain = harmless().sub(" ", " ".join(_plain(text).split()))
    return crisis().search(plain) is not None


def pain_in(text: str) -> float:
    """Return how much pain the words of a text show, in [0, 1]; 1 in a crisis."""
    return 1.0 if in_crisis(text) else _pain(excerpt(text))


@lru_cache(maxsize=512)
def _pain(text: str) -> float:
    total = 0.0
    for sentence in sentences(text):
        plain = _plain(sentence)
        if not any(map(_word_weight, _WORD.findall(plain))):
            continue
        found = _WORD.findall(WITHOUT_PAIN.sub(" ", plain))
        score = sum(_weight(found, position) for position in range(len(found)))
        if score:
            total += score * (1.0 if SELF.intersection(found) else _OTHERS) * (1.0 + 0.1 * min(3, plain.count("!")))
    if not total:
        return 0.0
    return total / math.sqrt(total * total + _SQUASH)


def _weight(found: list[str], position: int) -> float:
    weight = _word_weight(found[position])
    if not weight:
        return 0.0
    before = found[max(0, position - NEGATION_WINDOW) : position]
    if any(word in NEGATIONS or word.endswith("n't") for word in before):
        return 0.0
    for word in before:
        weight *= INTENSIFIERS.get(word, 1.0)
    return weight


def _word_weight(word: str) -> float:
    if word in PAIN:
        return PAIN[word]
    return next((weight for prefix, weight in _PREFIXES.get(word[:_KEY], ()) if word.startswith(prefix)), 0.0)


def _plain(text: str) -> str:
    return normal(text).replace("ё", "е").replace("’", "'")
