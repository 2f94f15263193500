"""The event bus contract, the same in one process and across instances."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from iskra_sdk.event import Event


class Overflow(StrEnum):
    """What happens when a subscriber's buffer is full. The publisher never waits."""

    DROP_OLDEST = "drop_oldest"
    """The oldest buffered event goes; :attr:`Subscription.dropped` counts it."""
    CLOSE = "close"
    """The subscription ends: the reader gets what is buffered, then ``SubscriberTooSlowError``."""


class Subscription(Protocol):
    """A reader's end of the bus: ``async for event in subscription``."""

    @property
    def dropped(self) -> int:
        """How many events were dropped because the reader was too slow."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Iterate over events until the subscription is closed."""


class EventBus(Protocol):
    """Carries events from publishers to subscribers.

    Promises:
        * Events of one topic reach each subscriber in the order they were published; between topics there is no order.
        * Delivery is at most once in process and at least once across instances: consumers are idempotent
          (``event.id`` tells a repetition).
        * A subscriber sees what is published after ``subscribe`` was entered. History is the session log's business.
        * A slow or raising subscriber never delays or breaks a publisher or another subscriber.
    """

    async def publish(self, event: Event) -> None:
        """Hand ``event`` to the bus.

        Returns when the backend has it (in process: at once). Interceptors of ``bus.publish`` run here.
        """

    def publish_nowait(self, event: Event) -> None:
        """Hand ``event`` over without waiting for the backend; a networked backend sends it in order, soon.

        Used for token deltas and from synchronous code. If the backend is away it may be lost.
        """

    def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe to event types that match ``pattern``, of one ``topic`` or of all.

        Args:
            pattern: Event type or glob, e.g. ``tool.*``.
            topic: ``session/<id>``, ``system``, or ``None`` for every topic.
            buffer: How many events may wait for the reader.
            overflow: What happens when they are more.
        """


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A plugin's reaction to events, run in a task of its own, one event at a time, in order per topic.

    What it raises is logged, counted against the plugin and otherwise ignored.

    Attributes:
        pattern: Event type or glob.
        handle: Called with each event.
        buffer: Events that may wait for it; beyond that the oldest is dropped and counted.
    """

    pattern: str
    handle: Callable[[Event], Awaitable[None]]
    buffer: int = 1024


receiving_plugin: ContextVar[str] = ContextVar("receiving_plugin", default="")
"""At ``bus.deliver``: the plugin whose event handler gets the event; ``Event.source`` says who published it.

Set by the bus for the task of each handler, so tasks that a handler starts inherit it. Empty elsewhere.
"""
