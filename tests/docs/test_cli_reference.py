"""Compares the page on the program with the program."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from iskra.cli.program import app
from markdown_pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield " ".join(path), command
        return
    for name, child in inner.items():
        yield from commands(child, *path, name)


COMMANDS = dict(commands(get_command(app), "iskra"))
SECTIONS = dict(re.findall(r"^## (iskra [^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_has_every_command_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_every_option_and_no_other(name: str) -> None:
    real = {spelling for parameter in COMMANDS[name].params for spelling in parameter.opts if spelling.startswith("-")}
    listed = "\n".join(line for line in SECTIONS[name].splitlines() if line.startswith("- "))
    assert set(re.findall(r"`(--?[a-z][a-z-]*)`", listed)) == real


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    assert COMMANDS[name].help
    assert all(parameter.help for parameter in COMMANDS[name].params)
