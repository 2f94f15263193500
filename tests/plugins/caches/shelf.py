"""A place for a cache's values in either backend, whose time tests can move."""

import itertools
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from redis.asyncio import Redis

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.cache import Cache
from iskra_plugins.caches.redis_cache import RedisCache
from iskra_plugins.caches.redis_connection import RedisConnection
from iskra_sdk.testing import ManualClock
from plugins.caches.redis_server import RedisServer

PATIENT = 20.0
"""Seconds that a look into Redis may take where the test is not about time, also on a busy machine."""

_numbers = itertools.count(1)


class Shelf(Protocol):
    """A backend.

    Attributes:
        clock: Of whoever uses the caches; a day ahead, so that every file looks old.
    """

    clock: ManualClock

    def cache(self, value: Any, *, most_bytes: int = 1_000_000, seconds: float = 300) -> Cache[Any]:
        """Return the cache for a type of values; those of one shelf for one type share what they hold."""

    async def age(self, seconds: float) -> None:
        """Make everything older."""

    async def aclose(self) -> None:
        """Let go of connections."""


def tomorrow() -> datetime:
    """Return a time at which files that are made now have not changed for long."""
    return datetime.now(UTC) + timedelta(days=1)


class MemoryShelf:
    """Caches of one process."""

    def __init__(self) -> None:
        self.clock = ManualClock(tomorrow())

    def cache(self, value: Any, *, most_bytes: int = 1_000_000, seconds: float = 300) -> Cache[Any]:
        return BoundedCache(self.clock, most_bytes=most_bytes, seconds=seconds)

    async def age(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def aclose(self) -> None:
        pass


@dataclass
class RedisShelf:
    """Caches in a real Redis, under a prefix of their own."""

    server: RedisServer
    timeout: float = PATIENT
    clock: ManualClock = field(default_factory=lambda: ManualClock(tomorrow()))
    prefix: str = field(default_factory=lambda: f"test-{next(_numbers)}")

    def __post_init__(self) -> None:
        self.connection = RedisConnection(
            self.server.url, timeout=self.timeout, clock=self.clock, logger=logging.getLogger("iskra.plugin.caches")
        )
        self.client: Redis = Redis.from_url(self.server.url, protocol=2)
        """Of the test, for looking behind the caches."""

    def cache(self, value: Any, *, most_bytes: int = 1_000_000, seconds: float = 300) -> RedisCache[Any]:
        name = getattr(value, "__name__", "things").lower()
        return RedisCache(
            self.connection, prefix=self.prefix, name=name, value=value, most_bytes=most_bytes, seconds=seconds
        )

    async def keys(self) -> list[str]:
        """Return the keys of this shelf that hold values."""
        return [key async for key in self._all() if not key.endswith((":index", ":sizes"))]

    async def age(self, seconds: float) -> None:
        """Shorten the time that every key has left, as Redis does while time goes by."""
        self.clock.advance(seconds)
        async for key in self._all():
            left = await self.client.pttl(key)
            if left <= seconds * 1000:
                await self.client.delete(key)
            else:
                await self.client.pexpire(key, int(left - seconds * 1000))

    async def aclose(self) -> None:
        await self.connection.aclose()
        await self.client.aclose()

    async def _all(self) -> Any:
        async for key in self.client.scan_iter(f"{self.prefix}:*"):
            yield key.decode()
