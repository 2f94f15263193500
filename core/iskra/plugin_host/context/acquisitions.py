"""What one generation of a plugin has acquired, and how it is released."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from iskra.plugin_host.code_owners import contained
from iskra_sdk.errors import PluginError

_RELEASE_TIMEOUT = 10.0  # seconds one release of a plugin may take

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Released:
    """What was taken back when a generation went: counted by kind, and what would not go, by name."""

    counts: dict[str, int] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1


class Acquisitions:
    """Everything a generation acquired, released last first."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._releases: dict[int, tuple[str, Callable[[], Awaitable[None] | None]]] = {}
        self._next = 0
        self.is_closed = False

    def add(self, kind: str, release: Callable[[], Awaitable[None] | None]) -> int:
        """Remember a release; the number given back takes it out again."""
        if self.is_closed:
            raise PluginError(self._plugin, "it is being unloaded and can acquire nothing more.")
        self._next += 1
        self._releases[self._next] = (kind, release)
        return self._next

    def discard(self, number: int) -> None:
        """Forget a release: the plugin did it itself."""
        self._releases.pop(number, None)

    async def release(self, released: Released) -> None:
        """Release everything, also what is acquired meanwhile; whatever fails is named and passed over."""
        while self._releases:
            _, (kind, release) = self._releases.popitem()
            try:
                async with asyncio.timeout(_RELEASE_TIMEOUT):
                    waiting = contained(release, self._plugin)
                    if inspect.isawaitable(waiting):
                        await waiting
                released.count(kind)
            except TimeoutError:
                released.stuck.append(f"{kind}: not released within {_RELEASE_TIMEOUT:g} s")
            except Exception as exc:
                released.stuck.append(f"{kind}: {type(exc).__name__} while it was released")
                logger.warning("release failed", extra={"plugin": self._plugin, "kind": kind}, exc_info=exc)
        self.is_closed = True
