"""What a reader of one turn's events knows: the text so far, and whether the turn waits for a person."""

from collections.abc import Mapping
from typing import Any

from iskra_sdk.event import Event, EventType


class TurnView:
    """Takes in the events of one turn in order. Everything here follows from the events alone, so a replay agrees.

    Attributes:
        turn_id: The turn.
        open_approvals: Data of the approval requests nobody decided yet, by id, oldest first.
        question: Data of the question nobody answered yet.
        ended: The turn's last event.
    """

    __slots__ = ("_after", "_unsettled", "ended", "last_seq", "open_approvals", "question", "texts", "turn_id")

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.open_approvals: dict[str, Mapping[str, Any]] = {}
        self.question: Mapping[str, Any] | None = None
        self.ended: Event | None = None
        self.last_seq = 0
        self.texts: dict[str, int] = {}
        """Message id → how many characters of it were taken in."""
        self._unsettled: set[object] = set()  # tool calls that go on without a person, or wait behind others
        self._after: dict[object, frozenset[object]] = {}  # tool call → the calls before it that it waits for

    @property
    def is_blocked(self) -> bool:
        """Whether nothing happens until a person decides or answers."""
        if self.question is not None:
            return True
        waiting = {data.get("tool_call_id") for data in self.open_approvals.values()}
        return bool(waiting) and self._unsettled <= self._behind(waiting)

    def _behind(self, waiting: set[object]) -> set[object]:
        """Return the calls that cannot begin before those that wait for a person."""
        held = set(waiting)
        while more := {call for call in self._unsettled - held if self._after.get(call, frozenset()) & held}:
            held |= more
        return held

    def take(self, event: Event) -> str:
        """Take in an event of the turn and return the text it adds to the answer."""
        data: Mapping[str, Any] = event.data
        self.last_seq = max(self.last_seq, event.seq)
        match event.type:
            case EventType.MESSAGE_DELTA:
                return self._new_text(data)
            case EventType.STREAM_RESET:
                return self._rest(data)
            case EventType.MESSAGE_COMPLETED if data.get("role", "assistant") == "assistant":
                return self._rest(data)
            case EventType.MESSAGE_RESET:
                self.texts.pop(str(data.get("message_id")), None)
            case EventType.TOOL_REQUESTED:
                self._unsettled.add(data.get("tool_call_id"))
                self._after[data.get("tool_call_id")] = frozenset(data.get("after") or ())
            case EventType.TOOL_STARTED:
                self._after.pop(data.get("tool_call_id"), None)
            case EventType.TOOL_COMPLETED | EventType.TOOL_FAILED:
                self._unsettled.discard(data.get("tool_call_id"))
            case EventType.APPROVAL_REQUESTED:
                self._unsettled.discard(data.get("tool_call_id"))
                self.open_approvals[str(data["approval_id"])] = data
            case EventType.APPROVAL_DECIDED | EventType.APPROVAL_EXPIRED:
                self.open_approvals.pop(str(data.get("approval_id")), None)
                self._unsettled.add(data.get("tool_call_id"))
            case EventType.QUESTION_ASKED:
                self.question = data
            case EventType.QUESTION_ANSWERED:
                self.question = None
            case EventType.TURN_COMPLETED | EventType.TURN_FAILED | EventType.TURN_CANCELLED:
                self.ended = event
                self.question = None
                self.open_approvals.clear()
        return ""

    def _new_text(self, data: Mapping[str, Any]) -> str:
        text = data.get("text")
        if not isinstance(text, str) or not text:
            return ""
        message_id = str(data.get("message_id"))
        known = self.texts.get(message_id, 0)
        offset = data.get("offset")
        offset = offset if isinstance(offset, int) else known
        if offset > known:
            return ""  # something before it is missing; the completed message brings both
        self.texts[message_id] = max(known, offset + len(text))
        return text[known - offset :]

    def _rest(self, data: Mapping[str, Any]) -> str:
        text = data.get("text")
        message_id = str(data.get("message_id"))
        known = self.texts.get(message_id, 0)
        if not isinstance(text, str) or len(text) <= known:
            return ""
        self.texts[message_id] = len(text)
        return text[known:]


def progress_of(event: Event) -> str:
    """Return what an event adds to the visible thinking: reasoning, switches of the agent, tools at work."""
    data: Mapping[str, Any] = event.data
    match event.type:
        case EventType.MESSAGE_DELTA:
            return str(data.get("reasoning") or "")
        case EventType.AGENT_SWITCHED:
            return f"→ {data.get('to')}\n"
        case EventType.TOOL_STARTED:
            return f"⚙ {data.get('tool')}\n"
        case EventType.TOOL_COMPLETED:
            return f"✓ {data.get('tool')}\n"
        case EventType.TOOL_FAILED:
            return f"✗ {data.get('tool')}: {data.get('message')}\n"
    return ""
