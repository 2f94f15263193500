"""What the local classifier looks at in a message: words, pairs of words, beginnings, and letters in a row."""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

BITS = 15
"""Features are hashed into so many bits (Weinberger et al. 2009, arXiv:0902.2206)."""

_HEAD, _TAIL = 600, 200  # characters of a long message that are looked at
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|«[^»\n]*»|“[^”\n]*”", re.DOTALL)
_FILE = re.compile(r"(?<![\w/])[\w./-]*\w\.[a-z]{1,5}\b(?![\w(])")
_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[?!:]")
_LONGEST_WORD = 24
_LETTERS = (3, 4, 5)
_STEMS = (4, 5, 6)
_MASK = (1 << BITS) - 1

# How much a feature counts beside letters in a row; found by cross-validation on the training messages.
_WORD_VALUE = 3.0
_OPENING_VALUE = 3.0
_PAIR_VALUE = 2.0
_STEM_VALUE = 2.0


def features_of(text: str) -> dict[int, float]:
    """Return the hashed features of a message with their values; the squares of the values sum to 1.

    Quoted text, file names and numbers count as such and not by their content. Time is bounded: of a long message
    only the beginning and the end are looked at.
    """
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]} {text[-_TAIL:]}"
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).lower().replace("ё", "е")
    text = _CODE.sub(" xcode ", text)
    text = _FILE.sub(" xfile ", text)
    text = _NUMBER.sub(" xnumber ", text)
    words = [word[:_LONGEST_WORD] for word in _TOKEN.findall(text)]
    values: dict[int, float] = {}
    for name, value in _named_features(words):
        feature = crc32(name.encode()) & _MASK
        values[feature] = max(value, values.get(feature, 0.0))
    length = math.sqrt(sum([value * value for value in values.values()])) or 1.0
    return {feature: value / length for feature, value in values.items()}


def _named_features(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    different = set(words)
    for word in different:
        yield f"w {word}", _WORD_VALUE
        for length in _STEMS:
            if len(word) >= length:
                yield f"p {word[:length]}", _STEM_VALUE
    for first, second in set(pairwise(words)):
        yield f"b {first} {second}", _PAIR_VALUE
    for count in (1, 2, 3):
        if len(words) >= count:
            yield f"o {' '.join(words[:count])}", _OPENING_VALUE
    yield f"n {min(len(words), 12) // 3}", 1.0
    for word in different:
        if len(word) > 2:
            padded = f" {word} "
            for length in _LETTERS:
                for at in range(len(padded) - length + 1):
                    yield padded[at : at + length], 1.0
