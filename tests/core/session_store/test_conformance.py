from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iskra.session_store import open_store
from iskra_sdk.session_store import SessionStore
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.testing.store_conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    async def store(self) -> AsyncIterator[SessionStore]:
        store = MemoryStore()
        yield store
        await store.close()


class TestSQLiteStore(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SessionStore]:
        store = await open_store(data_dir=tmp_path)
        yield store
        await store.close()
