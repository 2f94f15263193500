"""What is written down about plugins: their records and the audit log in the store, and events on the bus."""

from collections.abc import Mapping

from iskra.plugin_host.generation import HandlerBus
from iskra.plugin_host.known_plugin import KnownPlugin
from iskra_sdk.clock import Clock
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    AppendAudit,
    AuditEntry,
    Change,
    PluginRecord,
    PutPlugin,
    PutPluginValue,
    SessionStore,
)

_KERNEL = "kernel"  # no plugin may have this name
_STARTING = "starting"


class PluginRecords:
    """Reads and writes the plugins' records, and tells about changes.

    Args:
        store: Where records and the audit log are kept.
        bus: Where events go.
        clock: Time.
    """

    def __init__(self, store: SessionStore, bus: HandlerBus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def read(self) -> Mapping[str, PluginRecord]:
        """Return all records by plugin name."""
        return {record.name: record for record in await self._store.plugins()}

    async def remember(
        self,
        plugin: KnownPlugin,
        record: PluginRecord,
        action: str = "",
        principal: Principal = SYSTEM,
        **facts: object,
    ) -> None:
        """Write a plugin's record, with an entry in the audit log if there is an action."""
        changes: list[Change] = [PutPlugin(record)]
        if action:
            changes.append(self._entry(action, plugin.name, principal, facts))
        await self._store.apply(changes)
        plugin.record = record

    async def audit(self, action: str, target: str, principal: Principal, **facts: object) -> None:
        """Write an entry into the audit log."""
        await self._store.apply([self._entry(action, target, principal, facts)])

    def _entry(self, action: str, target: str, principal: Principal, facts: Mapping[str, object]) -> AppendAudit:
        return AppendAudit(AuditEntry(self._clock.now(), principal.id, action, target, facts))

    def publish(
        self, kind: EventType, plugin: str, data: Mapping[str, object], *, severity: Severity = Severity.INFO
    ) -> None:
        """Tell about a plugin on the bus."""
        self._bus.publish_nowait(Event(kind, {"plugin": plugin, **data}, at=self._clock.now(), severity=severity))

    async def begin_start(self) -> bool:
        """Note that plugins are being loaded; return whether the last start never got past that."""
        crashed = await self._store.plugin_value(_KERNEL, _STARTING) is not None
        await self._store.apply([PutPluginValue(_KERNEL, _STARTING, True)])
        return crashed

    async def end_start(self) -> None:
        """Note that all plugins are loaded."""
        await self._store.apply([PutPluginValue(_KERNEL, _STARTING, None)])
