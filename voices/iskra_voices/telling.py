"""Tells what voices do: to the session where a person wants to see it in its place, else on the bus."""

import logging
from collections.abc import Mapping

from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.plugin_context import PluginContext

logger = logging.getLogger(__name__)


class Telling:
    """The plugin's events, ``voices.<kind>``.

    Telling never fails: what is told has happened already, and an answer matters more than who hears of its voice.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def in_session(
        self,
        kind: str,
        data: Mapping[str, object],
        session_id: SessionId,
        *,
        turn_id: TurnId | None = None,
        severity: Severity = Severity.INFO,
    ) -> None:
        """Tell a session; the event is part of its log and reaches the bus from there."""
        event_type = f"{self._context.name}.{kind}"
        try:
            await self._context.tell_session(session_id, event_type, data, severity=severity, turn_id=turn_id)
        except Exception:
            logger.warning("session was not told", extra={"event_type": event_type}, exc_info=True)

    async def on_the_bus(
        self,
        kind: str,
        data: Mapping[str, object],
        session_id: SessionId,
        *,
        turn_id: TurnId | None = None,
        severity: Severity = Severity.INFO,
    ) -> None:
        """Publish what is for dashboards and other plugins, and for no log."""
        context = self._context
        event = Event(
            f"{context.name}.{kind}",
            data,
            session_id=session_id,
            turn_id=turn_id,
            at=context.clock.now(),
            severity=severity,
        )
        try:
            await context.events.publish(event)
        except Exception:  # an interceptor of the bus, a plugin on its way out
            logger.warning("event not published", extra={"event_type": event.type}, exc_info=True)
