"""What the classifier looks at in a sentence: words and their beginnings, letters in a row, related words together."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

from iskra_chaos.ethics.concepts import Concepts
from iskra_chaos.ethics.terms import clauses

BITS = 15
"""Features are hashed into so many bits (Weinberger et al. 2009, arXiv:0902.2206)."""
_MASK = (1 << BITS) - 1
_MOST_WORDS = 60
_LONGEST_WORD = 20
_LETTERS = (3, 5)
_STEMS = (4, 6)
_WINDOW = 5  # words between which two groups count as said of each other
_REACH_OF_NOT = 3

# How much a feature counts beside others; found by leaving patterns of the training sentences out.
_WORD_VALUE, _PAIR_VALUE, _STEM_VALUE, _LETTERS_VALUE = 1.5, 1.5, 1.5, 0.5
_GROUP_VALUE, _GROUP_PAIR_VALUE, _OPENING_VALUE = 2.5, 2.5, 2.0


def features_of(text: str, concepts: Concepts) -> dict[int, float]:
    """Return the hashed features of a text with their values; the squares of the values sum to 1.

    Of a long text the first sixty words are looked at.
    """
    words, numbers = clauses(text)
    words, numbers = [word[:_LONGEST_WORD] for word in words[:_MOST_WORDS]], numbers[:_MOST_WORDS]
    values: dict[int, float] = {}
    for name, value in set(_named(words, numbers, concepts)):
        feature = crc32(name.encode()) & _MASK
        values[feature] = max(value, values.get(feature, 0.0))
    length = math.sqrt(sum([value * value for value in values.values()])) or 1.0
    return {feature: value / length for feature, value in values.items()}


def _named(words: Sequence[str], numbers: Sequence[int], concepts: Concepts) -> Iterator[tuple[str, float]]:
    yield "always", 1.0
    for word in set(words):
        yield f"w {word}", _WORD_VALUE
        for length in _STEMS:
            if len(word) >= length:
                yield f"p {word[:length]}", _STEM_VALUE
        if len(word) > 3:
            padded = f" {word} "
            for length in _LETTERS:
                for at in range(len(padded) - length + 1):
                    yield padded[at : at + length], _LETTERS_VALUE
    for first, second in pairwise(words):
        yield f"b {first[:6]} {second[:6]}", _PAIR_VALUE
    groups = [concepts.of(word) for word in words]
    for first_word, first_groups in list(zip(words, groups, strict=True))[:2]:
        yield f"o {first_word}", _OPENING_VALUE
        for group in first_groups:
            yield f"og {group}", _OPENING_VALUE
    yield from _of_groups(groups, numbers)


def _of_groups(groups: Sequence[tuple[str, ...]], numbers: Sequence[int]) -> Iterator[tuple[str, float]]:
    for place, here in enumerate(groups):
        before = range(max(0, place - _REACH_OF_NOT), place)
        is_negated = any("not" in groups[other] and numbers[other] == numbers[place] for other in before)
        for group in here:
            yield f"g {group}", _GROUP_VALUE
            if is_negated and group != "not":
                yield f"n {group}", _GROUP_VALUE
        for other in range(place + 1, min(len(groups), place + 1 + _WINDOW)):
            for first in here:
                for second in groups[other]:
                    if first != second:
                        yield f"gp {first} {second}", _GROUP_PAIR_VALUE
