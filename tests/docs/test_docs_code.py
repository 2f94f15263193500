"""Runs the Python code of the docs and checks their links.

Every ``python`` block runs, in the order of the page and in one namespace per page, in an empty folder; a block whose
info string is ``python no-run`` does not.
"""

import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from markdown_pages import CodeBlock, code_blocks, heading_anchors, links, page_id, pages

PYTHON_INFO_STRINGS = ("python", "python no-run")


def runnable(page: Path) -> list[CodeBlock]:
    return [block for block in code_blocks(page) if block.info == "python"]


@pytest.mark.parametrize("page", [page for page in pages() if runnable(page)], ids=page_id)
def test_the_python_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("docs_page")
    # Type hints and dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    for block in runnable(page):
        # Blank lines in front make a traceback point at the line of the page.
        source = "\n" * (block.first_line - 1) + block.text
        exec(compile(source, str(page), "exec"), module.__dict__)  # noqa: S102 - running the docs is the test


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_python_blocks_say_only_whether_they_run(page: Path) -> None:
    infos = [block.info for block in code_blocks(page) if block.info.split(" ")[0] in ("python", "py", "python3")]
    assert set(infos) <= set(PYTHON_INFO_STRINGS)


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = [target for target in links(page) if not leads_somewhere(page, target)]
    assert not broken


def leads_somewhere(page: Path, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return True
    linked = page.parent / unquote(parts.path) if parts.path else page
    if not linked.exists():
        return False
    if parts.fragment and linked.suffix == ".md":
        return unquote(parts.fragment) in heading_anchors(linked)
    return True
