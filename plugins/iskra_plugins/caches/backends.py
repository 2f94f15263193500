"""Makes the caches that the settings ask for."""

import importlib.util
import logging
from typing import TYPE_CHECKING, Any, Protocol

from iskra_plugins.caches.answers import KeptAnswer
from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.cache import Cache
from iskra_plugins.caches.settings import CacheSettings
from iskra_sdk import ToolResult
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from iskra_plugins.caches.redis_connection import RedisConnection


class Backend(Protocol):
    """Where values are kept."""

    name: str
    tool_results: Cache[ToolResult]
    answers: Cache[KeptAnswer]

    async def is_reachable(self) -> bool:
        """Return whether values can be kept and found now."""

    async def aclose(self) -> None:
        """Let go of what it holds open."""


class MemoryBackend:
    """Keeps values in the server's own memory."""

    name = "memory"

    def __init__(self, settings: CacheSettings, clock: Clock) -> None:
        self.tool_results: Cache[ToolResult] = BoundedCache(
            clock, most_bytes=settings.tool_bytes, seconds=settings.tool_seconds
        )
        self.answers: Cache[KeptAnswer] = BoundedCache(
            clock, most_bytes=settings.answer_bytes, seconds=settings.answer_seconds
        )

    async def is_reachable(self) -> bool:
        """Return true."""
        return True

    async def aclose(self) -> None:
        """Do nothing."""


class RedisBackend:
    """Keeps values in Redis, both kinds over one connection pool."""

    name = "redis"

    def __init__(self, settings: CacheSettings, connection: "RedisConnection") -> None:
        from iskra_plugins.caches.redis_cache import RedisCache

        def cache(name: str, value: Any, most_bytes: int, seconds: float) -> RedisCache[Any]:
            return RedisCache(
                connection,
                prefix=settings.redis_prefix,
                name=name,
                value=value,
                most_bytes=most_bytes,
                seconds=seconds,
            )

        self.tool_results: Cache[ToolResult] = cache("tools", ToolResult, settings.tool_bytes, settings.tool_seconds)
        self.answers: Cache[KeptAnswer] = cache("answers", KeptAnswer, settings.answer_bytes, settings.answer_seconds)
        self._connection = connection

    async def is_reachable(self) -> bool:
        """Ask Redis."""
        return await self._connection.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()


def make_backend(settings: CacheSettings, clock: Clock, logger: logging.Logger) -> Backend:
    """Return the backend that the settings name; nothing is connected yet.

    Raises:
        ConfigurationError: The package redis is missing, or the URL is none.
    """
    if settings.backend == "memory" or settings.redis_url is None:
        return MemoryBackend(settings, clock)
    if importlib.util.find_spec("redis") is None:
        raise ConfigurationError(
            "The caches are to be kept in Redis, and the Python package redis is not installed.",
            mend="Install it with: pip install 'iskra[redis]'",
        )
    from iskra_plugins.caches.redis_connection import RedisConnection

    url = settings.redis_url.get_secret_value()
    return RedisBackend(settings, RedisConnection(url, timeout=settings.redis_timeout, clock=clock, logger=logger))
