"""``/v1/responses``: OpenAI's Responses protocol over turns."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from iskra.approvals import parse_reply
from iskra.http.chat_wire import bad, model_of, wants_stream
from iskra.http.client_watch import ClientWatch, WatchedClient
from iskra.http.exchange import Exchange
from iskra.http.problems import openai_error
from iskra.http.request_labels import with_labels
from iskra.http.response_events import Numbered, ResponseEvents, ResponseFacts, SegmentId
from iskra.http.sse import EventStream, encode_named
from iskra.http.transcripts import text_of
from iskra.http.turn_answer import ServerStoppingError, turn_events
from iskra.http.turn_view import TurnView
from iskra.kernel import Kernel
from iskra_sdk.approval import ApprovalState
from iskra_sdk.errors import BadInputError, ConflictError, TurnNotFoundError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.message import Message, clean_text, is_blank
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import TurnRecord, TurnState

logger = logging.getLogger(__name__)

_PARAMETERS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_completion_tokens"}
"""What a response's parameters are called in chat completions."""
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal"})


@dataclass(slots=True)
class _Input:
    """The ``input`` of a request, sorted."""

    history: list[Message] = field(default_factory=list)
    text: str = ""
    decisions: list[tuple[ApprovalId, bool, str]] = field(default_factory=list)


class Responses:
    """The endpoints of the Responses protocol."""

    def __init__(self, kernel: Kernel, watch: ClientWatch) -> None:
        self._kernel = kernel
        self._watch = watch

    # Creating --------------------------------------------------------------------------------------------------------

    async def create(self, exchange: Exchange) -> None:
        """``POST /v1/responses``."""
        body = await exchange.read_json()
        is_stream = wants_stream(body)
        if body.get("tools"):
            raise bad(
                "Agents use the server's tools, so `tools` cannot be set here.",
                "tools",
                mend="Leave `tools` out, or use /v1/chat/completions with a model `llm:…`.",
            )
        events = await self._begin(exchange, body, _read_input(body.get("input")))
        if body.get("background") is True and not is_stream:
            await exchange.respond_json(events.document())
        elif is_stream:
            await self._stream(exchange, events)
        else:
            await self._wait(exchange, events)

    async def _begin(self, exchange: Exchange, body: Mapping[str, Any], given: _Input) -> ResponseEvents:
        kernel, principal = self._kernel, exchange.principal
        previous_id = body.get("previous_response_id")
        instructions = body.get("instructions")
        metadata = body.get("metadata")
        facts = ResponseFacts(
            previous_response_id=previous_id if isinstance(previous_id, str) else None,
            instructions=instructions if isinstance(instructions, str) else None,
            metadata=metadata if isinstance(metadata, dict) else None,
        )
        session_id: SessionId | None = None
        if facts.previous_response_id is not None:
            _, previous = await self._find(principal, facts.previous_response_id)
            session_id = previous.session_id
        if given.decisions:
            return await self._decide(principal, given, facts)
        if replies := parse_reply(given.text):
            turn_id = None
            for reply in replies:
                request = await kernel.approvals.decide_by_code(
                    principal, reply.code, approve=reply.approve, remark=reply.remark, remember=reply.remember
                )
                given.decisions.append((request.id, reply.approve, reply.remark))
                turn_id = turn_id or request.turn_id
            if turn_id is not None:
                return await self._after_decisions(principal, given, turn_id, facts)
        if session_id is not None:
            waiting = await kernel.turns.active_turn(principal, session_id)
            if waiting is not None and waiting.state is TurnState.WAITING_ANSWER:
                answered = await kernel.turns.answer(principal, session_id, given.text)
                if answered is not None:
                    return _segment(waiting, answered.first_seq + 1, facts)
            if waiting is not None and waiting.state is TurnState.WAITING_APPROVAL:
                requests = await kernel.store.approvals(principal, state=ApprovalState.OPEN, session_id=session_id)
                raise ConflictError(
                    "This conversation waits for a decision first.",
                    mend="Send an input item of the type `mcp_approval_response` for each open request.",
                    facts={"open": [request.id for request in requests]},
                )
        history = given.history
        if facts.instructions:
            history = [Message.system(clean_text(facts.instructions)), *history]
        turn = await kernel.turns.start(
            principal,
            session_id,
            given.text,
            model=model_of(body),
            options=with_labels(
                exchange,
                {
                    "wire": "responses",
                    "parameters": {_PARAMETERS[name]: body[name] for name in _PARAMETERS if body.get(name) is not None},
                },
            ),
            history=history if session_id is None else (),
        )
        return ResponseEvents(SegmentId(turn.id), turn, facts, TurnView(turn.id))

    async def _decide(self, principal: Principal, given: _Input, facts: ResponseFacts) -> ResponseEvents:
        turn_ids = set()
        for approval_id, approve, remark in given.decisions:
            request = await self._kernel.approvals.decide(principal, approval_id, approve=approve, remark=remark)
            turn_ids.add(request.turn_id)
        return await self._after_decisions(principal, given, turn_ids.pop(), facts)

    async def _after_decisions(
        self, principal: Principal, given: _Input, turn_id: TurnId, facts: ResponseFacts
    ) -> ResponseEvents:
        turn = await self._kernel.store.turn(principal, turn_id)
        approval_ids = {approval_id for approval_id, _, _ in given.decisions}
        begin = min(
            event.seq
            for event in await turn_events(self._kernel.store, principal, turn)
            if event.type == EventType.APPROVAL_DECIDED and event.data.get("approval_id") in approval_ids
        )
        return _segment(turn, begin, facts)

    # Reading ---------------------------------------------------------------------------------------------------------

    async def read(self, exchange: Exchange) -> None:
        """``GET /v1/responses/{id}``, whole or as a stream after an event."""
        segment, turn = await self._find(exchange.principal, exchange.scope["path_params"]["response_id"])
        query = exchange.query
        events = ResponseEvents(segment, turn, ResponseFacts(), TurnView(turn.id))
        if query.get("stream") == "true":
            after = query.get("starting_after", "-1")
            if not after.lstrip("-").isdigit() or len(after) > 18:
                raise bad("`starting_after` must be the `sequence_number` of an event.", "starting_after")
            await self._stream(exchange, events, after=int(after))
            return
        await self._catch_up(exchange.principal, events)
        await exchange.respond_json(events.document())

    async def cancel(self, exchange: Exchange) -> None:
        """``POST /v1/responses/{id}/cancel``."""
        segment, turn = await self._find(exchange.principal, exchange.scope["path_params"]["response_id"])
        await self._kernel.turns.cancel(exchange.principal, turn.id, reason="cancelled by the client")
        events = ResponseEvents(segment, turn, ResponseFacts(), TurnView(turn.id))
        await self._catch_up(exchange.principal, events)
        await exchange.respond_json(events.document())

    async def _find(self, principal: Principal, response_id: str) -> tuple[SegmentId, TurnRecord]:
        segment = SegmentId.parse(response_id)
        if segment is None:
            raise TurnNotFoundError(f"There is no response {clean_text(response_id)[:100]!r}.")
        try:
            return segment, await self._kernel.store.turn(principal, TurnId(segment.turn_id))
        except TurnNotFoundError as exc:
            raise TurnNotFoundError(f"There is no response {response_id[:100]!r}.") from exc

    async def _catch_up(self, principal: Principal, events: ResponseEvents) -> None:
        """Take in what is stored of the turn."""
        stored = await turn_events(self._kernel.store, principal, events.turn)
        for _ in events.take(stored):
            pass

    # Answering -------------------------------------------------------------------------------------------------------

    async def _follow(self, principal: Principal, events: ResponseEvents) -> AsyncIterator[Sequence[Numbered]]:
        turn = events.turn
        batches = cast("Any", self._kernel.logs.follow(principal, turn.session_id, after=max(0, turn.first_seq - 1)))
        async with aclosing(batches):
            async for batch in batches:
                yield list(events.take(batch))
                if events.is_over:
                    return
                last: Event = batch[-1]
                if last.type == EventType.SERVER_STOPPING:
                    raise ServerStoppingError

    async def _stream(self, exchange: Exchange, events: ResponseEvents, *, after: int = -1) -> None:
        followed = cast("Any", self._follow(exchange.principal, events))
        async with EventStream(exchange, self._watch) as stream, aclosing(followed):
            try:
                async for batch in followed:
                    encoded = b"".join(encode_named(kind, data) for number, kind, data in batch if number > after)
                    if encoded:
                        await stream.write(encoded)
            except ServerStoppingError as error:
                document = openai_error(error, exchange.correlation_id)["error"]
                await stream.finish(encode_named("error", {"type": "error", **document}))
            else:
                await stream.finish()

    async def _wait(self, exchange: Exchange, events: ResponseEvents) -> None:
        followed = cast("Any", self._follow(exchange.principal, events))
        async with WatchedClient(exchange, self._watch) as client, aclosing(followed):
            async for _ in followed:
                pass
        if not client.is_gone:
            await exchange.respond(200, orjson.dumps(events.document(), default=str))


def _segment(turn: TurnRecord, begin: int, facts: ResponseFacts) -> ResponseEvents:
    """Return the segment that begins with an event; it takes in the turn from its start."""
    return ResponseEvents(SegmentId(turn.id, begin), turn, facts, TurnView(turn.id))


def _read_input(given: object) -> _Input:
    """Sort the input into the new message, what came before it, and decisions.

    Raises:
        BadInputError: It has something that agents cannot read.
    """
    if isinstance(given, str):
        text = clean_text(given).strip()
        if is_blank(text):
            raise bad("`input` is empty.", "input")
        return _Input(text=text)
    if not isinstance(given, list) or not given:
        raise bad("`input` must be a text or a list of items.", "input")
    result = _Input()
    messages: list[tuple[str, str]] = []
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise bad(f"`input[{index}]` must be an object.", f"input[{index}]")
        kind = item.get("type", "message")
        if kind == "mcp_approval_response":
            result.decisions.append(_decision(item, index))
        elif kind == "message":
            messages.append(_message(item, index))
        elif kind not in ("mcp_approval_request", "reasoning"):  # what a client repeats from an earlier output
            raise bad(
                f"Agents cannot read input of the type {str(kind)[:60]!r}.",
                f"input[{index}]",
                mend="Send messages and `mcp_approval_response` items.",
            )
    if result.decisions:
        return result
    if not messages or messages[-1][0] != "user":
        raise bad("The last item of `input` must be a message of the user.", "input")
    if is_blank(messages[-1][1]):
        raise bad("The last message of `input` is empty.", "input", mend="Write something.")
    result.text = messages[-1][1].strip()
    result.history = [Message({"role": role, "content": text}) for role, text in messages[:-1] if not is_blank(text)]
    return result


def _decision(item: Mapping[str, Any], index: int) -> tuple[ApprovalId, bool, str]:
    approval_id, approve, reason = item.get("approval_request_id"), item.get("approve"), item.get("reason")
    if not isinstance(approval_id, str) or not isinstance(approve, bool):
        raise bad("An `mcp_approval_response` needs `approval_request_id` and `approve`.", f"input[{index}]")
    return ApprovalId(clean_text(approval_id)), approve, clean_text(reason) if isinstance(reason, str) else ""


def _message(item: Mapping[str, Any], index: int) -> tuple[str, str]:
    role = _ROLES.get(str(item.get("role")))
    content = item.get("content")
    if role is None or not isinstance(content, str | list):
        raise bad("A message needs `role` and `content`.", f"input[{index}]")
    if isinstance(content, list):
        for part in content:
            part_type = part.get("type") if isinstance(part, dict) else None
            if part_type not in _TEXT_PARTS:
                raise BadInputError(
                    f"Agents read text only; the message has a part of the type {str(part_type)[:60]!r}.",
                    mend="Send text.",
                    facts={"param": f"input[{index}].content"},
                )
    return role, clean_text(text_of(item))
