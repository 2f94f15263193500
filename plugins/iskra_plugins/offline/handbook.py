"""The packaged docs, cut into sections and searchable."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from iskra_plugins.offline.bm25 import BM25Index
from iskra_plugins.offline.terms import forget_words, query_of, terms_of

_PRODUCT = "iskra"
_HEADING = re.compile(r"^(#{1,4})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")
_DEFINITION = re.compile(r"^- \*\*(?P<term>[^*]+)\*\* — (?P<meaning>.+)$")
_LINK = re.compile(r"\[([^\]]*)\]\([^)\s]*\)")

_TITLE_WEIGHT = 4.0
_HEADING_WEIGHT = 3.0
_LEAST_COVERAGE = 0.5
"""A section must contain at least this share of what was asked, or it is no answer."""
_PAGE_WEIGHTS = {"changelog.md": 0.5, "contributing.md": 0.7}
"""Pages that mention everything and explain little."""
_NAMED_WEIGHT = 1.5
"""Of a section whose heading is just what was asked for: "lease" before "fault lease"."""


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a page under one heading.

    Attributes:
        path: Of the page, from the top of the project: ``docs/how-to/x.md``.
        page: Title of the page.
        heading: Its own heading; the page's title for what stands before the first one.
        text: Markdown.
    """

    path: str
    page: str
    heading: str
    text: str

    @property
    def title(self) -> str:
        """Page and heading for people to read."""
        return self.page if self.heading == self.page else f"{self.page} › {self.heading}"


class Handbook:
    """Finds the section of the docs that answers a question. Read and indexed when first asked, in a worker thread.

    Args:
        folder: The docs; ``None`` for a server installed without them.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._sections: Sequence[Section] = ()
        self._index: BM25Index | None = None
        self._building = asyncio.Lock()

    async def search(self, question: str, *, limit: int = 3) -> Sequence[Section]:
        """Return the sections that answer best, best first; none where the docs do not speak of it."""
        if self._index is None:
            async with self._building:
                if self._index is None:
                    await asyncio.to_thread(self.build)
        return self.search_now(question, limit=limit)

    def build(self) -> int:
        """Read and index the docs, and return the number of sections."""
        sections = list(_read_sections(self.folder)) if self.folder is not None else []
        index = BM25Index([_terms_of_section(section) for section in sections])
        forget_words()
        self._sections, self._index = sections, index
        return len(sections)

    def search_now(self, question: str, *, limit: int = 3) -> Sequence[Section]:
        """Search what :meth:`build` has read."""
        if self._index is None:
            return ()
        asked = query_of(question)
        hits = [hit for hit in self._index.search(asked, limit=20) if hit.coverage >= _LEAST_COVERAGE]

        def rank(number: int) -> float:
            section = self._sections[hits[number].document]
            weight = _PAGE_WEIGHTS.get(Path(section.path).name, 1.0)
            return -hits[number].score * weight * (_NAMED_WEIGHT if _is_named(section, asked) else 1.0)

        return [self._sections[hits[number].document] for number in sorted(range(len(hits)), key=rank)[:limit]]


def find_docs() -> Path | None:
    """Return the folder of the docs: inside the installed package, or beside the sources of an editable install.

    The package is located and not imported.
    """
    try:
        spec = find_spec(_PRODUCT)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    package = Path(spec.origin).parent
    packaged = package / "packaged_docs"
    if packaged.is_dir():
        return packaged
    checkout = package.parent.parent
    return checkout / "docs" if (checkout / "pyproject.toml").is_file() and (checkout / "docs").is_dir() else None


def _read_sections(folder: Path) -> Iterator[Section]:
    for page in sorted(folder.rglob("*.md")):
        try:
            text = page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # a page that cannot be read must not take the others with it
        yield from split_page(text, path=f"docs/{page.relative_to(folder).as_posix()}")


def split_page(text: str, *, path: str) -> Iterator[Section]:
    """Cut a page at its headings; each definition of a glossary (``- **term** — meaning``) is a section of its own."""
    page = heading = Path(path).stem
    lines: list[str] = []
    fence = ""

    def section() -> Iterator[Section]:
        body = "\n".join(lines).strip()
        lines.clear()
        if body:
            yield Section(path, page, heading, body)

    for line in text.splitlines():
        if marker := _FENCE.match(line):
            fence = "" if fence and marker[1].startswith(fence) else fence or marker[1]
        elif not fence and (found := _HEADING.match(line)):
            yield from section()
            heading = plain(found[2])
            if len(found[1]) == 1:
                page = heading
            continue
        elif not fence and (definition := _DEFINITION.match(line)):
            yield Section(path, page, definition["term"], f"**{definition['term']}** — {definition['meaning']}")
            continue
        lines.append(line)
    yield from section()


def plain(text: str) -> str:
    """Return a heading without Markdown's links and emphasis."""
    return _LINK.sub(r"\1", text).replace("`", "").replace("**", "")


def _is_named(section: Section, asked: Sequence[Sequence[str]]) -> bool:
    heading = set(terms_of(section.heading))
    return bool(heading) and len(heading) == len(asked) and all(heading & set(group) for group in asked)


def _terms_of_section(section: Section) -> Mapping[str, float]:
    terms: defaultdict[str, float] = defaultdict(float)
    for term in terms_of(section.text):
        terms[term] += 1.0
    for term in terms_of(section.heading):
        terms[term] += _HEADING_WEIGHT
    for term in {*terms_of(section.page), *terms_of(Path(section.path).stem)}:
        terms[term] += _TITLE_WEIGHT
    return terms
