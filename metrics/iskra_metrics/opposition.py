"""Which statements speak against each other, by negation, antonyms and numbers.

The features are those of de Marneffe, Rafferty and Manning, "Finding Contradictions in Text" (ACL 2008). They find what
shows on the surface of two statements, and nothing that takes knowledge of the world.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from iskra_metrics.polarity import ANTONYMS, CLAUSE_BREAKS, NEGATORS, NOT_NEGATING, WHOLE_NEGATION, base
from iskra_metrics.stop_words import STOP_WORDS
from iskra_metrics.text import excerpt, normal

Kind = Literal["negation", "antonym", "number"]

MOST_STATEMENTS = 200
"""Statements that are compared; of more, the last ones."""

LEAST_SHARED = 2
LEAST_OF_SHORTER, LEAST_OF_LONGER = 0.5, 0.35
"""Shares of the content stems of two statements that both have, for them to be about the same thing."""

_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_][^\W_]*(?:['’][^\W\d_]+)?|[,;:()—–]|[%$€₽£]")
_YEAR = re.compile(r"(?:19|20)\d\d$")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two statements that cannot both hold.

    Attributes:
        first: Index of the earlier statement.
        second: Index of the later one.
        kind: What they differ in.
    """

    first: int
    second: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Claim:
    content: frozenset[str]
    negated: frozenset[str]  # the content word that follows each negation
    is_denied: bool  # as a whole: "it is not true that"
    numbers: frozenset[tuple[str, float]]  # (unit or the word before, value)
    years: frozenset[str]

    def denies(self, word: str) -> bool:
        return (word in self.negated) != self.is_denied


def contradictions(statements: Sequence[str]) -> list[Contradiction]:
    """Return the pairs that share two content stems or more and differ in polarity, an antonym or a number.

    The shared stems are at least half of those of the shorter statement, and a third of those of the longer.
    Questions claim nothing and are left out. A
    pair is reported once, in the order of its statements.
    """
    offset = max(0, len(statements) - MOST_STATEMENTS)
    claims = [_claim(excerpt(statement, 600)) for statement in statements[offset:]]
    holders: dict[str, list[int]] = defaultdict(list)
    found: list[Contradiction] = []
    for second, claim in enumerate(claims):
        if claim is None:
            continue
        shared_with: dict[int, int] = defaultdict(int)
        for word in claim.content:
            for first in holders[word]:
                shared_with[first] += 1
            holders[word].append(second)
        for first, shared in sorted(shared_with.items()):
            other = claims[first]
            if shared < LEAST_SHARED or other is None:
                continue
            kind = _difference(other, claim)
            if kind is not None:
                found.append(Contradiction(offset + first, offset + second, kind))
    return found


def _difference(a: _Claim, b: _Claim) -> Kind | None:
    shared = a.content & b.content
    shorter, longer = sorted((len(a.content), len(b.content)))
    if len(shared) < max(LEAST_OF_SHORTER * shorter, LEAST_OF_LONGER * longer):
        return None
    if a.years and b.years and a.years.isdisjoint(b.years):
        return None  # what held in one year need not hold in another
    if any(a.denies(word) != b.denies(word) for word in shared):
        return "negation"
    if len(shared) >= LEAST_SHARED and _are_antonymous(a, b):
        return "antonym"
    units = {unit for unit, _ in a.numbers} & {unit for unit, _ in b.numbers}
    for unit in units:
        if len(shared - {unit}) < LEAST_SHARED:
            continue
        mine = {value for other, value in a.numbers if other == unit}
        theirs = {value for other, value in b.numbers if other == unit}
        if mine.isdisjoint(theirs):
            return "number"
    return None


def _are_antonymous(a: _Claim, b: _Claim) -> bool:
    for word in a.content - b.content:
        for opposite in ANTONYMS.get(word, ()):
            if opposite in b.content and opposite not in a.content and a.denies(word) == b.denies(opposite):
                return True
    return False


@lru_cache(maxsize=2048)
def _claim(statement: str) -> _Claim | None:
    """Read a statement; ``None`` for a question."""
    text = normal(statement).replace("ё", "е").replace("’", "'")
    if text.rstrip(" \"'»”)").endswith("?"):
        return None
    content: set[str] = set()
    negated: set[str] = set()
    numbers: set[tuple[str, float]] = set()
    years: set[str] = set()
    whole = WHOLE_NEGATION.search(text)
    if whole:
        text = text[: whole.start()] + " " + text[whole.end() :]
    pieces = _PIECE.findall(NOT_NEGATING.sub(" ", text))
    is_negated = False
    before = ""
    for piece, following in pairwise([*pieces, ""]):
        if piece[0].isdecimal():
            if _YEAR.match(piece):
                years.add(piece)
            else:
                numbers.add((_unit(following) or before, _number(piece)))
            continue
        if piece in NEGATORS or piece.endswith("n't"):
            is_negated = True
            continue
        if piece in CLAUSE_BREAKS:
            is_negated = False
            continue
        word = piece.split("'")[0]
        if word in STOP_WORDS or not word[0].isalpha():
            continue
        before = base(word)
        content.add(before)
        if is_negated:
            negated.add(before)
            is_negated = word.endswith("ly")  # "not really fast" denies that it is fast
    return _Claim(frozenset(content), frozenset(negated), bool(whole), frozenset(numbers), frozenset(years))


def _unit(following: str) -> str:
    is_word = following[:1].isalpha() and following not in STOP_WORDS
    return base(following) if is_word or following in ("%", "€", "₽") else ""


def _number(digits: str) -> float:
    has_one_mark = digits.count(",") + digits.count(".") <= 1
    return float(digits.replace(",", ".") if has_one_mark else re.sub(r"[.,]", "", digits))
