"""Finds phrases of word lists in Russian and English text, by whole words and stems, never by substrings."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# "." ends a clause: a negation does not reach over it.
_TOKEN = re.compile(r"[^\W_]+|[.,;:!?…\n()«»\"—–]")
_APOSTROPHES = re.compile("['`\u2018\u2019\u02bc]")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_CYRILLIC = re.compile("[а-я]")
_LOOKALIKES = str.maketrans("acekmhoptxyb", "асекмнортхув")
_CONTRACTIONS = {"im": ("i", "am"), "ive": ("i", "have"), "youre": ("you", "are")}
_INDEX_LENGTH = 3
_NEGATION_REACH = 3
_NEGATORS = frozenset(("not", "dont", "doesnt", "never", "avoid", "without", "cannot", "cant", "wont", "shouldnt")) | (
    frozenset(("нельзя", "не", "без", "избегай", "избегать", "никогда"))
)
# "don't forget to …" asks for it.
_NOT_NEGATED_BY = frozenset(("forget", "fail", "hesitate", "stop", "worry", "fear", "only", "just")) | (
    frozenset(("забудь", "забудьте", "забывай", "стесняйся", "бойся", "переставай", "прекращай", "только", "упусти"))
)


def clauses(text: str) -> tuple[list[str], list[int]]:
    """Return the text's words, and for each the number of the clause it stands in.

    Words are NFKC, lower case, with ``ё`` as ``е``, without apostrophes and invisible characters; Latin letters inside
    a Cyrillic word become the Cyrillic letters they look like.
    """
    normal = unicodedata.normalize("NFKC", text).translate(_INVISIBLE).casefold().replace("ё", "е")
    words, numbers, clause = [], [], 0
    for token in _TOKEN.findall(_APOSTROPHES.sub("", normal)):
        if token[0].isalnum():
            token = token.translate(_LOOKALIKES) if _CYRILLIC.search(token) else token
            for word in _CONTRACTIONS.get(token, (token,)):
                words.append(word)
                numbers.append(clause)
        else:
            clause += 1
    return words, numbers


@dataclass(frozen=True, slots=True)
class _Element:
    """One place of a phrase: any of these words or stems, after at most ``gap`` other words."""

    exact: frozenset[str]
    stems: tuple[str, ...]
    gap: int

    def fits(self, word: str) -> bool:
        return word in self.exact or (bool(self.stems) and word.startswith(self.stems))


@dataclass(frozen=True, slots=True)
class TermList:
    """Phrases that mean one thing.

    A phrase is a row of words. ``stem*`` stands for every word that begins so, ``a|b`` for either, and ``~2`` for up to
    two words in between.

    Attributes:
        phrases: What is looked for.
        exceptions: A find that overlaps one of these does not count.
        is_negatable: A find right after a negation in the same clause does not count.
    """

    phrases: Sequence[str]
    exceptions: Sequence[str] = ()
    is_negatable: bool = False


@dataclass(slots=True)
class _Index:
    by_word: dict[str, list[tuple[str, tuple[_Element, ...]]]] = field(default_factory=lambda: defaultdict(list))
    by_start: dict[str, list[tuple[str, tuple[_Element, ...]]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, phrase: str) -> None:
        elements = tuple(_elements(phrase))
        for word in elements[0].exact:
            self.by_word[word].append((name, elements))
        for start in {stem[:_INDEX_LENGTH] for stem in elements[0].stems}:
            self.by_start[start].append((name, elements))

    def spans(self, words: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        for position, word in enumerate(words):
            for name, elements in self.by_word.get(word, ()):
                end = _end(elements, words, position)
                if end is not None:
                    yield name, position, end
            for name, elements in self.by_start.get(word[:_INDEX_LENGTH], ()):
                end = _end(elements, words, position)
                if end is not None:
                    yield name, position, end


class Terms:
    """Looks for all lists in one pass over a text.

    Args:
        lists: The lists by name.

    Raises:
        ValueError: A phrase is malformed; the text names it.
    """

    def __init__(self, lists: Mapping[str, TermList]) -> None:
        self._lists = dict(lists)
        self._phrases, self._exceptions = _Index(), _Index()
        for name, terms in lists.items():
            for phrase in terms.phrases:
                self._phrases.add(name, phrase)
            for phrase in terms.exceptions:
                self._exceptions.add(name, phrase)

    def __contains__(self, name: object) -> bool:
        return name in self._lists

    def found(self, text: str) -> dict[str, str]:
        """Return the lists that the text mentions, each with the first words found."""
        words, numbers = clauses(text)
        finds: dict[str, str] = {}
        excepted: dict[str, list[tuple[int, int]]] | None = None
        for name, start, end in self._phrases.spans(words):
            if name in finds or (self._lists[name].is_negatable and _is_negated(words, numbers, start)):
                continue
            if excepted is None:
                excepted = defaultdict(list)
                for other, first, last in self._exceptions.spans(words):
                    excepted[other].append((first, last))
            if not any(first < end and start < last for first, last in excepted[name]):
                finds[name] = " ".join(words[start:end])
        return finds


def _elements(phrase: str) -> Iterator[_Element]:
    gap, seen = 0, False
    for part in phrase.split():
        if part.startswith("~"):
            gap = int(part[1:])
            if not seen:
                raise ValueError(f"the phrase {phrase!r} begins with a gap")
            continue
        exact, stems = set(), []
        for choice in part.split("|"):
            words, _ = clauses(choice.removesuffix("*"))
            if len(words) != 1 or (choice.endswith("*") and len(words[0]) < _INDEX_LENGTH):
                raise ValueError(f"{choice!r} in the phrase {phrase!r} is neither a word nor a stem of 3 letters")
            if choice.endswith("*"):
                stems.append(words[0])
            else:
                exact.add(words[0])
        yield _Element(frozenset(exact), tuple(stems), gap)
        gap, seen = 0, True
    if not seen:
        raise ValueError("a phrase is empty")


def _end(elements: Sequence[_Element], words: Sequence[str], start: int) -> int | None:
    """Return where the phrase that begins at ``start`` ends: the index after its last word."""
    if not elements[0].fits(words[start]):
        return None
    ends: Iterable[int] = (start + 1,)
    for element in elements[1:]:
        ends = sorted(
            {
                position + 1
                for end in ends
                for position in range(end, min(end + element.gap + 1, len(words)))
                if element.fits(words[position])
            }
        )
        if not ends:
            return None
    return min(ends)


def _is_negated(words: Sequence[str], numbers: Sequence[int], start: int) -> bool:
    for position in range(max(0, start - _NEGATION_REACH), start):
        if words[position] in _NEGATORS and numbers[position] == numbers[start]:
            return words[position + 1] not in _NOT_NEGATED_BY
    return False
