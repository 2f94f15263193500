"""The event bus as one plugin sees it: its events carry its name, and are counted."""

import logging
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import TracebackType

from iskra.plugin_host.context.acquisitions import Acquisitions
from iskra.plugin_host.context.allowance import Allowance
from iskra.plugin_host.context.host_services import HostServices
from iskra_sdk.errors import PermissionDeniedError, PluginError
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventBus, Overflow, Subscription

_EVENTS_PER_SECOND = 1000.0
_EVENT_BURST = 5000.0

logger = logging.getLogger(__name__)


class _TrackedSubscription(AbstractAsyncContextManager[Subscription]):
    def __init__(self, inner: AbstractAsyncContextManager[Subscription], acquisitions: Acquisitions) -> None:
        self._inner = inner
        self._acquisitions = acquisitions
        self._number = 0

    async def __aenter__(self) -> Subscription:
        subscription = await self._inner.__aenter__()
        self._number = self._acquisitions.add("subscriptions", self._close)
        return subscription

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._acquisitions.discard(self._number)
        return await self._inner.__aexit__(kind, error, traceback)

    async def _close(self) -> None:
        await self._inner.__aexit__(None, None, None)


class PluginEvents:
    """The bus for one plugin: its events carry its name, and a flood of them is cut."""

    def __init__(self, name: str, bus: EventBus, host: HostServices, acquisitions: Acquisitions) -> None:
        self._name = name
        self._bus = bus
        self._host = host
        self._acquisitions = acquisitions
        self._allowance = Allowance(_EVENTS_PER_SECOND, _EVENT_BURST)
        self._reported_at = 0.0

    async def publish(self, event: Event) -> None:
        signed = self._signed(event)
        if signed is not None:
            await self._bus.publish(signed)

    def publish_nowait(self, event: Event) -> None:
        signed = self._signed(event)
        if signed is not None:
            self._bus.publish_nowait(signed)

    def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AbstractAsyncContextManager[Subscription]:
        inner = self._bus.subscribe(pattern, topic=topic, buffer=buffer, overflow=overflow)
        return _TrackedSubscription(inner, self._acquisitions)

    def _signed(self, event: Event) -> Event | None:
        """Return the event in the plugin's name, or ``None`` where it publishes too many."""
        if not event.type.startswith(f"{self._name}."):
            raise PermissionDeniedError(
                f"The plugin {self._name!r} may not publish events of the type {event.type!r}.",
                mend=f"Begin its own types with `{self._name}.`.",
                facts={"plugin": self._name, "event_type": event.type},
            )
        return replace(event, source=self._name) if self.admit(event.type) else None

    def admit(self, event_type: str) -> bool:
        """Return whether one more event is within bounds; where it is not, that is counted against the plugin."""
        if self._allowance.take():
            return True
        now = time.monotonic()
        if now - self._reported_at >= 1:
            self._reported_at = now
            logger.warning("event flood", extra={"plugin": self._name, "event_type": event_type})
            flood = PluginError(self._name, f"it publishes more than {_EVENTS_PER_SECOND:g} events a second.")
            self._host.record_failure(self._name, flood)
        return False
