from collections.abc import Iterator

import pytest

from postgres_cluster import PostgresCluster, postgres_cluster
from programs import require_module


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    require_module("asyncpg", "pip install 'iskra[postgres]'")
    with postgres_cluster() as cluster:
        yield cluster
