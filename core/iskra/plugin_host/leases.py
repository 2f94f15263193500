"""Leases: who uses a catalog holds one, so that nothing in it is taken away meanwhile."""

from collections.abc import Callable
from types import TracebackType

from iskra.plugin_host.catalog import Catalog


class LeasedCatalog:
    """A catalog with the number of its users."""

    __slots__ = ("catalog", "is_current", "leases", "on_idle")

    def __init__(self, catalog: Catalog, on_idle: Callable[["LeasedCatalog"], None]) -> None:
        self.catalog = catalog
        self.leases = 0
        self.is_current = True
        self.on_idle = on_idle


class Lease:
    """The right to use one catalog until it is released.

    Use it as a context manager, or call :meth:`release`; a second release changes nothing.
    """

    __slots__ = ("_held", "catalog")

    def __init__(self, held: LeasedCatalog) -> None:
        held.leases += 1
        self._held: LeasedCatalog | None = held
        self.catalog = held.catalog

    def release(self) -> None:
        """Give the catalog back."""
        held, self._held = self._held, None
        if held is None:
            return
        held.leases -= 1
        if held.leases == 0 and not held.is_current:
            held.on_idle(held)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
