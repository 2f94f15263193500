"""The event bus of one process."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from threading import get_ident
from types import TracebackType

from iskra.interceptors import Points
from iskra_sdk.errors import SubscriberTooSlowError
from iskra_sdk.event import SYSTEM_TOPIC, Event, matches
from iskra_sdk.event_bus import EventHandler, Overflow, receiving_plugin
from iskra_sdk.interceptor import Point

logger = logging.getLogger(__name__)

_CACHED_TYPES = 1024
"""Event types whose readers are remembered per index; a plugin that invents names must not fill the memory."""
_SESSION_TOPIC = "session/"


class _Reader:
    """A bounded buffer of events and the task that waits for them."""

    __slots__ = ("_index", "_overflow", "buffer", "dropped", "error", "is_open", "limit", "loop", "pattern", "waiter")

    def __init__(self, pattern: str, index: "_Index", limit: int, overflow: Overflow) -> None:
        self.pattern = pattern
        self.buffer: deque[Event] = deque()
        self.dropped = 0
        self.error: SubscriberTooSlowError | None = None
        self.is_open = True
        self.loop = asyncio.get_running_loop()
        self._index = index
        self.limit = limit
        self._overflow = overflow
        self.waiter: asyncio.Future[None] | None = None
        index.add(self)

    def overflow(self, event: Event) -> None:
        """Do with an event that finds the buffer full what the subscriber asked for."""
        if self._overflow is Overflow.CLOSE:
            self.error = SubscriberTooSlowError(
                f"The subscription to {self.pattern!r} ended: {self.limit} events were waiting for its reader.",
                mend="Read faster, give it a larger buffer, or subscribe with Overflow.DROP_OLDEST.",
            )
            self.close()
            return
        self.buffer.popleft()
        self.dropped += 1
        self.buffer.append(event)

    def close(self) -> None:
        """Take no more events in; what is buffered can still be read."""
        if self.is_open:
            self.is_open = False
            self._index.remove(self)
        if self.waiter is not None:
            self.wake()

    async def wait(self) -> bool:
        """Wait until there is an event; ``False`` when there will be none."""
        while not self.buffer:
            if not self.is_open:
                return False
            if self.waiter is not None:
                raise RuntimeError("a subscription can be read by one task at a time")
            waiter = self.waiter = self.loop.create_future()
            try:
                await waiter
            finally:
                if self.waiter is waiter:
                    self.waiter = None
        return True

    def wake(self) -> None:
        """Let the waiting task go on."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _Index:
    """Readers of one topic, or of all topics, and which of them want which type."""

    __slots__ = ("_on_empty", "readers", "routes")

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self.readers: list[_Reader] = []
        self.routes: dict[str, tuple[_Reader, ...]] = {}
        self._on_empty = on_empty

    def add(self, reader: _Reader) -> None:
        self.readers.append(reader)
        self.routes.clear()

    def remove(self, reader: _Reader) -> None:
        self.readers.remove(reader)
        self.routes.clear()
        if not self.readers:
            self._on_empty()

    def match(self, event_type: str) -> tuple[_Reader, ...]:
        """Find the readers of a type and remember them."""
        if len(self.routes) >= _CACHED_TYPES:
            self.routes.clear()
        found = tuple(reader for reader in self.readers if matches(reader.pattern, event_type))
        self.routes[event_type] = found
        return found


class InProcessSubscription:
    """A reader's end of the bus; see :class:`iskra_sdk.event_bus.Subscription`."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    @property
    def dropped(self) -> int:
        return self._reader.dropped

    def __aiter__(self) -> "InProcessSubscription":
        return self

    async def __anext__(self) -> Event:
        reader = self._reader
        if reader.buffer or await reader.wait():
            return reader.buffer.popleft()
        if reader.error is not None:
            raise reader.error
        raise StopAsyncIteration

    async def batch(self) -> list[Event]:
        """Return all events that wait, after waiting for the first; empty when the subscription was closed.

        Raises:
            SubscriberTooSlowError: The buffer overflowed and the policy is ``CLOSE``.
        """
        reader = self._reader
        if not reader.buffer and not await reader.wait() and reader.error is not None:
            raise reader.error
        events = list(reader.buffer)
        reader.buffer.clear()
        return events


class _Subscribing(AbstractAsyncContextManager[InProcessSubscription]):
    """Enters and leaves a subscription."""

    def __init__(self, start: Callable[[], _Reader]) -> None:
        self._start = start
        self._reader: _Reader | None = None

    async def __aenter__(self) -> InProcessSubscription:
        if self._reader is not None:
            raise RuntimeError("a subscription can be entered once")
        self._reader = self._start()
        return InProcessSubscription(self._reader)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader.buffer.clear()


class HandlerRegistration:
    """An event handler in service.

    Calling it takes the handler out of service: it gets no new events, those that wait are handled
    within ``grace`` seconds, then its task ends.
    """

    def __init__(self, reader: _Reader, task: asyncio.Task[None], grace: float) -> None:
        self._reader = reader
        self._task = task
        self._grace = grace
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def dropped(self) -> int:
        """Events dropped because the handler was too slow."""
        return self._reader.dropped

    def __call__(self) -> None:
        if self._deadline is None and not self._task.done():
            self._reader.close()
            self._deadline = self._reader.loop.call_later(self._grace, self._task.cancel)
            self._task.add_done_callback(lambda _: self._clear())

    async def wait(self) -> None:
        """Wait until a handler taken out of service has ended."""
        await asyncio.wait([self._task])

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


class InProcessEventBus:
    """Carries events within one process; see :class:`iskra_sdk.event_bus.EventBus`.

    Args:
        points: Where the interceptors of ``bus.publish`` and ``bus.deliver`` are found.
        on_failure: Called with the owner and the error when an event handler raises; it may be set later.
    """

    def __init__(self, points: Points, *, on_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self.on_failure = on_failure
        self._publish_slot = points.slot(Point.BUS_PUBLISH)
        self._deliver_slot = points.slot(Point.BUS_DELIVER)
        # A session that nobody follows costs nothing: its index goes with its last reader.
        self._sessions: dict[str | None, _Index] = {}
        self._everywhere = _Index(lambda: None)
        self._handlers: set[asyncio.Task[None]] = set()
        self._thread = get_ident()

    async def publish(self, event: Event) -> None:
        chain = self._publish_slot.chain
        if chain is None:
            self.publish_nowait(event)
        else:
            await chain(event, self._publish_intercepted)

    def publish_nowait(self, event: Event) -> None:
        event_type = event.type
        readers = self._everywhere.routes.get(event_type)
        if readers is None:
            readers = self._everywhere.match(event_type)
        if self._sessions:
            index = self._sessions.get(event.session_id)
            if index is not None:
                found = index.routes.get(event_type)
                readers += index.match(event_type) if found is None else found
        if not readers:
            return
        if get_ident() != self._thread:
            readers[0].loop.call_soon_threadsafe(self.publish_nowait, event)
            return
        for reader in readers:
            if len(reader.buffer) < reader.limit:
                reader.buffer.append(event)
                if reader.waiter is not None:
                    reader.wake()
            else:
                reader.overflow(event)

    def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AbstractAsyncContextManager[InProcessSubscription]:
        return _Subscribing(lambda: self._reader(pattern, topic, buffer, overflow))

    def on(self, handler: EventHandler, owner: str, *, grace: float = 5.0) -> HandlerRegistration:
        """Put an event handler into service, in a task of its own.

        Args:
            handler: What to call with which events.
            owner: The plugin that failures are counted against.
            grace: Seconds the handler gets for waiting events once it is taken out of service.

        Returns:
            The registration; call it to take the handler out of service.
        """
        reader = self._reader(handler.pattern, None, handler.buffer, Overflow.DROP_OLDEST)
        task = asyncio.get_running_loop().create_task(
            self._serve(reader, handler, owner), name=f"event handler of {owner}"
        )
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        task.add_done_callback(lambda _: reader.close())
        return HandlerRegistration(reader, task, grace)

    async def aclose(self) -> None:
        """End all event handlers at once, also those that are still in service."""
        tasks = list(self._handlers)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _reader(self, pattern: str, topic: str | None, limit: int, overflow: Overflow) -> _Reader:
        if limit < 1:
            raise ValueError(f"a subscriber needs a buffer of at least one event, not {limit}")
        # Publishing from another thread is told by this; the bus may have been made outside of the loop's thread.
        self._thread = get_ident()
        return _Reader(pattern, self._index(topic), limit, overflow)

    def _index(self, topic: str | None) -> _Index:
        if topic is None:
            return self._everywhere
        key = None if topic == SYSTEM_TOPIC else topic.removeprefix(_SESSION_TOPIC)
        if key is not None and not topic.startswith(_SESSION_TOPIC):
            raise ValueError(f"a topic is 'session/<id>' or 'system', not {topic!r}")
        if key not in self._sessions:
            self._sessions[key] = _Index(lambda: self._forget(key))
        return self._sessions[key]

    def _forget(self, key: str | None) -> None:
        del self._sessions[key]

    async def _publish_intercepted(self, event: Event) -> None:
        self.publish_nowait(event)

    async def _serve(self, reader: _Reader, handler: EventHandler, owner: str) -> None:
        receiving_plugin.set(owner)  # the task is the handler's own
        buffer = reader.buffer
        reported = 0
        while buffer or await reader.wait():
            # What is handled in one go is bounded, so that a handler that feeds itself cannot hold the loop.
            for _ in range(len(buffer)):
                if not buffer:
                    break
                chain = self._deliver_slot.chain
                event = buffer.popleft()
                try:
                    if chain is None:
                        await handler.handle(event)
                    else:
                        await chain(event, handler.handle)
                except asyncio.CancelledError as error:
                    if _is_being_cancelled():
                        raise
                    self._report(owner, event, error)
                except BaseException as error:  # a plugin's SystemExit would end the loop
                    self._report(owner, event, error)
            if reader.dropped > 2 * reported:  # a flood of events must not become a flood of log lines
                logger.warning(
                    "event handler too slow",
                    extra={"plugin": owner, "pattern": handler.pattern, "dropped": reader.dropped},
                )
                reported = reader.dropped
            if buffer:
                await asyncio.sleep(0)

    def _report(self, owner: str, event: Event, error: BaseException) -> None:
        logger.warning("event handler failed", extra={"plugin": owner, "event_type": event.type}, exc_info=error)
        if self.on_failure is not None:
            try:
                self.on_failure(owner, error)
            except Exception:
                logger.exception("counting a failed event handler failed", extra={"plugin": owner})


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
