"""Tells what happens: events in the specification's shape, on the bus and so on every wire."""

import logging
import uuid
from collections.abc import Mapping
from typing import Literal

from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext

logger = logging.getLogger(__name__)

ChaosEventType = Literal[
    "chaos_initiated",
    "chaos_completed",
    "ethical_concern",
    "paradox_detected",
    "emergence_occurred",
    "system_state",
]


class Telling:
    """Publishes the plugin's events as ``chaos.<type>``.

    Telling never fails: what is told has happened already, and must not be undone because nobody could be told.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def tell(
        self,
        event_type: ChaosEventType,
        data: Mapping[str, object],
        *,
        session_id: str = "",
        severity: Severity = Severity.INFO,
        source: str = "chaos_engine",
    ) -> None:
        """Publish an event; ``data`` is JSON-able and holds no contents of messages."""
        now = self._context.clock.now()
        body = {
            "event_id": str(uuid.uuid4()),
            "event_type": event_type,
            "timestamp": now.isoformat(),
            "source": source,
            "severity": str(severity),
            "data": dict(data),
        }
        event = Event(
            f"chaos.{event_type}",
            body,
            session_id=SessionId(session_id) if session_id else None,
            at=now,
            severity=severity,
        )
        try:
            await self._context.events.publish(event)
        except Exception:
            logger.warning("chaos event was not published", extra={"type": event_type}, exc_info=True)

    async def process(self, event_type: ChaosEventType, process: ChaosProcess, **more: object) -> None:
        """Publish an event about a process; what it changes is only counted, since that quotes the conversation."""
        data = {
            "process_id": process.id,
            "operation_type": process.type,
            "intensity": process.intensity,
            "status": str(process.status),
            "changes": len(process.changes),
            **more,
        }
        await self.tell(event_type, data, session_id=process.session_id)
