import importlib.util
from typing import Any, cast

import pytest

from iskra_plugins.mcp.endpoint import Endpoint
from iskra_plugins.mcp.settings import OfferedServer


async def test_without_the_library_the_answer_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await Endpoint(cast("Any", None), OfferedServer())({"type": "http"}, None, send)
    assert sent[0]["status"] == 501
    assert b"pip install 'iskra[mcp]'" in sent[1]["body"]
