"""Chat completions for agents, the orchestrator and voices: a stateless request becomes a turn of a session."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import orjson

from iskra.approvals import Reply, chat_text, parse_reply, speaks_russian
from iskra.approvals.reasons import undecided_text
from iskra.http.chat_questions import dropped_text, drops_question, way_out
from iskra.http.chat_wire import NO_USAGE, ChunkWriter, bad, completion, wants_stream, wants_usage
from iskra.http.client_watch import ClientWatch, WatchedClient
from iskra.http.exchange import JSON, Exchange
from iskra.http.problems import Header, openai_error
from iskra.http.request_labels import with_labels
from iskra.http.sse import DONE, EventStream, encode_data
from iskra.http.transcripts import Transcript, find_session, remember, text_of
from iskra.http.turn_answer import PARAGRAPH, Piece, PieceKind, TurnAnswer, turn_events
from iskra.http.turn_view import TurnView
from iskra.http.wire import approval_wire
from iskra.kernel import Kernel
from iskra_sdk.approval import ApprovalState
from iskra_sdk.errors import (
    ApprovalClosedError,
    ApprovalNotFoundError,
    BadInputError,
    IskraError,
    StoreError,
)
from iskra_sdk.event import EventType
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.message import Message, clean_text, is_blank
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import TurnRecord, TurnState

logger = logging.getLogger(__name__)

SESSION_HEADER = b"x-iskra-session"
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
_NOT_PARAMETERS = frozenset(
    {"model", "messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "stream",
     "stream_options", "metadata", "user", "store", "n"}
)  # fmt: skip


@dataclass(slots=True)
class _Reply:
    """What is to be said: texts of the server's own, then what a turn says."""

    session_id: SessionId | None
    notes: Sequence[str]
    answer: TurnAnswer | None
    turn_number: int = 0


class ChatTurns:
    """Answers chat completions with turns."""

    def __init__(self, kernel: Kernel, watch: ClientWatch) -> None:
        self._kernel = kernel
        self._watch = watch

    async def answer(
        self, exchange: Exchange, body: Mapping[str, Any], *, model: str, messages: list[dict[str, Any]]
    ) -> None:
        """Answer a request."""
        text = _input_text(messages)
        if body.get("n") not in (None, 1):
            raise bad("An agent gives one answer.", "n", mend="Leave `n` out.")
        is_stream = wants_stream(body)
        transcript = Transcript.of(exchange.principal.id, model, messages[:-1])
        reply = await self._reply(exchange, body, model, messages, text, transcript)
        transcript.add("user", text)
        headers: list[Header] = []
        if reply.session_id is not None:
            headers.append((SESSION_HEADER, reply.session_id.encode()))
        if is_stream:
            await self._stream(exchange, reply, model, transcript, headers, with_usage=wants_usage(body))
        else:
            await self._whole(exchange, reply, model, transcript, headers)

    # What to say -----------------------------------------------------------------------------------------------------

    async def _reply(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        model: str,
        messages: list[dict[str, Any]],
        text: str,
        transcript: Transcript,
    ) -> _Reply:
        kernel, principal = self._kernel, exchange.principal
        language = "ru" if speaks_russian(text) else "en"
        decisions = parse_reply(text)
        session_id = await self._session(exchange, body, transcript)
        if decisions:
            return await self._decide(principal, decisions, session_id, language)
        if session_id is not None:
            waiting = await self._waiting_turn(principal, session_id)
            if waiting is not None and waiting.state is TurnState.WAITING_ANSWER:
                try:
                    answered = await kernel.turns.answer(principal, session_id, text)
                except BadInputError as error:  # none of the options
                    if not drops_question(text):
                        return _Reply(session_id, [f"{error} {way_out(language)}"], None, waiting.number)
                    await kernel.turns.cancel(principal, waiting.id, "the question was dropped")
                    return _Reply(session_id, [dropped_text(language)], None, waiting.number)
                if answered is not None:
                    answer = await self._continuation(principal, waiting, answered.first_seq + 1, language)
                    return _Reply(session_id, (), answer, waiting.number)
            elif waiting is not None:
                return await self._remind(principal, waiting, language)
        turn = await kernel.turns.start(
            principal,
            session_id,
            text,
            model=model,
            options=with_labels(
                exchange,
                {
                    "wire": "chat.completions",
                    "parameters": {name: value for name, value in body.items() if name not in _NOT_PARAMETERS},
                },
            ),
            idempotency_key=exchange.header(b"idempotency-key"),
            history=_history(messages[:-1]) if session_id is None else (),
        )
        answer = TurnAnswer(
            kernel.logs, principal, turn, after=turn.first_seq, view=TurnView(turn.id), language=language
        )
        return _Reply(turn.session_id, (), answer, turn.number)

    async def _session(self, exchange: Exchange, body: Mapping[str, Any], transcript: Transcript) -> SessionId | None:
        """Return the session a request belongs to: named by header, by metadata, or known by its history."""
        named: object = exchange.header(SESSION_HEADER)
        if not named:
            metadata = body.get("metadata")
            named = metadata.get("session_id") if isinstance(metadata, dict) else None
        if isinstance(named, str) and named:
            session = await self._kernel.store.session(exchange.principal, SessionId(clean_text(named)))
            return session.id
        return await find_session(self._kernel.store, exchange.principal, transcript)

    async def _waiting_turn(self, principal: Principal, session_id: SessionId) -> TurnRecord | None:
        """Return the turn of a session that waits for a person."""
        for turn in await self._kernel.store.turns(principal, session_id, limit=20):
            if turn.state in (TurnState.WAITING_APPROVAL, TurnState.WAITING_ANSWER):
                return turn
        return None

    async def _remind(self, principal: Principal, turn: TurnRecord, language: Any) -> _Reply:
        """Say what is open instead of starting another turn behind it."""
        requests = await self._kernel.store.approvals(principal, state=ApprovalState.OPEN, session_id=turn.session_id)
        first = (
            "Сначала нужно ваше решение; сообщение не отправлено модели."
            if language == "ru"
            else "This conversation waits for your decision first; your message was not sent to a model."
        )
        texts = [chat_text(approval_wire(request), language) for request in reversed(requests)]
        return _Reply(turn.session_id, [PARAGRAPH.join([first, *texts])], None, turn.number)

    async def _decide(
        self, principal: Principal, decisions: Sequence[Reply], session_id: SessionId | None, language: Any
    ) -> _Reply:
        """Apply decisions. They never reach a model, whatever becomes of them."""
        kernel = self._kernel
        notes: list[str] = []
        decided: dict[TurnId, list[str]] = {}
        sessions: dict[TurnId, SessionId] = {}
        for decision in decisions:
            try:
                request = await kernel.approvals.decide_by_code(
                    principal,
                    decision.code,
                    approve=decision.approve,
                    remark=decision.remark,
                    remember=decision.remember,
                )
            except (ApprovalNotFoundError, ApprovalClosedError) as error:
                notes.append(undecided_text(decision.code, error, language))
                continue
            decided.setdefault(request.turn_id, []).append(request.id)
            sessions[request.turn_id] = request.session_id
        if not decided:
            number = await self._newest_turn_number(principal, session_id)
            return _Reply(session_id, notes, None, number)
        # Where one message decides for several turns, the answer is about the one of this conversation.
        turn_id = next((turn for turn in decided if sessions[turn] == session_id), next(iter(decided)))
        others = len(decided) - 1
        if others:
            notes.append(f"(и ещё {others})" if language == "ru" else f"({others} more)")
        turn = await kernel.store.turn(principal, turn_id)
        events = await turn_events(kernel.store, principal, turn)
        begin = min(
            event.seq
            for event in events
            if event.type == EventType.APPROVAL_DECIDED and event.data.get("approval_id") in decided[turn_id]
        )
        answer = await self._continuation(principal, turn, begin, language)
        return _Reply(turn.session_id, notes, answer, turn.number)

    async def _newest_turn_number(self, principal: Principal, session_id: SessionId | None) -> int:
        if session_id is None:
            return 0
        newest = await self._kernel.store.turns(principal, session_id, limit=1)
        return newest[0].number if newest else 0

    async def _continuation(self, principal: Principal, turn: TurnRecord, begin: int, language: str) -> TurnAnswer:
        """Return the answer that goes on with the event ``begin``, where a person let the turn go on."""
        view = TurnView(turn.id)
        for event in await turn_events(self._kernel.store, principal, turn):
            if event.seq < begin:
                view.take(event)
        return TurnAnswer(self._kernel.logs, principal, turn, after=begin - 1, view=view, language=language)

    # Saying it -------------------------------------------------------------------------------------------------------

    async def _pieces(self, reply: _Reply) -> AsyncIterator[Sequence[Piece]]:
        if reply.answer is None:
            yield [Piece(PieceKind.TEXT, PARAGRAPH.join(reply.notes)), Piece(PieceKind.END)]
            return
        if reply.notes:
            yield [reply.answer.say(PARAGRAPH.join(reply.notes))]
        batches = cast("Any", reply.answer.pieces())
        async with aclosing(batches):
            async for batch in batches:
                yield batch

    async def _stream(
        self,
        exchange: Exchange,
        reply: _Reply,
        model: str,
        transcript: Transcript,
        headers: Sequence[Header],
        *,
        with_usage: bool,
    ) -> None:
        writer = ChunkWriter(model)
        async with (
            EventStream(exchange, self._watch, headers) as stream,
            aclosing(cast("Any", self._pieces(reply))) as batches,
        ):
            async for batch in batches:
                encoded = []
                for piece in batch:
                    if piece.kind is PieceKind.TEXT:
                        encoded.append(writer.text(piece.text))
                    elif piece.kind is PieceKind.PROGRESS:
                        encoded.append(writer.reasoning(piece.text))
                    elif piece.error is not None:
                        if not exchange.is_started and not encoded:
                            raise piece.error
                        encoded.append(encode_data(openai_error(piece.error, exchange.correlation_id)))
                        await stream.finish(b"".join(encoded))
                        return
                    else:
                        await self._remember(reply, transcript)
                        encoded.append(writer.finish())
                        if with_usage:
                            encoded.append(writer.usage(_usage(reply)))
                        encoded.append(DONE)
                        await stream.finish(b"".join(encoded))
                        return
                await stream.write(b"".join(encoded))
        if stream.is_gone:
            await self._abandon(exchange, reply)

    async def _whole(
        self, exchange: Exchange, reply: _Reply, model: str, transcript: Transcript, headers: Sequence[Header]
    ) -> None:
        texts: list[str] = []
        progress: list[str] = []
        async with (
            WatchedClient(exchange, self._watch) as client,
            aclosing(cast("Any", self._pieces(reply))) as batches,
        ):
            async for batch in batches:
                for piece in batch:
                    if piece.error is not None:
                        raise piece.error
                    (texts if piece.kind is PieceKind.TEXT else progress).append(piece.text)
        if client.is_gone:
            await self._abandon(exchange, reply)
            return
        await self._remember(reply, transcript)
        document = completion(model, "".join(texts), usage=_usage(reply), reasoning="".join(progress))
        await exchange.respond(200, orjson.dumps(document), [JSON, *headers])

    async def _remember(self, reply: _Reply, transcript: Transcript) -> None:
        """Keep where this conversation stands, before the client can send its next message."""
        if reply.session_id is None:
            return
        transcript.add("assistant", reply.answer.text if reply.answer is not None else PARAGRAPH.join(reply.notes))
        try:
            await remember(self._kernel.store, transcript, reply.session_id, reply.turn_number)
        except StoreError as error:
            logger.warning("transcript not kept; the next message begins a new session", extra={"error": error.code})

    async def _abandon(self, exchange: Exchange, reply: _Reply) -> None:
        """Cancel the turn of a client that left, unless it waits for a person."""
        answer = reply.answer
        if answer is None or answer.is_over or self._watch.is_stopping:
            return
        try:
            await self._kernel.turns.cancel(exchange.principal, answer.turn.id, reason="the client left")
        except IskraError as error:
            logger.warning("turn not cancelled", extra={"turn_id": answer.turn.id, "error": error.code})


def _usage(reply: _Reply) -> Mapping[str, object]:
    return (reply.answer.usage if reply.answer is not None else None) or NO_USAGE


def _input_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the user's new message.

    Raises:
        BadInputError: The last message is not the user's, is empty, or holds what an agent cannot read.
    """
    last = messages[-1]
    if last["role"] != "user":
        raise bad(
            "The last message must be the user's.",
            "messages",
            mend="Agents answer messages; use a model `llm:…` to continue an answer or to send results of tools.",
        )
    content = last.get("content")
    if isinstance(content, list):
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in _TEXT_PARTS:
                raise BadInputError(
                    f"Agents read text only; the message has a part of the type {kind!r}.",
                    mend="Send text, or use a model `llm:…`, which passes such parts on.",
                    facts={"param": "messages"},
                )
    elif not isinstance(content, str):
        raise bad("The content of the last message must be text.", "messages")
    text = clean_text(text_of(last)).strip()
    if is_blank(text):
        raise bad("The last message is empty.", "messages")
    return text


def _history(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the earlier messages as a new session's history: their texts, without calls of tools it does not have."""
    history = []
    for message in messages:
        role = "system" if message["role"] == "developer" else message["role"]
        text = clean_text(text_of(message))
        if role in ("system", "user", "assistant") and not is_blank(text):
            history.append(Message({"role": role, "content": text}))
    return history
