"""What a turn has come to so far; the part that both kinds of turn stream share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from iskra_sdk.client.models import ApprovalInfo, QuestionInfo, TurnInfo
from iskra_sdk.client.problem import error_from_code
from iskra_sdk.client.turn_reader import PARAGRAPH, TurnReader
from iskra_sdk.errors import IskraError, TurnError
from iskra_sdk.event import Event, EventType


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer to an approval request.

    Attributes:
        approve: Yes or no.
        remark: Told to the model.
        arguments: Approve the call with these arguments instead.
        remember: Accept the rule that was offered with the request.
    """

    approve: bool
    remark: str = ""
    arguments: Mapping[str, object] | None = None
    remember: bool = False


DecisionLike = Decision | bool | None
"""What ``on_approval`` returns; ``None`` leaves the request open for somebody else."""


_TITLE_LENGTH = 80


def title_of(text: str) -> str:
    """Return a title for a session that begins with this message."""
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_LENGTH else f"{line[: _TITLE_LENGTH - 1]}…"


class TurnProgress:
    """The state of a followed turn.

    Attributes:
        turn: The turn as acknowledged by the server; ``None`` before it is.
    """

    def __init__(self, *, after: int | None = None) -> None:
        self.turn: TurnInfo | None = None
        self._after = after
        self._reader = TurnReader()

    @property
    def text(self) -> str:
        """The answer so far; once the turn has ended, the whole answer."""
        return self._reader.text

    @property
    def messages(self) -> list[str]:
        """The text of each message of the answer; there are several where tools were used in between."""
        return self._reader.messages

    @property
    def cursor(self) -> int:
        """Number of the last event read."""
        return self._reader.cursor

    @property
    def is_finished(self) -> bool:
        """Whether the turn's last event was read."""
        return self._reader.is_finished

    @property
    def usage(self) -> Mapping[str, Any]:
        """Tokens of all model calls, once the turn is completed."""
        ended = self._reader.ended
        usage = ended.data.get("usage") if ended is not None else None
        return cast("Mapping[str, Any]", usage) if isinstance(usage, Mapping) else {}

    @property
    def error(self) -> IskraError | None:
        """Why the turn failed or was cancelled; ``None`` while it runs and when it is completed."""
        ended = self._reader.ended
        if ended is None or ended.type == EventType.TURN_COMPLETED:
            return None
        if ended.type == EventType.TURN_CANCELLED:
            reason = str(ended.data.get("reason") or "")
            return TurnError(
                f"The turn was cancelled{f': {reason}' if reason else ''}.", facts={"cancelled": True, "reason": reason}
            )
        return error_from_code(
            str(ended.data.get("code") or TurnError.code),
            str(ended.data.get("message") or "The turn failed."),
            mend=str(ended.data.get("mend") or ""),
        )

    def _begin(self, turn: TurnInfo) -> TurnInfo:
        """Note the acknowledged turn, and where to start reading."""
        self.turn = turn
        if self._after is None:
            self._reader = TurnReader(turn.id, cursor=turn.first_seq)
        else:
            self._reader = TurnReader(turn.id, cursor=self._after, begins_inside=True)
        return turn


class TextJoiner:
    """Turns delta events into the pieces of one text, with a blank line between two messages."""

    def __init__(self) -> None:
        self._message_id: object = None
        self._has_text = False

    def piece(self, event: Event) -> str:
        """Return the text an event adds; empty for events that add none."""
        text = event.data.get("text")
        if event.type != EventType.MESSAGE_DELTA or not isinstance(text, str):
            return ""
        is_new = event.data.get("message_id") != self._message_id and self._has_text
        self._message_id, self._has_text = event.data.get("message_id"), True
        return PARAGRAPH + text if is_new else text


def requested_approval(event: Event) -> ApprovalInfo:
    """Return the request that an ``approval.requested`` event speaks of."""
    data = event.data
    return ApprovalInfo.model_validate(
        {
            **{name: data[name] for name in ApprovalInfo.model_fields if data.get(name) is not None},
            "id": str(data.get("approval_id", "")),
            "session_id": event.session_id or "",
            "turn_id": event.turn_id or "",
        }
    )


def asked_question(event: Event) -> QuestionInfo:
    """Return the question that a ``question.asked`` event asks."""
    options = event.data.get("options")
    return QuestionInfo(
        question=str(event.data.get("question", "")),
        options=tuple(str(option) for option in options) if isinstance(options, list | tuple) else (),
        session_id=event.session_id or "",
        turn_id=event.turn_id or "",
    )


def as_decision(answer: object) -> Decision | None:
    """Return a callback's answer as a decision.

    Raises:
        TypeError: The callback returned something else, e.g. a text.
    """
    if answer is None or isinstance(answer, Decision):
        return answer
    if isinstance(answer, bool):
        return Decision(answer)
    raise TypeError(f"on_approval must return a bool, a Decision or None, not {type(answer).__name__}")
