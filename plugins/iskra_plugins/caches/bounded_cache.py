"""A cache with a limit on bytes and age, the least recently used going first."""

from collections import OrderedDict
from typing import Generic, TypeVar

from iskra_sdk.clock import Clock

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Values by key.

    Args:
        clock: Measures age.
        most_bytes: Size of all values together, as their users count it.
        seconds: Age at which a value counts no more.

    Attributes:
        hits: How often a value was found.
        misses: How often none was.
    """

    def __init__(self, clock: Clock, *, most_bytes: int, seconds: float) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._held: OrderedDict[str, tuple[float, int, T]] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> T | None:
        """Return a value that is young enough."""
        found = self._held.get(key)
        if found is not None and self._clock.monotonic() - found[0] < self._seconds:
            self._held.move_to_end(key)
            self.hits += 1
            return found[2]
        if found is not None:
            self.drop(key)
        self.misses += 1
        return None

    def put(self, key: str, value: T, size: int) -> None:
        """Keep a value, unless it is larger than a tenth of the room."""
        self.drop(key)
        if size > self._most_bytes // 10:
            return
        self._held[key] = (self._clock.monotonic(), size, value)
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, (_, freed, _) = self._held.popitem(last=False)
            self._bytes -= freed

    def drop(self, key: str) -> None:
        """Forget a value."""
        found = self._held.pop(key, None)
        if found is not None:
            self._bytes -= found[1]

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._bytes = 0

    @property
    def facts(self) -> dict[str, int]:
        """How the cache stands, for people."""
        return {"values": len(self._held), "bytes": self._bytes, "hits": self.hits, "misses": self.misses}
