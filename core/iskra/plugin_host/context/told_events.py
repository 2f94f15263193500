"""Commits events of one plugin into the logs of sessions, within bounds."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from iskra.plugin_host.context.allowance import Allowance
from iskra.plugin_host.facilities import SessionLog
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BusyError, PluginError
from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.told_event import told_event

logger = logging.getLogger(__name__)

_PER_SECOND = 10.0
_BURST = 500.0
_SESSIONS = 1024
"""Sessions whose allowance is remembered; for all of them together the bus's bound of the plugin holds."""
_PATIENCE = 10.0
"""Seconds an event may take to be committed."""


class ToldEvents:
    """What one generation of a plugin tells in sessions.

    Args:
        plugin: Its name.
        clock: Dates events.
        admit: Takes one from the allowance that the plugin has for the bus, where these events go too.
        record_failure: Told of a flood.
    """

    def __init__(
        self,
        plugin: str,
        clock: Clock,
        admit: Callable[[str], bool],
        record_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._plugin = plugin
        self._clock = clock
        self._admit = admit
        self._record_failure = record_failure
        self._allowances: OrderedDict[SessionId, Allowance] = OrderedDict()
        self._reported_at = float("-inf")

    async def tell(
        self,
        log: SessionLog,
        session_id: SessionId,
        event_type: str,
        data: Mapping[str, object],
        *,
        severity: Severity,
        turn_id: TurnId | None,
    ) -> Event:
        """Commit an event; see ``iskra_sdk.PluginContext.tell_session``."""
        event = told_event(
            self._plugin,
            event_type,
            data,
            session_id=session_id,
            turn_id=turn_id,
            severity=severity,
            at=self._clock.now(),
        )
        if not self._allowance(session_id).take():
            self._report(event_type)
            raise self._too_many(f"tells more than {_PER_SECOND:g} events a second in the session {session_id!r}")
        if not self._admit(event_type):
            raise self._too_many("publishes too many events")
        try:
            async with asyncio.timeout(_PATIENCE):
                return await log.tell(session_id, event)
        except TimeoutError as exc:
            raise BusyError(
                f"The event {event_type!r} was not committed within {_PATIENCE:g} seconds; it may still be.",
                mend="Look at the database; and never tell a session something from an interceptor of `store.write`.",
            ) from exc

    def _allowance(self, session_id: SessionId) -> Allowance:
        allowance = self._allowances.setdefault(session_id, Allowance(_PER_SECOND, _BURST))
        self._allowances.move_to_end(session_id)
        if len(self._allowances) > _SESSIONS:
            self._allowances.popitem(last=False)
        return allowance

    def _too_many(self, what: str) -> BusyError:
        return BusyError(
            f"The plugin {self._plugin!r} {what}.",
            mend="Tell what a person in the session wants to know, and publish the rest on `context.events`.",
            retry_after=1.0,
            facts={"plugin": self._plugin},
        )

    def _report(self, event_type: str) -> None:
        """Count a flood against the plugin, once a second."""
        now = time.monotonic()
        if now - self._reported_at >= 1:
            self._reported_at = now
            logger.warning("flood of told events", extra={"plugin": self._plugin, "event_type": event_type})
            text = f"it tells more than {_PER_SECOND:g} events a second in one session."
            self._record_failure(self._plugin, PluginError(self._plugin, text))
