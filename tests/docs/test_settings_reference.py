"""The settings page lists every setting."""

import re

from pydantic import BaseModel

from iskra.settings import (
    AliasSettings,
    ApprovalSettings,
    LimitSettings,
    LLMSettings,
    PluginSettings,
    RuleSettings,
    Settings,
    UserSettings,
)
from markdown_pages import ROOT

SECTIONS: tuple[type[BaseModel], ...] = (
    Settings,
    LLMSettings,
    AliasSettings,
    ApprovalSettings,
    RuleSettings,
    LimitSettings,
    PluginSettings,
    UserSettings,
)


def test_each_section_lists_exactly_its_settings() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    tables = re.split(r"^## .*$", page, flags=re.MULTILINE)[1:]
    listed = [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in tables]
    assert listed == [list(section.model_fields) for section in SECTIONS]
