"""Whether a source says a statement, says its opposite, or says nothing of it."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from iskra_chaos.sift.likeness import numbers_in, stem_set
from iskra_metrics.claims import contradictions
from iskra_metrics.text import sentences

Verdict = Literal["told", "contradicted", "silent"]

ENOUGH_WORDS = 0.8
"""Share of a statement's stems that one window of the source has to hold."""

_WINDOW = 600  # characters
_MOST_WINDOWS = 400
_SHORTEST_QUOTE = 8  # characters


class EvidenceText:
    """A text that statements are held against, in windows of two sentences or 600 characters.

    A statement needs two content stems or more to be recognised by its words, and all of its numbers in the window.
    """

    def __init__(self, text: str) -> None:
        self._flat = " ".join(text.lower().split())
        self._windows = [
            (window, stem_set(window), numbers_in(window)) for window in islice(_windows(text), _MOST_WINDOWS)
        ]

    def verdict(self, statement: str) -> Verdict:
        """Tell what the source says of a statement; a word for word quote counts as told."""
        bare = " ".join(statement.lower().split()).strip(" .!…\"'«»")
        wanted, numbers = stem_set(statement), numbers_in(statement)
        is_contradicted = False
        for window, held, figures in self._windows:
            if len(wanted & held) < max(2, ENOUGH_WORDS * len(wanted)):
                continue
            if contradictions([statement, window]):
                is_contradicted = True
            elif numbers <= figures:
                return "told"
        if is_contradicted:
            return "contradicted"
        return "told" if len(bare) >= _SHORTEST_QUOTE and bare in self._flat else "silent"


def _windows(text: str) -> Iterator[str]:
    """Yield each sentence or line alone, then each with the next one."""
    pieces = [
        sentence[start : start + _WINDOW]
        for chunk in chunks(text)
        for sentence in sentences(chunk)
        for start in range(0, len(sentence), _WINDOW)
    ]
    for position, piece in enumerate(pieces):
        yield piece
        if position + 1 < len(pieces):
            yield f"{piece} {pieces[position + 1]}"


def chunks(text: str, size: int = 4_000) -> Iterator[str]:
    """Yield a text in pieces of at most ``size`` characters, cut at line ends or spaces where there are any."""
    start = 0
    while start < len(text):
        end = min(len(text), start + size)
        if end < len(text):
            cut = max(text.rfind("\n", start + size // 2, end), text.rfind(". ", start + size // 2, end) + 1)
            if cut <= start:
                cut = text.rfind(" ", start + size // 2, end)
            end = cut if cut > start else end
        yield text[start:end]
        start = end
