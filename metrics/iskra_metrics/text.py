"""What every metric reads a text through: words, stems, sentences, character n-grams.

Results are cached per text. A text longer than :data:`LONGEST` characters is read by its beginning and its end only, so
that no message can make a metric slow or a cache large.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from iskra_metrics.stop_words import STOP_WORDS

Language = Literal["ru", "en"]

LONGEST = 8_000
"""Characters of a text that are read."""

STEM_LENGTH = 5

_CACHED_TEXTS = 1024

# Zero-width and other format characters, and soft hyphens.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
# The marks that Russian dictionaries put on stressed vowels.
_STRESS = re.compile("[\u0300\u0301]")

_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'»”)\]]*\s+|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(«\"])(?:\w|т\.\s?[екдпо]|и\s?др|и\s?пр|[Тт]абл|[Рр]ис|[Сс]тр|[Гг]л|[Сс]м|[Ии]м|тыс|млн|млрд|руб|"
    r"[Ee]\.?g|[Ii]\.?e|etc|vs|[Dd]r|[Mm]rs?|[Ms]s|[Ff]ig|[Nn]o|[Pp]rof|[Cc]f)\.$"
)
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+")


def excerpt(text: str, limit: int = LONGEST) -> str:
    """Return ``text``, or its first and last ``limit / 2`` characters where it is longer."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} {text[-half:]}"


def normal(text: str) -> str:
    """Return ``text`` in NFC and lower case, without characters that cannot be seen."""
    return _normal(text) if len(text) <= LONGEST else _normal.__wrapped__(text)


@lru_cache(maxsize=_CACHED_TEXTS)
def _normal(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _STRESS.sub("", unicodedata.normalize("NFC", _UNSEEN.sub("", text))).lower()


def language_of(text: str) -> Language:
    """Tell Russian from English by the share of Cyrillic letters; ``"en"`` where there are no letters.

    Three letters in ten are enough for Russian, because Russian technical prose is full of Latin names and code.
    """
    return _language(excerpt(text))


@lru_cache(maxsize=_CACHED_TEXTS)
def _language(text: str) -> Language:
    letters = [character for character in text if character.isalpha()]
    cyrillic = sum("\u0400" <= character <= "\u04ff" for character in letters)
    return "ru" if letters and cyrillic >= 0.3 * len(letters) else "en"


def language_spoken(texts: Sequence[str]) -> Language:
    """Return the language of the latest text that has letters: «Да» is Russian, and so is the "42" after it."""
    return language_of(next((text for text in reversed(texts) if any(map(str.isalpha, excerpt(text)))), ""))


def words(text: str) -> list[str]:
    """Return the runs of letters and digits, in NFC and lower case."""
    return list(tokens(text))


def tokens(text: str) -> tuple[str, ...]:
    """Return what :func:`words` returns, as the cached tuple itself."""
    return _tokens(excerpt(text))


@lru_cache(maxsize=_CACHED_TEXTS)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(normal(text)))


def stem(word: str) -> str:
    """Return the first five characters of a word in lower case, with ``ё`` read as ``е``."""
    return word.replace("ё", "е")[:STEM_LENGTH]


def stems(text: str) -> list[str]:
    """Return the stems of the content words: those that are stop words neither in Russian nor in English."""
    return list(_stems(excerpt(text)))


@lru_cache(maxsize=_CACHED_TEXTS)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in _tokens(text) if word.replace("ё", "е") not in STOP_WORDS)


def sentences(text: str) -> list[str]:
    """Return the sentences and list items of a text, stripped, none of them empty."""
    return list(_sentences(excerpt(text)))


@lru_cache(maxsize=_CACHED_TEXTS)
def _sentences(text: str) -> tuple[str, ...]:
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.start()]
        if "\n" not in end.group() and _ABBREVIATION.search(piece[-12:]):
            continue
        found.append(piece)
        start = end.end()
    found.append(text[start:])
    stripped = (_LIST_MARK.sub("", piece).strip() for piece in found)
    return tuple(piece for piece in stripped if _WORD.search(piece))


def char_ngrams(text: str, n: int = 4) -> Counter[str]:
    """Count the runs of ``n`` characters of the words, which single spaces join and enclose.

    Raises:
        ValueError: ``n`` is less than 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    return Counter(shared_char_ngrams(text, n))


def shared_char_ngrams(text: str, n: int = 4) -> Mapping[str, int]:
    """Return what :func:`char_ngrams` returns, as the cached mapping itself, to be read only."""
    return _char_ngrams(excerpt(text), n)


@lru_cache(maxsize=_CACHED_TEXTS)
def _char_ngrams(text: str, n: int) -> Counter[str]:
    if not _tokens(text):
        return Counter()
    joined = f" {' '.join(_tokens(text))} "
    if len(joined) < n:
        return Counter([joined])
    return Counter([joined[start : start + n] for start in range(len(joined) - n + 1)])


def cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return the cosine of two sparse vectors, in [-1, 1]; 0 where either has no length."""
    product = math.fsum([a[key] * b[key] for key in a.keys() & b.keys()])
    lengths = math.hypot(*a.values()) * math.hypot(*b.values())
    return max(-1.0, min(1.0, product / lengths)) if lengths else 0.0
