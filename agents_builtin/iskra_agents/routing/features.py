"""What the local classifier looks at in a message: words, pairs of words, letters in a row, what the words are about.

Words are grouped by :mod:`iskra_agents.routing.cues`, so that a verb that was never trained on still counts as one of
its group; what stands behind a "not", what opens a clause, and which groups occur together count as well.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from zlib import crc32

from iskra_agents.routing.clauses import CLAUSE_ENDS, clauses_of
from iskra_agents.routing.cues import cues_of, form_of, phrases_in
from iskra_agents.routing.translit import in_cyrillic

BITS = 18
"""Features are hashed into so many bits (Weinberger et al. 2009, arXiv:0902.2206)."""

_HEAD, _TAIL = 600, 200  # characters of a long message that are looked at
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|«[^»\n]*»|“[^”\n]*”", re.DOTALL)
_FILE = re.compile(r"(?<![\w/])[\w./-]*\w\.[a-z]{1,5}\b(?![\w(])")
_STATUS = re.compile(r"(?<![\w.-])(?:40\d|42[29]|50[0-4])(?:s|ки|ит|ку|ая|ые)?(?![\w.])")
_REPORT = re.compile(
    r"\b[A-Za-z_]*[a-z](?:Error|Exception|Fault|Panic)\b|\b(?:Error|Exception):"
    r"|\b(?:Traceback|FATAL|FAILED|ERROR|ENO\w+|ECONN\w+|EADDR\w+|SIG[A-Z]+|panic:|fatal:|error:|E\d{3,4}|TS\d{3,5})"
    r"|#[A-ZА-Я/0-9]+[!?]|\[emerg\]|exit (?:code|status)|код выхода|CrashLoop\w*|OOMKilled|segfault"
)
"""What programs print when something goes wrong; it is told by its capital letters."""
_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[?!:.,;]")
_BREAK = re.compile(r"\s[-–—]+\s|\n+")
"""What parts clauses without being punctuation."""
_LONGEST_WORD = 24
_LETTERS = (3, 4, 5)
_STEMS = (4, 5, 6)
_MASK = (1 << BITS) - 1
_IN_NO_WORD_PAIR = frozenset(".,;")
_REACH_OF_NOT = 3  # words
_OPENS = 3  # words in which a phrase must begin to say what kind of message it is
_FIRST, _LAST = 40, 20  # words of a long message whose groups and forms are looked at
_MOST_ASIDE = 4  # clauses
_MOST_GROUPS = 16  # that are combined with each other

# How much a feature counts beside others; found by cross-validation on the training messages.
_WORD_VALUE = 2.5
_OPENING_VALUE = 2.5
_PAIR_VALUE = 2.0
_STEM_VALUE = 1.5
_LETTERS_VALUE = 1.0
_GROUP_VALUE = 3.0
_GROUP_PAIR_VALUE = 3.0
_REPORT_VALUE = 4.0
_PHRASE_VALUE = 3.0
_CLAUSE_VALUE = 2.0
_FORM_VALUE = 2.0
_ASIDE_VALUE = 1.5


def features_of(text: str) -> dict[int, float]:
    """Return the hashed features of a message with their values; the squares of the values sum to 1.

    Quoted text, file names and numbers count as such and not by their content. Time is bounded: of a long message
    only the beginning and the end are looked at.
    """
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]} {text[-_TAIL:]}"
    text = _CODE.sub(" xcode ", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
    reports = min(len(_REPORT.findall(text)), 3)
    text = _STATUS.sub(" xstatus ", text).lower().replace("ё", "е")
    text = _NUMBER.sub(" xnumber ", _FILE.sub(" xfile ", text))
    text = _BREAK.sub(" ; ", text)
    tokens = in_cyrillic([token[:_LONGEST_WORD] for token in _TOKEN.findall(text)])
    values: dict[int, float] = {}
    for name, value in set(_named_features(tokens, reports)):
        feature = crc32(name.encode()) & _MASK
        values[feature] = max(value, values.get(feature, 0.0))
    length = math.sqrt(sum([value * value for value in values.values()])) or 1.0
    return {feature: value / length for feature, value in values.items()}


def _named_features(tokens: Sequence[str], reports: int) -> Iterator[tuple[str, float]]:
    if reports:
        yield "report", _REPORT_VALUE
        yield f"report {reports}", _REPORT_VALUE
    clauses = list(clauses_of(tokens))
    for clause in [clause for clause, is_aside in clauses if is_aside][:_MOST_ASIDE]:
        yield from _of_turned_down(clause)
    tokens = [token for clause, is_aside in clauses if not is_aside for token in clause]
    words = [token for token in tokens if token not in _IN_NO_WORD_PAIR]
    yield from _of_words(words)
    yield from _of_letters(words)
    if len(tokens) > _FIRST + _LAST:
        tokens = [*tokens[:_FIRST], *tokens[-_LAST:]]
        words = [token for token in tokens if token not in _IN_NO_WORD_PAIR]
    groups = list(_groups_in_order(tokens))
    yield from _of_clauses(tokens)
    yield from _of_groups(groups, is_question="?" in tokens)
    yield from _of_phrases(words, {group.removeprefix("~") for several in groups for group in several})
    yield from _of_forms(tokens)


def _of_turned_down(clause: Sequence[str]) -> Iterator[tuple[str, float]]:
    yield "d", _CLAUSE_VALUE
    for word in clause:
        if word not in CLAUSE_ENDS:
            yield f"d {word[:5]}", _ASIDE_VALUE
            for group in cues_of(word):
                yield f"dc {group}", _ASIDE_VALUE


def _of_words(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    for word in set(words):
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


def _of_letters(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    for word in set(words):
        if len(word) > 2:
            padded = f" {word} "
            for length in _LETTERS:
                for at in range(len(padded) - length + 1):
                    yield padded[at : at + length], _LETTERS_VALUE


def _of_clauses(tokens: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield what opens a clause, what stands behind a "not", what the first and the last clause are about."""
    opens, reach = True, 0
    for word in tokens:
        if word in CLAUSE_ENDS:
            opens, reach = True, 0
            continue
        groups = cues_of(word)
        endings = (word[-2:], word[-3:]) if len(word) > 3 else ()
        if opens:
            yield f"k {word}", _CLAUSE_VALUE
            for group in groups:
                yield f"kc {group}", _CLAUSE_VALUE
            for ending in endings:
                yield f"ks {ending}", 1.0
        if reach > 0:
            yield f"~ {word}", _CLAUSE_VALUE
            yield f"~p {word[:5]}", _CLAUSE_VALUE
            yield f"~s {word[-2:]}", _CLAUSE_VALUE
            for group in groups:
                yield f"~c {group}", _CLAUSE_VALUE
        if len(word) > 4:
            for ending in endings:
                yield f"s {ending}", 1.0
        opens, reach = False, _REACH_OF_NOT if "not" in groups else reach - 1
    cuts = [place for place, token in enumerate(tokens[:-1]) if token in CLAUSE_ENDS]
    if cuts:
        for word in tokens[: cuts[0]]:
            for group in cues_of(word):
                yield f"fc {group}", _CLAUSE_VALUE
        for word in tokens[cuts[-1] + 1 :]:
            yield f"lw {word}", 1.0
            for group in cues_of(word):
                yield f"lc {group}", _CLAUSE_VALUE


def _groups_in_order(tokens: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the groups of each word that has some; behind a "not" they begin with a tilde."""
    reach = 0
    for word in tokens:
        if word in CLAUSE_ENDS:
            reach = 0
            continue
        groups = cues_of(word)
        reach -= 1
        if "not" in groups:
            yield groups
            reach = _REACH_OF_NOT
        elif groups:
            yield tuple(f"~{group}" for group in groups) if reach > 0 else groups


def _of_groups(groups: Sequence[tuple[str, ...]], *, is_question: bool) -> Iterator[tuple[str, float]]:
    if not groups:
        yield "c none", _GROUP_VALUE
        return
    different = sorted({group for several in groups for group in several})[:_MOST_GROUPS]
    for group in different:
        yield f"c {group}", _GROUP_VALUE
        yield f"cq {is_question} {group}", 1.0
    for group in groups[0]:
        yield f"cf {group}", _GROUP_VALUE
        for other in different:
            yield f"fx {group} {other}", 2.0
    for group in groups[-1]:
        yield f"cl {group}", 2.0
    for before, after in pairwise(groups):
        for first in before:
            for second in after:
                yield f"cb {first} {second}", _GROUP_PAIR_VALUE
    for place in range(len(groups) - 2):
        yield f"c3 {' '.join(several[0] for several in groups[place : place + 3])}", 2.0
    for first_group, second_group in combinations(different, 2):
        yield f"cc {first_group} {second_group}", 1.5


def _of_phrases(words: Sequence[str], groups: set[str]) -> Iterator[tuple[str, float]]:
    phrases = list(phrases_in(words))
    different = sorted({phrase for phrase, _ in phrases})
    for phrase in different:
        yield f"t {phrase}", _PHRASE_VALUE
    for phrase in [phrase for phrase, place in phrases if place < _OPENS][:2]:
        yield f"to {phrase}", _PHRASE_VALUE
        for group in groups:
            yield f"tc {phrase} {group}", 3.0
    for first, second in combinations(different, 2):
        yield f"tt {first} {second}", 3.0


def _of_forms(tokens: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield forms of words, such as past tense, with what stands before them in the clause."""
    before = "^"
    for word in tokens:
        if word in CLAUSE_ENDS:
            before = "^"
            continue
        form, groups = form_of(word), cues_of(word)
        current = "|".join(groups) or form or "-"
        if form:
            yield f"m {form}", 1.0
            yield f"mb {before} {form}", _FORM_VALUE
            for group in groups[:1]:
                yield f"mc {form} {group}", _FORM_VALUE
        elif before != "-":
            yield f"mb {before} {current}", _FORM_VALUE
        before = current
