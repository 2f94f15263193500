"""The page on HTTP lists the routes of the built-in plugins."""

import json
import re
import urllib.request
from pathlib import Path

from markdown_pages import ROOT
from running_iskra import running_iskra

PAGE = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Routes of built-in plugins\n")[2].partition("\n## ")[0]


def test_the_page_lists_the_routes_of_every_built_in_plugin(tmp_path: Path) -> None:
    with running_iskra(tmp_path) as server:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{server.url}/openapi.json", headers={"Authorization": f"Bearer {server.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            paths = json.load(answer)["paths"]
    kernel = set(re.findall(r"^\| `(\w+)` \| `(/[^`]*)` \|", PAGE, re.MULTILINE))
    real = {
        (f"{method.upper()} {path}", operation["x-iskra-permission"])
        for path, operations in paths.items()
        for method, operation in operations.items()
        if (method.upper(), path) not in kernel
    }
    listed = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| `([^`]+)` \|", SECTION, re.MULTILINE))
    assert listed == real
