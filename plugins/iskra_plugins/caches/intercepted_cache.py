"""A cache whose look-ups pass the point ``cache.get``, so that other plugins can wrap them."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from iskra_plugins.caches.cache import Cache
from iskra_sdk.errors import IskraError
from iskra_sdk.interceptor import Point, Proceed

T = TypeVar("T")

AtPoint = Callable[[Point, Any, Proceed], Awaitable[Any]]


class InterceptedCache(Generic[T]):
    """Looks up through interceptors; what they raise counts as nothing found.

    Args:
        cache: The real one.
        at_point: ``PluginContext.at_point``.
    """

    def __init__(self, cache: Cache[T], at_point: AtPoint) -> None:
        self.cache = cache
        self.is_shared = cache.is_shared
        self._at_point = at_point
        self.put = cache.put
        self.clear = cache.clear
        self.facts = cache.facts

    @property
    def hits(self) -> int:
        """How often a value was found."""
        return self.cache.hits

    @property
    def misses(self) -> int:
        """How often none was."""
        return self.cache.misses

    async def get(self, key: str) -> T | None:
        """Return a value that is young enough."""
        try:
            found: T | None = await self._at_point(Point.CACHE_GET, key, self.cache.get)
        except IskraError:
            return None
        return found
