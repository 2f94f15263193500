"""One answer about one turn, from its start or from a decision on, until it ends or waits for a person."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from iskra.approvals import chat_text, question_text
from iskra.http.problems import HTTPError, recorded_error
from iskra.http.turn_view import TurnView, progress_of
from iskra.session_log import SessionLogs
from iskra_sdk.errors import IskraError
from iskra_sdk.event import Event, EventType
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import SessionStore, TurnRecord

PARAGRAPH = "\n\n"
_PAGE = 500


class PieceKind(StrEnum):
    """What a piece of an answer is."""

    TEXT = "text"
    PROGRESS = "progress"
    END = "end"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer. The last one is an end, with an error where the turn failed."""

    kind: PieceKind
    text: str = ""
    error: IskraError | None = None


class ServerStoppingError(HTTPError):
    """The server stops while an answer is under way; the turn goes on when it is back."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The server is stopping; the turn goes on when it is back.",
            mend="Read the rest of the answer then, from the session's events.",
            code="server_stopping",
        )


class TurnAnswer:
    """Follows a turn and turns its events into the pieces of a chat answer.

    Attributes:
        view: What is known of the turn.
        text: The visible answer so far.
        usage: Tokens of the turn, once it has ended.
    """

    def __init__(
        self, logs: SessionLogs, principal: Principal, turn: TurnRecord, *, after: int, view: TurnView, language: str
    ) -> None:
        self.turn = turn
        self.view = view
        self.usage: Mapping[str, Any] = {}
        self._logs = logs
        self._principal = principal
        self._after = after
        self._language = language
        self._texts: list[str] = []
        self._message_id: object = None

    @property
    def text(self) -> str:
        """The visible answer so far."""
        return "".join(self._texts)

    @property
    def is_over(self) -> bool:
        """Whether the turn has ended or waits for a person, so that nobody needs to cancel it."""
        return self.view.ended is not None or self.view.is_blocked

    def say(self, text: str) -> Piece:
        """Add a text of the server's own to the answer."""
        if self._texts:
            text = PARAGRAPH + text
        self._texts.append(text)
        self._message_id = None
        return Piece(PieceKind.TEXT, text)

    async def pieces(self) -> AsyncIterator[Sequence[Piece]]:
        """Yield pieces in batches, the end last."""
        session_id = self.turn.session_id
        batches = cast("Any", self._logs.follow(self._principal, session_id, after=self._after))
        async with aclosing(batches):
            async for batch in batches:
                pieces: list[Piece] = []
                for event in batch:
                    self._take(event, pieces)
                    if pieces and pieces[-1].kind is PieceKind.END:
                        yield pieces
                        return
                if pieces:
                    yield pieces

    def _take(self, event: Event, pieces: list[Piece]) -> None:
        if event.type == EventType.SERVER_STOPPING:
            pieces.append(Piece(PieceKind.END, error=ServerStoppingError()))
            return
        view = self.view
        if event.turn_id != view.turn_id:
            return
        text = view.take(event)
        if text:
            message_id = event.data.get("message_id")
            if message_id != self._message_id:
                if self._texts:
                    text = PARAGRAPH + text
                self._message_id = message_id
            self._texts.append(text)
            pieces.append(Piece(PieceKind.TEXT, text))
            return
        if event.type == EventType.MESSAGE_RESET:
            self._message_id = None
        progress = progress_of(event)
        if progress:
            pieces.append(Piece(PieceKind.PROGRESS, progress))
        if view.ended is not None:
            pieces.append(self._end(view.ended))
        elif view.is_blocked:
            pieces.append(self.say(self._request_text()))
            pieces.append(Piece(PieceKind.END))

    def _request_text(self) -> str:
        view = self.view
        language: Any = self._language
        texts = [chat_text(data, language) for data in view.open_approvals.values()]
        if view.question is not None:
            texts.append(question_text(view.question))
        return PARAGRAPH.join(texts)

    def _end(self, ended: Event) -> Piece:
        data: Mapping[str, Any] = ended.data
        if ended.type == EventType.TURN_COMPLETED:
            usage = data.get("usage")
            self.usage = usage if isinstance(usage, Mapping) else {}
            return Piece(PieceKind.END)
        if ended.type == EventType.TURN_FAILED:
            return Piece(PieceKind.END, error=recorded_error(data))
        reason = str(data.get("reason") or "")
        error = HTTPError(409, "The turn was cancelled.", mend=reason, code="turn_cancelled")
        return Piece(PieceKind.END, error=error)


async def turn_events(store: SessionStore, principal: Principal, turn: TurnRecord) -> list[Event]:
    """Return the stored events of a turn, oldest first."""
    events: list[Event] = []
    cursor = max(0, turn.first_seq - 1)
    while True:
        page = await store.events(principal, turn.session_id, after=cursor, limit=_PAGE)
        events.extend(event for event in page if event.turn_id == turn.id)
        if len(page) < _PAGE:
            return events
        cursor = page[-1].seq
