"""What both backends of the caches promise."""

from typing import Protocol, TypeVar

T = TypeVar("T")


class Cache(Protocol[T]):
    """Values by key, limited in bytes and age. Nothing here fails: what cannot be looked up is not there.

    Attributes:
        is_shared: Whether values outlive this process and are seen by others, so that a key must say everything that
            the value depends on.
        hits: How often a value was found.
        misses: How often none was.
    """

    is_shared: bool
    hits: int
    misses: int

    async def get(self, key: str) -> T | None:
        """Return a value that is young enough."""

    async def put(self, key: str, value: T, size: int) -> None:
        """Keep a value of about ``size`` bytes, unless it takes more than a tenth of the room."""

    async def clear(self) -> bool:
        """Forget everything; return whether that could be done."""

    async def facts(self) -> dict[str, int]:
        """Return how the cache stands, for people: hits and misses of this process, values and bytes if known."""
