"""Quotes the docs in answer to a question."""

import re
from collections.abc import Sequence

from iskra_plugins.offline.handbook import Section
from iskra_plugins.offline.phrases import Phrases
from iskra_plugins.offline.terms import query_of, terms_of

_LONGEST_QUOTE = 1200  # characters
_FENCE = re.compile(r"^\s*(```+|~~~+)")


def quote_sections(question: str, sections: Sequence[Section], phrases: Phrases) -> str:
    """Return the best section as a Markdown quotation with its source, and where else to look."""
    best, *others = sections
    quotation = "\n".join(f"> {line}".rstrip() for line in excerpt(best.text, question).splitlines())
    parts = [phrases["from_docs"].format(title=best.title, path=best.path), quotation]
    if others:
        parts.append(phrases["see_also"].format(pages=", ".join(f"{other.title} (`{other.path}`)" for other in others)))
    return "\n\n".join([*parts, phrases["quoted"]])


def excerpt(text: str, question: str) -> str:
    """Return a text, or where it is long the blocks from the first one that best fits the question on."""
    if len(text) <= _LONGEST_QUOTE:
        return text
    wanted = {term for group in query_of(question) for term in group}
    blocks = _blocks(text)
    fits = [len(wanted & set(terms_of(block))) for block in blocks]
    start = fits.index(max(fits))
    quoted: list[str] = []
    length = 0
    for block in blocks[start:]:
        shown = _rows(block, wanted) if length + len(block) > _LONGEST_QUOTE else block
        if quoted and length + len(shown) > _LONGEST_QUOTE:
            break
        quoted.append(shown)
        length += len(shown)
    return "\n\n".join(["…"] * bool(start) + quoted + ["…"] * (start + len(quoted) < len(blocks)))


def _blocks(text: str) -> list[str]:
    """Cut at empty lines, but not inside code."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line in text.splitlines():
        if marker := _FENCE.match(line):
            fence = "" if fence and marker[1].startswith(fence) else fence or marker[1]
        if not line.strip() and not fence:
            blocks.append([])
        else:
            blocks[-1].append(line)
    return ["\n".join(block) for block in blocks if block]


def _rows(block: str, wanted: set[str]) -> str:
    """Shorten a table to its head and the rows that fit, and any other block to its first lines."""
    lines = block.splitlines()
    if lines[0].startswith("|") and len(lines) > 2:
        fitting = [line for line in lines[2:] if wanted & set(terms_of(line))]
        return "\n".join(lines[:2] + (fitting or lines[2:])[:12])
    kept: list[str] = []
    for line in lines:
        if sum(map(len, kept)) + len(line) > _LONGEST_QUOTE and kept:
            break
        kept.append(line[:_LONGEST_QUOTE])
    if _FENCE.match(kept[0]) and len(kept) < len(lines):
        kept.append(kept[0].strip()[:3])
    return "\n".join(kept)
