"""The page about the provider must promise nothing that it does not do."""

import re
from pathlib import Path

import pytest

from iskra_plugins.offline.commands import LONGEST_TEXT
from iskra_plugins.offline.planner import plan
from iskra_sdk import Message
from plugins.offline.offered import SPECS

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "offline-provider.md").read_text(encoding="utf-8")
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and "*" in row]
ORDERS = [order for row in ROWS for order in re.findall(r"\*([^*]+)\*", row)]


def test_the_page_shows_orders_in_both_languages() -> None:
    assert len(ORDERS) == 12


@pytest.mark.parametrize("order", [*ORDERS, "call forecast with city=Oslo", "вызови forecast с city=Oslo"])
def test_every_order_on_the_page_works(order: str) -> None:
    assert order in PAGE
    assert plan([Message.user(order)], SPECS).calls


@pytest.mark.parametrize("order", ["Run the tests", "write `x` to a.txt or b.txt"])
def test_what_the_page_says_is_refused_is_refused(order: str) -> None:
    assert order in PAGE
    assert not plan([Message.user(order)], SPECS).calls


def test_the_limit_on_the_page_is_the_real_one() -> None:
    assert f"{LONGEST_TEXT:,} characters" in PAGE
