"""Makes one gapless, doubles-free sequence out of what several connections to an event stream delivered."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from iskra_sdk.errors import UnexpectedAnswerError
from iskra_sdk.event import TURN_ENDED, Event, EventType, Severity, utc_now
from iskra_sdk.ids import SessionId, TurnId

_TIME = TypeAdapter(datetime)

PARAGRAPH = "\n\n"
"""Stands between two messages of one turn."""


def event_from_wire(text: str) -> Event:
    """Read an event from its JSON form.

    Raises:
        UnexpectedAnswerError: It is no event.
    """
    try:
        wire: Mapping[str, Any] = from_json(text)
        session_id, turn_id = wire.get("session_id"), wire.get("turn_id")
        severity = wire.get("severity", "info")
        return Event(
            type=str(wire["type"]),
            data=dict(wire.get("data") or {}),
            session_id=SessionId(session_id) if session_id else None,
            turn_id=TurnId(turn_id) if turn_id else None,
            seq=int(wire.get("seq", 0)),
            at=_TIME.validate_python(wire["at"]) if wire.get("at") else utc_now(),
            source=str(wire.get("source", "kernel")),
            severity=Severity(severity) if severity in set(Severity) else Severity.INFO,
            correlation_id=str(wire.get("correlation_id") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as exc:
        raise UnexpectedAnswerError(
            f"The server sent an event that this client cannot read: {text[:200]!r}.",
            mend="Install the client and the server in the same version.",
        ) from exc


class TurnReader:
    """Reads events of a session, or of one turn in it.

    Text comes out as ``message.delta`` events alone, each character once: pieces that come twice are cut,
    and what a snapshot or a completed message has beyond the pieces seen is put into a piece of its own. Where
    text that was given out is void, a ``message.reset`` says so first.

    Args:
        turn_id: The turn, or ``None`` for all events of the session.
        cursor: Read what comes after the event of this number.
        begins_inside: That event may lie inside a message, which is then continued.

    Attributes:
        cursor: Number of the last event read; what a new connection resumes from.
        is_finished: The turn's last event was read.
        ended: That event.
    """

    def __init__(self, turn_id: str | None = None, *, cursor: int = 0, begins_inside: bool = False) -> None:
        self.turn_id = turn_id
        self.cursor = cursor
        self.is_finished = False
        self.ended: Event | None = None
        self._texts: dict[str, str] = {}
        # Where the first piece may belong to a message whose beginning another reader has given out: its id, and how
        # many characters that were.
        self._begins_inside = begins_inside
        self._began_at = cursor
        self._skipped: dict[str, int] = {}

    @property
    def text(self) -> str:
        """The answer so far: the text of all its messages, a blank line between two."""
        return PARAGRAPH.join(self.messages)

    @property
    def messages(self) -> list[str]:
        """The text of each message of the answer that has any."""
        return [text for text in self._texts.values() if text]

    def read(self, event: Event) -> Iterator[Event]:
        """Take the next event of a connection and yield what is new in it."""
        if event.is_durable or event.type == EventType.MESSAGE_DELTA:
            if 0 < event.seq <= self.cursor:
                return
            self.cursor = max(self.cursor, event.seq)
        if self.turn_id is not None and event.turn_id not in (None, self.turn_id):
            return
        match event.type:
            case EventType.MESSAGE_DELTA:
                yield from self._delta(event)
                return
            case EventType.STREAM_RESET:
                yield event
                self.cursor = max(self.cursor, event.seq)
                if self._begins_inside:
                    # Nobody knows how much of it the reader before has given out.
                    yield replace(
                        event, type=EventType.MESSAGE_RESET, data={"message_id": event.data.get("message_id")}
                    )
                yield from self._whole(event)
                return
            case EventType.MESSAGE_RESET:
                # Kept in place, so that the order of messages stays.
                message_id = str(event.data.get("message_id"))
                self._skipped.pop(message_id, None)
                if self._texts.get(message_id, "") or self._begins_inside:
                    self._texts[message_id] = ""
                    yield event
                return
            case EventType.MESSAGE_COMPLETED if event.data.get("role", "assistant") == "assistant":
                self._skip_what_was_seen(event)
                yield from self._whole(event)
        yield event
        if event.type in TURN_ENDED and event.turn_id is not None and event.turn_id == self.turn_id:
            self.ended = event
            self.is_finished = True

    def _delta(self, event: Event) -> Iterator[Event]:
        text = event.data.get("text")
        if not isinstance(text, str) or not text:
            if event.data.get("reasoning"):
                yield event
            return
        message_id = str(event.data.get("message_id"))
        offset = event.data.get("offset")
        if self._begins_inside and message_id not in self._texts and isinstance(offset, int):
            self._skipped[message_id] = offset
        self._begins_inside = False
        known = self._texts.setdefault(message_id, "")
        reached = self._skipped.get(message_id, 0) + len(known)
        offset = offset if isinstance(offset, int) else reached
        if offset > reached:
            # Something is missing before it; the completed message will bring both.
            return
        new = text[reached - offset :]
        if new:
            yield self._piece(event, message_id, new)

    def _skip_what_was_seen(self, event: Event) -> None:
        """Where the reader begins behind the last piece of a message, note that all of it was given out."""
        first_seq, text = event.data.get("first_seq"), event.data.get("text")
        if self._begins_inside and isinstance(first_seq, int) and isinstance(text, str) and self._began_at >= first_seq:
            # The server would have sent what was missing as a piece of its own, before this event.
            self._texts[str(event.data.get("message_id"))] = ""
            self._skipped[str(event.data.get("message_id"))] = len(text)

    def _whole(self, event: Event) -> Iterator[Event]:
        """Compare with the whole text of a message, and make up the difference."""
        message_id, text = str(event.data.get("message_id")), event.data.get("text")
        if not isinstance(text, str):
            return
        known = self._texts.setdefault(message_id, "")
        skipped = self._skipped.get(message_id, 0)
        self._begins_inside = False
        if not text.startswith(known, skipped):
            self._texts[message_id] = known = ""
            self._skipped[message_id] = skipped = 0
            yield replace(event, type=EventType.MESSAGE_RESET, data={"message_id": message_id})
        reached = skipped + len(known)
        if len(text) > reached:
            yield self._piece(event, message_id, text[reached:])
        self._texts[message_id] = text
        self._skipped[message_id] = 0

    def _piece(self, event: Event, message_id: str, text: str) -> Event:
        known = self._texts[message_id]
        self._texts[message_id] = known + text
        return replace(
            event,
            type=EventType.MESSAGE_DELTA,
            data={"message_id": message_id, "offset": self._skipped.get(message_id, 0) + len(known), "text": text},
        )
