"""The cache in the server's own memory, the least recently used value going first."""

from collections import OrderedDict
from typing import Generic, TypeVar

from iskra_sdk.clock import Clock

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """A :class:`~iskra_plugins.caches.cache.Cache` of one process.

    Args:
        clock: Measures age.
        most_bytes: Size of all values together, as their users count it.
        seconds: Age at which a value counts no more.
    """

    is_shared = False

    def __init__(self, clock: Clock, *, most_bytes: int, seconds: float) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._held: OrderedDict[str, tuple[float, int, T]] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    async def get(self, key: str) -> T | None:
        """Return a value that is young enough."""
        found = self._held.get(key)
        if found is not None and self._clock.monotonic() - found[0] < self._seconds:
            self._held.move_to_end(key)
            self.hits += 1
            return found[2]
        if found is not None:
            self._drop(key)
        self.misses += 1
        return None

    async def put(self, key: str, value: T, size: int) -> None:
        """Keep a value, unless it is larger than a tenth of the room."""
        self._drop(key)
        if size > self._most_bytes // 10:
            return
        self._held[key] = (self._clock.monotonic(), size, value)
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, (_, freed, _) = self._held.popitem(last=False)
            self._bytes -= freed

    async def clear(self) -> bool:
        """Forget everything."""
        self._held.clear()
        self._bytes = 0
        return True

    async def facts(self) -> dict[str, int]:
        """Return how the cache stands."""
        return {"values": len(self._held), "bytes": self._bytes, "hits": self.hits, "misses": self.misses}

    def _drop(self, key: str) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
