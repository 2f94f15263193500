"""Tells what happens: events in the specification's shape, in the log of their session or on the bus."""

import logging
import uuid
from collections.abc import Mapping
from typing import Literal

from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.errors import NotFoundError, StoreError
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

_FOR_THE_SESSION: frozenset[ChaosEventType] = frozenset({"chaos_initiated", "chaos_completed", "ethical_concern"})
"""What a person wants to see in its place in the conversation; the rest is for people who watch the server."""


class Telling:
    """Tells the plugin's events as ``chaos.<type>``: in the log of their session where a person wants to see them.

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
        """Tell of something; ``data`` is JSON-able and holds no contents of messages."""
        now = self._context.clock.now()
        body = {
            "event_id": str(uuid.uuid4()),
            "event_type": event_type,
            "timestamp": now.isoformat(),
            "source": source,
            "severity": str(severity),
            "data": dict(data),
        }
        session = SessionId(session_id) if session_id else None
        name = f"chaos.{event_type}"
        try:
            is_for_session = session is not None and event_type in _FOR_THE_SESSION
            if session is None or not is_for_session or not await self._has_told(session, name, body, severity):
                await self._context.events.publish(Event(name, body, session_id=session, at=now, severity=severity))
        except Exception:
            logger.warning("chaos event was not told", extra={"type": event_type}, exc_info=True)

    async def _has_told(self, session_id: SessionId, name: str, body: Mapping[str, object], severity: Severity) -> bool:
        """Tell a session; return whether it has the event, and with it the bus.

        Where the session is gone or the database away, people who watch the server hear of it all the same.
        """
        try:
            await self._context.tell_session(session_id, name, body, severity=severity)
        except (NotFoundError, StoreError) as error:
            logger.info("session was not told", extra={"type": name, "session_id": session_id, "error": error.code})
            return False
        return True

    async def process(self, event_type: ChaosEventType, process: ChaosProcess, **more: object) -> None:
        """Tell of a process; what it changes is only counted, since that quotes the conversation."""
        data = {
            "process_id": process.id,
            "operation_type": process.type,
            "intensity": process.intensity,
            "status": str(process.status),
            "changes": len(process.changes),
            **more,
        }
        await self.tell(event_type, data, session_id=process.session_id)
