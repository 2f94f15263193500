"""Stores that the turn tests run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iskra.session_store import open_store
from iskra_sdk.session_store import SessionStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SessionStore]:
    """A SQLite store of its own."""
    store = await open_store(data_dir=tmp_path)
    yield store
    await store.close()
