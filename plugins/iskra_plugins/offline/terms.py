"""Turns texts and questions into search terms."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from iskra_plugins.offline.glossary import RUSSIAN_TO_ENGLISH

_WORD = re.compile(r"[^\W_]+(?:[.'’-][^\W_]+)*|[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
_LONGEST_KEY = max(len(key) for key in RUSSIAN_TO_ENGLISH)
_SHORTEST_KEY = 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _words(
    "a about after all also am an and any are as at be been but by can could did do does doing for from get had "
    "has have having he her here him his how i if in into is it its itself just let me more most my no nor not of "
    "off on once only or our out over own please same she should so some such tell than that the their them then "
    "there these they this those through to too under until up very was we were what what's when where which "
    "while who whom why will with would you your explain show give want need know understand iskra use used uses "
    "using "
    "а без более бы был была были было быть в вам вас весь во вот все всего вы где да даже для до его ее если "
    "есть еще же за зачем здесь и из или им их к как какая какие какой когда кто ли либо мне может можно мой мы "
    "на надо нам нас не него нее нет ни них но ну нужно о об он она они от по под почему при про с сам свой себя "
    "со так такое такой там те тем то того тоже той только том тот тут ты у уже хочу чего чем что чтобы эта эти "
    "это этот я объясни расскажи покажи скажи пожалуйста работает работают делает значит "
)
"""Words that say nothing about the subject of a question."""

_SYNONYMS = {"llm": ("model",), "setup": ("install", "configur"), "permit": ("permission",), "confirm": ("approv",)}


def stem(word: str) -> str:
    """Cut the commonest English endings off; a lighter relative of Porter's first step.

    What it returns need not be a word; forms of one word usually become equal.
    """
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, least, replacement in (
        ("ations", 4, "at"),
        ("ation", 4, "at"),
        ("ies", 2, "y"),
        ("sses", 2, "ss"),
        ("ings", 3, ""),
        ("ing", 3, ""),
        ("edly", 3, ""),
        ("ed", 3, ""),
        ("es", 3, ""),
        ("s", 3, ""),
        ("e", 3, ""),
    ):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith(("ss", "us", "is")):
            word = word.removesuffix(ending) + replacement
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 4 else word


def terms_of(text: str) -> list[str]:
    """Return the terms of a text in its order: stems of words, and the parts of compound names besides."""
    return [term for word in _WORD.findall(text) for term in _terms_of_word(word)]


@lru_cache(maxsize=8192)
def _terms_of_word(word: str) -> tuple[str, ...]:
    return tuple(stem(part.lower()) for part in _parts(word) if part.lower() not in STOP_WORDS)


def forget_words() -> None:
    """Free the memory that :func:`terms_of` spends on being fast over many texts."""
    _terms_of_word.cache_clear()


def query_of(question: str) -> Sequence[Sequence[str]]:
    """Return what a question in English or Russian asks for: one group of terms for each idea, without repeats."""
    groups: list[tuple[str, ...]] = []
    unknown: list[tuple[str, ...]] = []
    for word in _WORD.findall(question):
        lowered = word.lower().replace("ё", "е")
        if lowered in STOP_WORDS:
            continue
        if not _CYRILLIC.search(lowered):
            parts = _parts(word)
            lowered_parts = [part.lower() for part in parts[1:] or parts if part.lower() not in STOP_WORDS]
            groups.extend((stem(part), *_SYNONYMS.get(part, ())) for part in lowered_parts)
        elif english := translate(lowered):
            groups.append(tuple(dict.fromkeys(stem(part) for part in english)))
        else:
            unknown.append((lowered,))
    # A few Russian words that the glossary lacks must not hide an answer; many mean that the subject is another.
    if len(unknown) >= len(groups):
        groups += unknown
    return list(dict.fromkeys(groups))


def translate(word: str) -> Sequence[str]:
    """Return the English words for a Russian one in lower case; none if the glossary does not have it."""
    for length in range(min(len(word), _LONGEST_KEY), _SHORTEST_KEY - 1, -1):
        if found := RUSSIAN_TO_ENGLISH.get(word[:length]):
            return found.split()
    return ()


def _parts(word: str) -> Sequence[str]:
    """Return a word, and what it is made of if it is a compound: ``CircuitBreaker``, ``docs.rs``, ``long-lived``."""
    parts: Iterable[str] = (piece for half in re.split(r"[.'’-]", word) for piece in _CAMEL.split(half))
    return tuple(dict.fromkeys((word, *(part for part in parts if part))))
