from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iskra.session_store import open_store
from iskra.session_store.schema import metadata
from iskra_sdk.session_store import SessionStore
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.testing.store_conformance import StoreConformance
from postgres_cluster import PostgresCluster


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


@pytest.mark.xdist_group("postgres")
class TestPostgresStore(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path, postgres: PostgresCluster) -> AsyncIterator[SessionStore]:
        store = await open_store(data_dir=tmp_path, database_url=postgres.url())
        import asyncpg

        connection = await asyncpg.connect(postgres.url())
        await connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE")
        await connection.close()
        yield store
        await store.close()
