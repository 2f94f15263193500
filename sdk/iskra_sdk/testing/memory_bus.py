"""A small event bus for tests of plugins."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iskra_sdk.errors import SubscriberTooSlowError
from iskra_sdk.event import Event, matches
from iskra_sdk.event_bus import Overflow


class MemorySubscription:
    """A subscription of :class:`MemoryEventBus`."""

    def __init__(self, pattern: str, topic: str | None, buffer: int, overflow: Overflow) -> None:
        if buffer < 1:
            raise ValueError(f"a subscriber needs a buffer of at least one event, not {buffer}")
        self.dropped = 0
        self._pattern = pattern
        self._topic = topic
        self._limit = buffer
        self._overflow = overflow
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._is_open = True
        self._is_too_slow = False

    def offer(self, event: Event) -> None:
        """Take the event in if it is wanted."""
        if not self._is_open or self._topic not in (None, event.topic) or not matches(self._pattern, event.type):
            return
        if len(self._events) >= self._limit:
            if self._overflow is Overflow.CLOSE:
                self._is_too_slow = True
                self.close()
                return
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        """Take nothing more in."""
        self._is_open = False
        self._changed.set()

    def clear(self) -> None:
        """Forget what is buffered."""
        self._events.clear()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Iterate until the subscription is closed."""
        while self._is_open or self._events:
            while self._events:
                yield self._events.popleft()
            self._changed.clear()
            if self._is_open:
                await self._changed.wait()
        if self._is_too_slow:
            raise SubscriberTooSlowError(
                f"The subscription to {self._pattern!r} ended: {self._limit} events were waiting for its reader.",
                mend="Read faster, give it a larger buffer, or subscribe with Overflow.DROP_OLDEST.",
            )


class MemoryEventBus:
    """A real :class:`~iskra_sdk.event_bus.EventBus` in memory that also remembers what was published.

    Attributes:
        published: The latest events, oldest first; see ``remember``.

    Args:
        remember: How many events :attr:`published` keeps.
    """

    def __init__(self, *, remember: int = 10_000) -> None:
        self.published: deque[Event] = deque(maxlen=remember)
        self._subscriptions: list[MemorySubscription] = []

    async def publish(self, event: Event) -> None:
        """Hand the event to every subscriber that wants it."""
        self.publish_nowait(event)

    def publish_nowait(self, event: Event) -> None:
        """Do the same from synchronous code."""
        self.published.append(event)
        for subscription in list(self._subscriptions):
            subscription.offer(event)

    @asynccontextmanager
    async def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AsyncIterator[MemorySubscription]:
        """Subscribe; see :meth:`iskra_sdk.event_bus.EventBus.subscribe`."""
        subscription = MemorySubscription(pattern, topic, buffer, overflow)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            subscription.close()
            subscription.clear()
