"""Faults of the event bus: events that are late, come again, or not in their turn.

Only what the bus promises nothing about is done by default: each handler still gets every event at least once, one at
a time, and those of one session in their order. The session log and its followers do not pass ``bus.deliver``, so what
is stored and what clients see is never touched.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from iskra_chaos.faults.fault import Fault, Shot
from iskra_chaos.faults.injection import Inject
from iskra_chaos.faults.parameters import BusDelay, DropRedeliver, Duplicate, Partition, Reorder
from iskra_sdk.errors import PluginError
from iskra_sdk.event import EPHEMERAL, Event, EventType
from iskra_sdk.event_bus import receiving_plugin
from iskra_sdk.interceptor import Proceed

logger = logging.getLogger(__name__)

_MOST_HELD = 64
"""Events held back from one handler; more are delivered as if nothing had happened."""
_MOST_PARTED = 1024
"""Events that a partition holds back from one handler; with one more it heals early."""
_MAY_BE_LOST = EPHEMERAL - {EventType.SESSION_DELETED}
"""Types that a partition may lose: nobody has to find them anywhere else. Of a deleted session plugins must
hear, or they keep what they know of it."""
_NEVER_PUSHED_OUT = 1_000_000
"""Later events; an event that only its time brings."""
_LAST_DELIVERY = 1.0
"""Seconds for what is still held when the plugin goes."""

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
"""Runs a job in a task that ends with the plugin."""


class _Held:
    """An event that its handler has yet to get."""

    __slots__ = ("deliver", "due", "event", "is_due", "keeps_order", "left", "overtaken", "shot")

    def __init__(
        self, event: Event, deliver: Proceed, shot: Shot | None, *, left: int, seconds: float, keeps_order: bool
    ) -> None:
        self.event = event
        self.deliver = deliver
        self.shot = shot
        self.left = left
        self.due = shot.fault.lease.age + seconds if shot is not None else 0.0
        self.keeps_order = keeps_order
        self.is_due = shot is None
        self.overtaken = 0

    def is_with(self, shot: Shot) -> bool:
        """Whether it waits for the same partition to heal."""
        return self.shot is not None and self.shot.fault is shot.fault and shot.fault.kind.name == "partition"

    def is_over(self) -> bool:
        """Whether it has waited long enough, if nothing before it waits as well."""
        shot = self.shot
        return self.is_due or shot is None or self.left <= 0 or not shot.is_active or shot.fault.lease.age >= self.due


class Lane:
    """The way to one handler, on which events may be held back.

    Args:
        handler: The handler's task; once it has ended, nothing more is delivered.
        start: Runs the jobs that deliver in time what was held back.
        on_idle: Called when nothing is held any more.
    """

    def __init__(self, handler: "asyncio.Task[Any] | None", start: Start, on_idle: Callable[[], None]) -> None:
        self.turn = asyncio.Lock()
        """Held while the handler is busy: it gets one event at a time, whoever brings it."""
        self._handler = handler
        self._start = start
        self._on_idle = on_idle
        self._held: list[_Held] = []
        self._bringing = 0

    @property
    def is_busy(self) -> bool:
        """Whether events are held, or on their way in a task that is not the handler's."""
        return bool(self._held) or self._bringing > 0

    def towards(self, proceed: Proceed) -> Proceed:
        """Return how an event goes on: to the handler, or behind the held events of its topic."""

        async def deliver(event: Event) -> None:
            if any(item.keeps_order and item.event.topic == event.topic for item in self._held):
                self._held.append(_Held(event, proceed, None, left=0, seconds=0.0, keeps_order=True))
                return
            try:
                await proceed(event)
            finally:
                for item in self._held:
                    item.left -= 1
                    item.overtaken += 1

        return deliver

    def hold(
        self, shot: Shot, event: Event, proceed: Proceed, *, later_events: int, seconds: float, keeps_order: bool
    ) -> bool:
        """Keep an event until so many later ones were delivered, ``seconds`` are over or the fault ends.

        Returns ``False`` when too many are held already, or the plugin is going.
        """
        if len(self._held) >= _MOST_HELD:
            return False
        item = _Held(event, proceed, shot, left=later_events, seconds=seconds, keeps_order=keeps_order)
        return self._keep(item, shot, seconds)

    def part(self, shot: Shot, event: Event, proceed: Proceed, *, seconds: float) -> bool:
        """Keep an event until a partition heals, in ``seconds`` or with the fault, together with all that it parts.

        Returns ``False`` when too many are held, which heals this lane's side of it, or the plugin is going.
        """
        parted = [item for item in self._held if item.is_with(shot)]
        if len(self._held) >= _MOST_PARTED:
            for item in parted:
                item.is_due = True
            return False
        item = _Held(event, proceed, shot, left=_NEVER_PUSHED_OUT, seconds=seconds, keeps_order=True)
        if not parted:
            return self._keep(item, shot, seconds)
        item.due = parted[0].due  # the one job brings them all
        self._held.append(item)
        return True

    def _keep(self, item: _Held, shot: Shot, seconds: float) -> bool:
        try:
            self._start(lambda: self._bring(item, shot, seconds))
        except PluginError:
            return False
        self._held.append(item)
        return True

    async def release(self) -> list[Exception]:
        """Deliver what is due, in the order in which it came; return what the handler raised."""
        errors: list[Exception] = []
        blocked: set[str] = set()
        for item in tuple(self._held):
            topic = item.event.topic
            if topic in blocked:
                continue
            if not item.is_over():
                if item.keeps_order:
                    blocked.add(topic)
                continue
            self._held.remove(item)
            if self._handler is not None and self._handler.done():
                continue
            if item.shot is not None and (item.overtaken or item.shot.fault.kind.name != "reorder"):
                item.shot.observe()
            try:
                await item.deliver(item.event)
            except Exception as exc:
                errors.append(exc)
        return errors

    async def _bring(self, item: _Held, shot: Shot, seconds: float) -> None:
        """Deliver an event that no later one pushes out."""
        try:
            await shot.fault.lease.wait(seconds)
            await self._release_after(item)
        except asyncio.CancelledError:
            item.is_due = True
            await self.flush()
            raise
        if not self.is_busy:
            self._on_idle()

    async def flush(self) -> None:
        """Deliver what is still held and may go; for the end of the plugin, which does not wait long."""
        if self._held:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_DELIVERY):
                    await self._release_after(self._held[0])

    async def _release_after(self, item: _Held) -> None:
        """Call an event due, with all that one partition holds, and deliver what can go in the handler's next pause."""
        for held in self._held:
            held.is_due |= held is item or (item.shot is not None and held.is_with(item.shot))
        self._bringing += 1
        try:
            async with self.turn:
                for error in await self.release():
                    logger.warning("event handler failed", extra={"event_type": item.event.type}, exc_info=error)
        finally:
            self._bringing -= 1


class Lanes:
    """The lanes of all handlers, told apart by the task that each of them has."""

    def __init__(self, start: Start, on_idle: Callable[[], None]) -> None:
        self._start = start
        self._on_idle = on_idle
        self._lanes: WeakKeyDictionary[asyncio.Task[Any], Lane] = WeakKeyDictionary()

    @property
    def are_busy(self) -> bool:
        """Whether any handler has yet to get something."""
        return any(lane.is_busy for lane in self._lanes.values())

    async def flush(self) -> None:
        """Deliver what is still held; its faults have ended."""
        for lane in list(self._lanes.values()):
            await lane.flush()

    def lane(self) -> Lane:
        """Return the lane of the handler whose task this is."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an event is delivered by a task")
        lane = self._lanes.get(task)
        if lane is None:
            lane = self._lanes[task] = Lane(task, self._start, self._on_idle)
        return lane


class OrderInject(Protocol):
    """An injector that may hold an event back."""

    def __call__(self, shot: Shot, event: Event, proceed: Proceed, lane: Lane, direct: Proceed) -> Awaitable[None]: ...


async def _delay(shot: Shot, event: Event, proceed: Proceed) -> None:
    given = shot.parameters(BusDelay)
    jitter = given.jitter_ms * (2.0 * shot.draw("jitter") - 1.0) if given.jitter_ms else 0.0
    await shot.wait((given.delay_ms + jitter) / 1000.0)
    await proceed(event)


async def _duplicate(shot: Shot, event: Event, proceed: Proceed) -> None:
    await proceed(event)
    for _ in range(shot.parameters(Duplicate).copies):
        if shot.is_active:
            shot.observe()
            await proceed(event)


async def _reorder(shot: Shot, event: Event, proceed: Proceed, lane: Lane, direct: Proceed) -> None:
    given = shot.parameters(Reorder)
    later_events = 1 + int(shot.draw("window") * given.window)
    seconds, keeps_order = given.longest_ms / 1000.0, given.keeps_topic_order
    if not lane.hold(shot, event, direct, later_events=later_events, seconds=seconds, keeps_order=keeps_order):
        await proceed(event)


async def _drop_and_redeliver(shot: Shot, event: Event, proceed: Proceed, lane: Lane, direct: Proceed) -> None:
    given = shot.parameters(DropRedeliver)
    if given.is_processed:
        await proceed(event)
    keeps_order = given.keeps_topic_order and not given.is_processed
    seconds = given.redeliver_after_ms / 1000.0
    is_held = lane.hold(shot, event, direct, later_events=_NEVER_PUSHED_OUT, seconds=seconds, keeps_order=keeps_order)
    if not is_held and not given.is_processed:
        await proceed(event)


def _is_cut_off(fault: Fault, event: Event) -> bool:
    """Return whether an event would have to cross a partition to the handler whose task this is."""
    given = fault.parameters
    if not isinstance(given, Partition) or fault.lease.age * 1000.0 >= given.heals_after_ms:
        return False
    ends = (event.source, receiving_plugin.get())
    return _connects(given, *ends) or (given.is_mutual and _connects(given, *reversed(ends)))


def _connects(given: Partition, publisher: str, receiver: str) -> bool:
    return given.publisher in ("", publisher) and given.receiver in ("", receiver)


async def _cut_off(shot: Shot, event: Event, proceed: Proceed, lane: Lane, direct: Proceed) -> None:
    given = shot.parameters(Partition)
    if given.loses_passing and event.type in _MAY_BE_LOST:
        shot.observe()
        return
    if not lane.part(shot, event, direct, seconds=given.heals_after_ms / 1000.0 - shot.fault.lease.age):
        await proceed(event)


PUBLISHES: Mapping[str, Inject] = {"delay": _delay}
DELIVERIES: Mapping[str, Inject] = {"delay": _delay, "duplicate": _duplicate}
ORDERS: Mapping[str, OrderInject] = {
    "reorder": _reorder,
    "drop_redeliver": _drop_and_redeliver,
    "partition": _cut_off,
}
"""Faults of ``bus.deliver`` that need the handler's lane."""
CONCERNS: Mapping[str, Callable[[Fault, Event], bool]] = {"partition": _is_cut_off}
"""Kinds that only some deliveries are counted for."""
