"""The events of OpenAI's Responses protocol, as a view of a turn's events.

A *segment* is the part of a turn that one response shows: from the turn's start, or from a person's decision, until the
turn ends or waits for a person again. Everything here follows from the session log alone, so a segment can be replayed
exactly, also after a restart: the number of a response event is eight times its log event's distance from the segment's
first event, plus its place among the response events of that log event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from iskra.approvals import question_text
from iskra.http.turn_view import TurnView
from iskra_sdk.event import Event, EventType
from iskra_sdk.session_store import TurnRecord, TurnState

PLACES = 8
"""Response events one log event may have."""

Numbered = tuple[int, str, dict[str, object]]
"""A response event: its number, type and data."""

SERVER_LABEL = "iskra"
_PREFIX = "resp_"


@dataclass(frozen=True, slots=True)
class SegmentId:
    """A response id taken apart.

    Attributes:
        begin: Number of the segment's first event; 0 for a turn's first segment.
    """

    turn_id: str
    begin: int = 0

    def __str__(self) -> str:
        return f"{_PREFIX}{self.turn_id}" + (f"_{self.begin}" if self.begin else "")

    @classmethod
    def parse(cls, text: str) -> "SegmentId | None":
        """Return the parts of a response id, or ``None`` if it is none of ours."""
        parts = text.removeprefix(_PREFIX).split("_")
        if not text.startswith(_PREFIX) or len(parts) not in (2, 3):
            return None
        begin = parts[2] if len(parts) == 3 else "0"
        if not begin.isascii() or not begin.isdigit() or len(begin) > 18:
            return None
        return cls("_".join(parts[:2]), int(begin))


@dataclass(slots=True)
class _OpenMessage:
    message_id: str
    index: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFacts:
    """What the client asked for and gets back in every response object."""

    previous_response_id: str | None = None
    instructions: str | None = None
    metadata: Mapping[str, object] | None = None


def expand(events: Sequence[Event], seen: Mapping[str, int]) -> Iterator[Event]:
    """Yield events with compacted deltas taken apart again, so that each has the number it had when it was live.

    Args:
        events: A batch of a session's events.
        seen: Message id → number of its last delta that was taken in; read while the iteration goes on.
    """
    for index, event in enumerate(events):
        if event.type == EventType.MESSAGE_DELTA and _is_merged(event, events, index):
            continue
        if event.type == EventType.MESSAGE_COMPLETED:
            yield from _deltas_of(event, seen)
        yield event


def _is_merged(event: Event, events: Sequence[Event], index: int) -> bool:
    """Return whether a delta stands for several: its message's end follows, and tells another length for it."""
    data: Mapping[str, Any] = event.data
    following = events[index + 1] if index + 1 < len(events) else None
    if following is None or following.type != EventType.MESSAGE_COMPLETED or "text" not in data:
        return False
    facts: Mapping[str, Any] = following.data
    first_seq, lengths = facts.get("first_seq"), facts.get("lengths")
    if facts.get("message_id") != data.get("message_id") or not isinstance(first_seq, int) or not lengths:
        return False
    place = event.seq - first_seq
    return not 0 <= place < len(lengths) or lengths[place] != len(data["text"])


def _deltas_of(event: Event, seen: Mapping[str, int]) -> Iterator[Event]:
    data: Mapping[str, Any] = event.data
    first_seq, lengths, text = data.get("first_seq"), data.get("lengths"), data.get("text")
    if not isinstance(first_seq, int) or not isinstance(lengths, list) or not isinstance(text, str):
        return
    message_id = data["message_id"]
    offset = 0
    for place, length in enumerate(lengths):
        if length and first_seq + place > seen.get(str(message_id), 0):
            piece = {"message_id": message_id, "offset": offset, "text": text[offset : offset + length]}
            yield replace(event, type=EventType.MESSAGE_DELTA, data=piece, seq=first_seq + place)
        offset += length


class ResponseEvents:
    """Turns the events of one segment into response events.

    Attributes:
        is_over: The response has its final event.
        output: The items so far.
    """

    def __init__(self, segment: SegmentId, turn: TurnRecord, facts: ResponseFacts, view: TurnView) -> None:
        self.segment = segment
        self.turn = turn
        self.is_over = False
        self.output: list[dict[str, Any]] = []
        self.status = "queued" if turn.state is TurnState.QUEUED else "in_progress"
        self._error: dict[str, object] | None = None
        self._usage: Mapping[str, Any] | None = None
        self._facts = facts
        self._view = view
        self._begin = segment.begin
        self._message: _OpenMessage | None = None
        self._seen_deltas: dict[str, int] = {}
        self._shown_approvals: set[str] = set()
        self._seq = 0
        self._place = 0

    def take(self, events: Sequence[Event]) -> Iterator[Numbered]:
        """Take in a batch of the session's events; yield number, type and data of each response event."""
        for event in expand(events, self._seen_deltas):
            if event.turn_id != self.turn.id or self.is_over:
                continue
            if self._begin and event.seq < self._begin:
                self._view.take(event)
                self._note_delta(event)
                continue
            if event.seq != self._seq:
                self._seq, self._place = event.seq, 0
            self._begin = self._begin or event.seq
            if self._place == 0 and event.seq == self._begin:
                self.status = "in_progress"
                yield self._emit("response.created", response=self.document())
                yield self._emit("response.in_progress", response=self.document())
            yield from self._take(event)

    def _note_delta(self, event: Event) -> None:
        if event.type == EventType.MESSAGE_DELTA and "text" in event.data:
            self._seen_deltas[str(event.data.get("message_id"))] = event.seq

    def _take(self, event: Event) -> Iterator[Numbered]:
        data: Mapping[str, Any] = event.data
        if event.type == EventType.MESSAGE_RESET:
            yield from self._close_message("incomplete")
            self._seen_deltas.pop(str(data.get("message_id")), None)
        text = self._view.take(event)
        self._note_delta(event)
        if text:
            yield from self._add_text(str(data.get("message_id")), text)
        if event.type == EventType.MESSAGE_COMPLETED:
            yield from self._close_message("completed")
        elif event.type == EventType.APPROVAL_REQUESTED:
            yield from self._show_approval(data)
        elif event.type == EventType.QUESTION_ASKED:
            yield from self._add_text(f"{event.seq}", question_text(data))
            yield from self._close_message("completed")
        if event.type == EventType.TURN_COMPLETED:
            self._usage = data.get("usage")
            yield from self._finish("completed")
        elif event.type == EventType.TURN_FAILED:
            self._error = {"code": "server_error", "message": f"{data.get('message')} {data.get('mend') or ''}".strip()}
            yield from self._finish("failed")
        elif event.type == EventType.TURN_CANCELLED:
            yield from self._finish("cancelled")
        elif self._view.is_blocked:
            if not self._shown_approvals:  # what was open before is still open
                for request in self._view.open_approvals.values():
                    yield from self._show_approval(request)
            yield from self._finish("completed")

    def _add_text(self, message_id: str, text: str) -> Iterator[Numbered]:
        message = self._message
        if message is not None and message.message_id != message_id:
            yield from self._close_message("incomplete")
            message = None
        if message is None:
            message = self._message = _OpenMessage(message_id, len(self.output))
            item = self._message_item("in_progress", content=[])
            self.output.append(item)
            yield self._emit("response.output_item.added", output_index=message.index, item=item)
            yield self._emit("response.content_part.added", **self._place_of(message), part=_part(""))
        message.text += text
        yield self._emit("response.output_text.delta", **self._place_of(message), delta=text, logprobs=[])

    def _close_message(self, status: str) -> Iterator[Numbered]:
        message = self._message
        if message is None:
            return
        place = self._place_of(message)
        yield self._emit("response.output_text.done", **place, text=message.text, logprobs=[])
        yield self._emit("response.content_part.done", **place, part=_part(message.text))
        item = self._message_item(status, content=[_part(message.text)])
        self.output[message.index] = item
        self._message = None
        yield self._emit("response.output_item.done", output_index=message.index, item=item)

    def _show_approval(self, data: Mapping[str, Any]) -> Iterator[Numbered]:
        yield from self._close_message("incomplete")
        self._shown_approvals.add(str(data["approval_id"]))
        item = {
            "type": "mcp_approval_request",
            "id": data["approval_id"],
            "name": data["tool"],
            "arguments": data["arguments"],
            "server_label": SERVER_LABEL,
        }
        index = len(self.output)
        self.output.append(item)
        yield self._emit("response.output_item.added", output_index=index, item=item)
        yield self._emit("response.output_item.done", output_index=index, item=item)

    def _finish(self, status: str) -> Iterator[Numbered]:
        yield from self._close_message("incomplete")
        self.status = status
        self.is_over = True
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        yield self._emit(f"response.{kind}", response=self.document())

    def _emit(self, kind: str, **data: object) -> Numbered:
        number = (self._seq - self._begin) * PLACES + self._place
        self._place += 1
        return number, kind, {"type": kind, "sequence_number": number, **data}

    def _message_item(self, status: str, *, content: list[dict[str, object]]) -> dict[str, Any]:
        message = self._message
        message_id = message.message_id if message is not None else ""
        return {"type": "message", "id": f"msg_{message_id}", "role": "assistant", "status": status, "content": content}

    def _place_of(self, message: _OpenMessage) -> dict[str, Any]:
        return {"item_id": f"msg_{message.message_id}", "output_index": message.index, "content_index": 0}

    def document(self) -> dict[str, object]:
        """Return the response object as it stands."""
        return {
            "id": str(self.segment),
            "object": "response",
            "created_at": int(self.turn.created_at.timestamp()),
            "status": self.status,
            "background": False,
            "error": self._error,
            "incomplete_details": None,
            "instructions": self._facts.instructions,
            "max_output_tokens": None,
            "metadata": dict(self._facts.metadata or {}),
            "model": self.turn.model,
            "output": list(self.output),
            "parallel_tool_calls": True,
            "previous_response_id": self._facts.previous_response_id,
            "store": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": _usage(self._usage) if self.is_over else None,
        }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Mapping[str, Any] | None) -> dict[str, object]:
    given = usage or {}
    return {
        "input_tokens": given.get("prompt_tokens", 0),
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": given.get("completion_tokens", 0),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given.get("total_tokens", 0),
    }
