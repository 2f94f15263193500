"""Events: one append-only log per session, one type for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from iskra_sdk.ids import SessionId, TurnId


class EventType(StrEnum):
    """The kernel's event types. Plugins add their own under their name, e.g. ``weather.updated``."""

    SESSION_CREATED = "session.created"
    SESSION_UPDATED = "session.updated"
    SESSION_DELETED = "session.deleted"
    TURN_STARTED = "turn.started"
    TURN_COMPLETED = "turn.completed"
    TURN_FAILED = "turn.failed"
    TURN_CANCELLED = "turn.cancelled"
    AGENT_SWITCHED = "agent.switched"
    MESSAGE_DELTA = "message.delta"
    MESSAGE_COMPLETED = "message.completed"
    MESSAGE_RESET = "message.reset"
    TOOL_REQUESTED = "tool.requested"
    TOOL_STARTED = "tool.started"
    TOOL_COMPLETED = "tool.completed"
    TOOL_FAILED = "tool.failed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_AUTOMATIC = "approval.automatic"
    QUESTION_ASKED = "question.asked"
    QUESTION_ANSWERED = "question.answered"
    PLUGIN_LOADED = "plugin.loaded"
    PLUGIN_RELOADED = "plugin.reloaded"
    PLUGIN_DISABLED = "plugin.disabled"
    PLUGIN_QUARANTINED = "plugin.quarantined"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_HALF_OPENED = "breaker.half_opened"
    BREAKER_CLOSED = "breaker.closed"
    SERVICE_LEVEL_CHANGED = "service_level.changed"
    """For plugins that watch the server; the kernel has no service levels of its own."""
    STREAM_RESET = "stream.reset"
    SERVER_STOPPING = "server.stopping"
    ERROR = "error"


TURN_ENDED = frozenset({EventType.TURN_COMPLETED, EventType.TURN_FAILED, EventType.TURN_CANCELLED})
"""Exactly one of these ends a turn."""

EPHEMERAL = frozenset(
    {EventType.MESSAGE_DELTA, EventType.STREAM_RESET, EventType.SERVER_STOPPING, EventType.SESSION_DELETED}
)
"""Types that are never stored: deltas are compacted into ``message.completed``, a deleted session has no log any more,
the others speak of one connection."""


class Severity(StrEnum):
    """How much an event matters to somebody who watches the server."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


SYSTEM_TOPIC = "system"
"""Topic of events that belong to no session."""


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        type: Dotted name, see :class:`EventType`.
        data: JSON-able facts; the reference page of each type gives its fields.
        session_id: The session it belongs to, or ``None`` for the system topic.
        turn_id: The turn it belongs to, if any.
        seq: Position in the session's log, from 1, strictly increasing, with gaps where deltas were compacted;
            0 for events outside a session log.
        at: When it happened, UTC.
        source: ``kernel`` or the plugin's name.
        severity: How much it matters.
        correlation_id: Id of the request that caused it.
    """

    type: str
    data: Mapping[str, object] = field(default_factory=dict)
    session_id: SessionId | None = None
    turn_id: TurnId | None = None
    seq: int = 0
    at: datetime = field(default_factory=utc_now)
    source: str = "kernel"
    severity: Severity = Severity.INFO
    correlation_id: str = ""

    @property
    def id(self) -> str:
        """Unique id: the session and the position for a session's events, the time and type for others."""
        if self.session_id is not None:
            return f"{self.session_id}:{self.seq}"
        return f"{SYSTEM_TOPIC}:{self.type}:{self.at.isoformat()}"

    @property
    def topic(self) -> str:
        """``session/<id>`` or ``system``; order is kept within a topic."""
        return SYSTEM_TOPIC if self.session_id is None else f"session/{self.session_id}"

    @property
    def is_durable(self) -> bool:
        """Whether the session log stores it."""
        return self.type not in EPHEMERAL

    @property
    def wire(self) -> dict[str, object]:
        """The event as it goes over every wire."""
        return {
            "id": self.id,
            "seq": self.seq,
            "type": self.type,
            "session_id": self.session_id,
            "turn_id": self.turn_id,
            "at": self.at,
            "source": self.source,
            "severity": self.severity,
            "correlation_id": self.correlation_id,
            "data": self.data,
        }


def matches(pattern: str, event_type: str) -> bool:
    """Return whether a type fits a pattern: ``*`` stands for any text, as in ``tool.*``."""
    return pattern in ("*", event_type) or fnmatchcase(event_type, pattern)
