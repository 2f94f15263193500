from collections.abc import AsyncIterator, Iterator

import pytest

from plugins.caches.redis_server import RedisServer
from plugins.caches.shelf import MemoryShelf, RedisShelf, Shelf


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that tests share, each under a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a Redis that the test may stop."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["memory", "redis"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    """Return each backend in turn."""
    made: Shelf = MemoryShelf() if request.param == "memory" else RedisShelf(request.getfixturevalue("redis"))
    yield made
    await made.aclose()
