"""A turn as the asynchronous client follows it."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeVar

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client import calls
from iskra_sdk.client.async_transport import AsyncTransport
from iskra_sdk.client.models import ApprovalInfo, QuestionInfo, SessionInfo, TurnInfo, id_of
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

T = TypeVar("T")

AsyncOnApproval = Callable[[ApprovalInfo], DecisionLike | Awaitable[DecisionLike]]
AsyncOnQuestion = Callable[[QuestionInfo], str | Awaitable[str | None] | None]


class AsyncTurnStream(TurnProgress):
    """A turn as it happens: iterate over it for events, or over :meth:`texts` for the answer's text.

    Reading goes on where it stopped; it ends after the turn's last event. Lost connections are taken up again, no event
    comes twice and none is missing.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        text: str = "",
        session: str | SessionInfo | None = None,
        model: str | None = None,
        *,
        attach_to: str | TurnInfo | None = None,
        after: int | None = None,
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
        on_approval: AsyncOnApproval | None = None,
        on_question: AsyncOnQuestion | None = None,
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
        self._reading: AsyncGenerator[Event, None] | None = None

    async def start(self) -> TurnInfo:
        """Send the message, if that was not done yet; when it returns, the server has committed it."""
        if self.turn is not None:
            return self.turn
        if self._attach_to is not None:
            known = self._attach_to
            return self._begin(
                known if isinstance(known, TurnInfo) else await self._transport.send(calls.get_turn(known))
            )
        if self._session is None:
            title = title_of(self._input)
            self._session = (await self._transport.send(calls.create_session(title, self._model, None))).id
        call = calls.start_turn(self._session, self._input, self._model, self._options, self._key)
        return self._begin(await self._transport.send(call))

    def __aiter__(self) -> AsyncIterator[Event]:
        self._reading = self._read()
        return self._reading

    async def aclose(self) -> None:
        """Let go of the connection; the turn goes on in the server."""
        if self._reading is not None:
            await self._reading.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read(self) -> AsyncGenerator[Event, None]:
        turn = await self.start()
        async with aclosing(self._transport.follow(turn.session_id, self._reader)) as events:
            async for event in events:
                yield event
                if event.type == EventType.APPROVAL_REQUESTED and self._on_approval is not None:
                    await self._decide(event, self._on_approval)
                elif event.type == EventType.QUESTION_ASKED and self._on_question is not None:
                    await self._answer(event, self._on_question)

    async def texts(self) -> AsyncIterator[str]:
        """Yield the answer in pieces; joined, they are :attr:`text`, unless a piece had to be taken back.

        That happens only where the server crashed in mid-sentence, and is told by ``message.reset`` among the events.

        Raises:
            IskraError: The turn failed or was cancelled.
        """
        joiner = TextJoiner()
        async for event in self:
            if piece := joiner.piece(event):
                yield piece
        if self.error is not None:
            raise self.error

    async def result(self) -> str:
        """Read to the end and return the answer's text.

        Raises:
            IskraError: The turn failed or was cancelled; the class says how.
        """
        async for _ in self:
            pass
        if self.error is not None:
            raise self.error
        return self.text

    async def cancel(self, reason: str = "") -> TurnInfo:
        """Cancel the turn; the stream goes on to its last event."""
        return await self._transport.send(calls.cancel_turn((await self.start()).id, reason))

    async def _decide(self, event: Event, ask: AsyncOnApproval) -> None:
        request = requested_approval(event)
        current = await self._transport.send(calls.get_approval(request.id))
        if current.state is not ApprovalState.OPEN:
            return
        answer = await _settled(ask(request))
        decision = as_decision(answer)
        if decision is None:
            return
        try:
            await self._transport.send(
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

    async def _answer(self, event: Event, ask: AsyncOnQuestion) -> None:
        question = asked_question(event)
        turn = await self._transport.send(calls.get_turn(question.turn_id))
        if turn.state is not TurnState.WAITING_ANSWER:
            return
        answer = await _settled(ask(question))
        if answer is None:
            return
        try:
            await self._transport.send(calls.answer_question(question.session_id, answer))
        except ConflictError:
            # Answered elsewhere in the meantime.
            return


async def _settled(answer: T | Awaitable[T]) -> T:
    """Return a callback's answer, whether the callback is asynchronous or not."""
    return await answer if inspect.isawaitable(answer) else answer
