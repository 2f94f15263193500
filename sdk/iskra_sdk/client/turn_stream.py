"""A turn as the client follows it."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Self

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client import calls
from iskra_sdk.client.models import ApprovalInfo, QuestionInfo, SessionInfo, TurnInfo, id_of
from iskra_sdk.client.transport import Transport
from iskra_sdk.client.turn_progress import (
    DecisionLike,
    TextJoiner,
    TurnProgress,
    as_decision,
    asked_question,
    requested_approval,
    title_of,
)
from iskra_sdk.errors import ApprovalClosedError, ConflictError
from iskra_sdk.event import Event, EventType
from iskra_sdk.session_store import TurnState

OnApproval = Callable[[ApprovalInfo], DecisionLike]
OnQuestion = Callable[[QuestionInfo], str | None]


class TurnStream(TurnProgress):
    """A turn as it happens: iterate over it for events, or over :meth:`texts` for the answer's text.

    Reading goes on where it stopped; it ends after the turn's last event. Lost connections are taken up again, no event
    comes twice and none is missing.
    """

    def __init__(
        self,
        transport: Transport,
        text: str = "",
        session: str | SessionInfo | None = None,
        model: str | None = None,
        *,
        attach_to: str | TurnInfo | None = None,
        after: int | None = None,
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
        on_approval: OnApproval | None = None,
        on_question: OnQuestion | None = None,
    ) -> None:
        super().__init__(after=after)
        self._transport = transport
        self._input = text
        self._session = id_of(session) if session is not None else None
        self._model = model
        self._attach_to = attach_to
        self._options = options
        self._key = idempotency_key
        self._on_approval = on_approval
        self._on_question = on_question
        self._reading: Generator[Event, None, None] | None = None

    def start(self) -> TurnInfo:
        """Send the message, if that was not done yet; when it returns, the server has committed it."""
        if self.turn is not None:
            return self.turn
        if self._attach_to is not None:
            known = self._attach_to
            if isinstance(known, str):
                known = self._transport.send(calls.get_turn(known))
            return self._begin(known)
        if self._session is None:
            title = title_of(self._input)
            self._session = (self._transport.send(calls.create_session(title, self._model, None))).id
        call = calls.start_turn(self._session, self._input, self._model, self._options, self._key)
        return self._begin(self._transport.send(call))

    def __iter__(self) -> Iterator[Event]:
        self._reading = self._read()
        return self._reading

    def close(self) -> None:
        """Let go of the connection; the turn goes on in the server."""
        if self._reading is not None:
            self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[Event, None, None]:
        turn = self.start()
        with closing(self._transport.follow(turn.session_id, self._reader)) as events:
            for event in events:
                yield event
                if event.type == EventType.APPROVAL_REQUESTED and self._on_approval is not None:
                    self._decide(event, self._on_approval)
                elif event.type == EventType.QUESTION_ASKED and self._on_question is not None:
                    self._answer(event, self._on_question)

    def texts(self) -> Iterator[str]:
        """Yield the answer in pieces; joined, they are :attr:`text`, unless a piece had to be taken back.

        That happens only where the server crashed in mid-sentence, and is told by ``message.reset`` among the events.

        Raises:
            IskraError: The turn failed or was cancelled.
        """
        joiner = TextJoiner()
        for event in self:
            if piece := joiner.piece(event):
                yield piece
        if self.error is not None:
            raise self.error

    def result(self) -> str:
        """Read to the end and return the answer's text.

        Raises:
            IskraError: The turn failed or was cancelled; the class says how.
        """
        for _ in self:
            pass
        if self.error is not None:
            raise self.error
        return self.text

    def cancel(self, reason: str = "") -> TurnInfo:
        """Cancel the turn; the stream goes on to its last event."""
        return self._transport.send(calls.cancel_turn((self.start()).id, reason))

    def _decide(self, event: Event, ask: OnApproval) -> None:
        request = requested_approval(event)
        current = self._transport.send(calls.get_approval(request.id))
        if current.state is not ApprovalState.OPEN:
            return
        answer = ask(request)
        decision = as_decision(answer)
        if decision is None:
            return
        try:
            self._transport.send(
                calls.decide_approval(
                    request.id,
                    approve=decision.approve,
                    remark=decision.remark,
                    arguments=decision.arguments,
                    remember=decision.remember,
                )
            )
        except ApprovalClosedError:
            # Somebody else was quicker; the events tell what was decided.
            return

    def _answer(self, event: Event, ask: OnQuestion) -> None:
        question = asked_question(event)
        turn = self._transport.send(calls.get_turn(question.turn_id))
        if turn.state is not TurnState.WAITING_ANSWER:
            return
        answer = ask(question)
        if answer is None:
            return
        try:
            self._transport.send(calls.answer_question(question.session_id, answer))
        except ConflictError:
            # Answered elsewhere in the meantime.
            return
