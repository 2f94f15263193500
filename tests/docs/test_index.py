"""The index leads to every page."""

import re

from markdown_pages import ROOT

DOCS = ROOT / "docs"


def test_every_page_is_linked_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8")))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert pages - linked == {"index.md", "README.md"}
