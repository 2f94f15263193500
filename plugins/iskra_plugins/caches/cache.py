"""What both backends of the caches promise."""

from typing import Protocol, TypeVar

T = TypeVar("T")


class Cache(Protocol[T]):
    """Values by key, limited in bytes and age. Nothing here fails: what cannot be looked up is not there."""

    @property
    def is_shared(self) -> bool:
        """Whether values outlive this process and are seen by others: a key must say all that the value depends on."""

    @property
    def hits(self) -> int:
        """How often a value was found."""

    @property
    def misses(self) -> int:
        """How often none was."""

    async def get(self, key: str) -> T | None:
        """Return a value that is young enough."""

    async def put(self, key: str, value: T, size: int) -> None:
        """Keep a value of about ``size`` bytes, unless it takes more than a tenth of the room."""

    async def clear(self) -> bool:
        """Forget everything; return whether that could be done."""

    async def facts(self) -> dict[str, int]:
        """Return how the cache stands, for people: hits and misses of this process, values and bytes if known."""
