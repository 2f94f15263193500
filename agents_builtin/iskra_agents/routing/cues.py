"""Finds out what the words of a message are about, by the groups of :mod:`iskra_agents.routing.cue_table`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from iskra_agents.routing.cue_table import PHRASES, WORDS

_SHORTEST_BEGINNING = 3  # characters
_FORMS = (
    ("ться", "infinitive"),
    ("тся", "present"),
    ("лся", "past"),
    ("лась", "past"),
    ("лись", "past"),
    ("лось", "past"),
    ("йте", "imperative"),
    ("ите", "imperative"),
    ("ешь", "you"),
    ("ишь", "you"),
    ("нный", "participle"),
    ("нные", "participle"),
    ("ть", "infinitive"),
    ("ет", "present"),
    ("ит", "present"),
    ("ют", "present"),
    ("ут", "present"),
    ("ят", "present"),
    ("ат", "present"),
    ("ла", "past"),
    ("ло", "past"),
    ("ли", "past"),
    ("ил", "past"),
    ("ал", "past"),
    ("ел", "past"),
    ("ся", "reflexive"),
    ("ен", "short"),
    ("на", "short"),
    ("ее", "comparative"),
    ("ше", "comparative"),
    ("n't", "not"),
    ("ing", "ing"),
    ("ed", "ed"),
    ("er", "comparative"),
)
_SHORTEST_WITH_A_FORM = 4  # characters


def _by_word(table: Mapping[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the groups of whole words, and those of beginnings."""
    whole: dict[str, set[str]] = {}
    beginnings: dict[str, set[str]] = {}
    for group, words in table.items():
        for word in words.split():
            (beginnings if word.endswith("*") else whole).setdefault(word.removesuffix("*"), set()).add(group)
    return (
        {word: tuple(sorted(groups)) for word, groups in whole.items()},
        {word: tuple(sorted(groups)) for word, groups in beginnings.items()},
    )


def _by_first_word(table: Mapping[str, str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Return the phrases that begin with a word, the longest first, each with its group."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for group, phrases in table.items():
        for phrase in phrases.split("|"):
            words = tuple(phrase.split())
            found.setdefault(words[0], []).append((words, group))
    for begun in found.values():
        begun.sort(key=lambda phrase: -len(phrase[0]))
    return found


_WHOLE, _BEGINNINGS = _by_word(WORDS)
_PHRASES = _by_first_word(PHRASES)


@lru_cache(maxsize=4096)
def cues_of(word: str) -> tuple[str, ...]:
    """Return the groups that a word in lower case, without «ё», belongs to."""
    if word in _WHOLE:
        return _WHOLE[word]
    lengths = range(len(word), _SHORTEST_BEGINNING - 1, -1)
    return next((_BEGINNINGS[word[:length]] for length in lengths if word[:length] in _BEGINNINGS), ())


@lru_cache(maxsize=4096)
def form_of(word: str) -> str:
    """Return which form a word seems to have, by its ending; empty where it tells nothing."""
    if len(word) < _SHORTEST_WITH_A_FORM:
        return ""
    if word.isascii() and word.endswith("s") and not word.endswith("ss"):
        return "s"
    return next((form for ending, form in _FORMS if word.endswith(ending)), "")


def phrases_in(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the groups of the phrases in a message, each with the place of its first word."""
    for place, word in enumerate(words):
        for phrase, group in _PHRASES.get(word, ()):
            following = words[place : place + len(phrase)]
            if len(following) == len(phrase) and all(map(_fits, phrase, following)):
                yield group, place
                break


def _fits(pattern: str, word: str) -> bool:
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern
