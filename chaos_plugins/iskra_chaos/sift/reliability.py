"""How far a source can be relied on.

The credibility is .45 source reliability index + .25 corroboration + .15 recency + .15 integrity; the index per kind
of source is a default that nobody has calibrated.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

SourceKind = Literal["canon", "company", "project", "tool", "web", "user", "media", "forum", "model"]

INDEX: dict[SourceKind, float] = {
    "canon": 0.95,
    "company": 0.80,
    "project": 0.75,
    "tool": 0.75,
    "web": 0.65,
    "user": 0.60,
    "media": 0.55,
    "forum": 0.35,
    "model": 0.30,
}

CLAIM_ONLY = 0.55
"""Below this credibility a statement may only be recorded as somebody's claim."""

NEEDS_CORROBORATION = 0.75
"""Below this one it needs the corroboration of :data:`ENOUGH_CORROBORATION`."""

ENOUGH_CORROBORATION = 0.6

UNKNOWN = 0.5
"""Corroboration where there is nothing to compare with, and recency of what bears no date."""

_HALF_LIFE = 2 * 365.25  # days
_FORUMS = re.compile(r"(?:^|[./])(?:forums?|boards?|reddit|stackoverflow|stackexchange|habr|pikabu|4pda|quora)\b")
_MEDIA = re.compile(r"(?:^|[./])(?:news|times|post|gazeta|rbc|tass|ria|bbc|cnn|reuters|medium|blog\w*)\b")
_YEAR = re.compile(r"\b((?:19|20)\d\d)(?:-(\d\d))?(?:-(\d\d))?\b")


@dataclass(frozen=True, slots=True)
class Credibility:
    """How far a source can be relied on, and why; all values in [0, 1]."""

    index: float
    corroboration: float
    recency: float
    integrity: float

    @property
    def value(self) -> float:
        """The weighted sum."""
        score = 0.45 * self.index + 0.25 * self.corroboration + 0.15 * self.recency + 0.15 * self.integrity
        return round(min(1.0, max(0.0, score)), 4)

    @property
    def holds_facts(self) -> bool:
        """Whether what the source says may be recorded as fact without further evidence."""
        return may_hold_facts(self.value, self.corroboration)


def may_hold_facts(reliability: float, corroboration: float) -> bool:
    """Tell whether a source of this reliability may be quoted as fact."""
    if reliability < CLAIM_ONLY:
        return False
    return reliability >= NEEDS_CORROBORATION or corroboration >= ENOUGH_CORROBORATION


def kind_of(origin: str) -> SourceKind:
    """Guess the kind of a document's source from its URI or path.

    ``canon:``, ``company:`` and ``project:`` say it outright; other text without a scheme is a file of the project.
    """
    scheme = origin.partition(":")[0].lower()
    if scheme in ("canon", "company", "project"):
        return "canon" if scheme == "canon" else "company" if scheme == "company" else "project"
    if scheme not in ("http", "https"):
        return "project"
    try:
        place = urlsplit(origin)
    except ValueError:
        return "forum"
    address = f"{place.hostname or ''}{place.path[:60]}".lower()
    if _FORUMS.search(address):
        return "forum"
    return "media" if _MEDIA.search(address) else "web"


def day_in(text: str) -> date | None:
    """Return the first date of the form ``2024``, ``2024-05`` or ``2024-05-17``; a missing part counts as 1."""
    if found := _YEAR.search(text):
        try:
            return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
        except ValueError:
            return date(int(found[1]), 1, 1)
    return None


def recency(written: date | None, as_of: date | None) -> float:
    """Return how fresh something is: 1 today, half of it every two years, .5 where a date is missing."""
    if written is None or as_of is None:
        return UNKNOWN
    return float(0.5 ** (max(0, (as_of - written).days) / _HALF_LIFE))


def integrity(text: str, *, author: str, dated: bool) -> float:
    """Return how whole a document is: less by a quarter each for no author, no date, lost characters, a cut-off end."""
    flaws = (
        not author.strip(),
        not dated,
        "\ufffd" in text,
        not re.search(r"[.!?…:;)\]»\"'`|>*\d-]\s*\Z", text),
    )
    return 1.0 - 0.25 * sum(flaws)
