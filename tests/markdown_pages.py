"""The Markdown pages of the project, read as a browser of the repository would."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent

_parser = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block: its info string, its text, and the line of the page that its first line stands on."""

    info: str
    text: str
    first_line: int


def pages() -> list[Path]:
    """Return every page whose code runs and whose links must resolve."""
    readmes = [*ROOT.glob("README.md"), *ROOT.glob("*/README.md")]
    return sorted({*readmes, *ROOT.glob("docs/**/*.md")})


def page_id(page: Path) -> str:
    """Name a page in test reports."""
    return page.relative_to(ROOT).as_posix()


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """Yield the fenced blocks of a page in order, also those inside lists and quotes."""
    for token in _parse(page):
        if token.type == "fence" and token.map is not None:
            yield CodeBlock(token.info.strip(), token.content, token.map[0] + 2)


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the links and images of a page."""
    for token in _parse(page):
        for child in token.children or ():
            target = child.attrs.get("href" if child.type == "link_open" else "src")
            if isinstance(target, str):
                yield target


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts give to the headings of a page."""
    anchors: set[str] = set()
    tokens = _parse(page)
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeats = sum(1 for anchor in anchors if anchor == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", anchor))
        anchors.add(f"{slug}-{repeats}" if repeats else slug)
    return anchors


def _parse(page: Path) -> list[Token]:
    return _parser.parse(page.read_text(encoding="utf-8"))
