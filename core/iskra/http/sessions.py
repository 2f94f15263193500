"""The native API of sessions and turns."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Depends, Query, Request

from iskra.http.client_watch import ClientWatch
from iskra.http.exchange import Exchange
from iskra.http.inputs import AnswerInput, CancelInput, SessionChange, SessionInput, TurnInput, read
from iskra.http.problems import HTTPError
from iskra.http.request_labels import with_labels
from iskra.http.routing import JSONAnswer, exchange_of, needs, principal_of
from iskra.http.sse import EventStream, encode_events
from iskra.http.wire import message_wire, session_wire, step_wire, turn_wire
from iskra.kernel import Kernel
from iskra.session_log import RESERVATION, LiveSession
from iskra_sdk.errors import BadInputError
from iskra_sdk.event import TURN_ENDED, Event, EventType
from iskra_sdk.ids import SessionId, TurnId, new_id
from iskra_sdk.message import clean_text
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    AppendAudit,
    AuditEntry,
    CreateSession,
    DeleteSession,
    Session,
    TurnRecord,
    UpdateSession,
)

Caller = Annotated[Principal, Depends(principal_of)]
_OPENING = b"retry: 1000\n\n"
_LONGEST_KEY = 200
_MOST_EVENTS = 1000


class Sessions:
    """What the session routes do."""

    def __init__(self, kernel: Kernel, watch: ClientWatch) -> None:
        self._kernel = kernel
        self._watch = watch

    # Sessions --------------------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, given: SessionInput) -> Session:
        """Make an empty session."""
        kernel = self._kernel
        self._check_model(given.agent)
        now = kernel.clock.now()
        session = Session(
            id=SessionId(new_id("ses")),
            principal_id=principal.id,
            created_at=now,
            updated_at=now,
            title=given.title,
            agent=given.agent or "iskra",
            metadata=given.metadata,
            reserved_seq=RESERVATION,
        )
        live = kernel.logs.create(session)
        try:
            created = Event(EventType.SESSION_CREATED, {"title": session.title, "agent": session.agent}, at=now)
            await kernel.logs.commit(live, [CreateSession(session)], [created])
        finally:
            kernel.logs.release(live)
        return session

    async def change(self, principal: Principal, session_id: SessionId, given: SessionChange) -> Session:
        """Change title, agent or metadata."""
        kernel = self._kernel
        self._check_model(given.agent)
        changes = given.model_dump(exclude_none=True)
        async with self._live(principal, session_id) as live:
            update = UpdateSession(session_id, kernel.clock.now(), **changes)
            event = Event(EventType.SESSION_UPDATED, changes, at=update.updated_at)
            await kernel.logs.commit(live, [update], [event])
        return await kernel.store.session(principal, session_id)

    async def delete(self, principal: Principal, session_id: SessionId, correlation_id: str) -> None:
        """Cancel what runs, then remove the session with everything in it."""
        kernel = self._kernel
        session = await kernel.store.session(principal, session_id)
        for turn in await kernel.store.turns(principal, session_id, limit=100):
            if turn.state in UNFINISHED:
                await kernel.turns.cancel(principal, turn.id, reason="the session is deleted")
        entry = AuditEntry(
            kernel.clock.now(), principal.id, "session.delete", session.id, correlation_id=correlation_id
        )
        await kernel.store.apply([DeleteSession(session.id), AppendAudit(entry)])
        kernel.bus.publish_nowait(Event(EventType.SESSION_DELETED, {}, session_id=session.id, at=entry.at))

    def _check_model(self, model: str | None) -> None:
        if model is not None:
            with self._kernel.plugins.lease() as lease:
                self._kernel.turns.resolve_model(model, lease.catalog)

    @asynccontextmanager
    async def _live(self, principal: Principal, session_id: SessionId) -> AsyncIterator[LiveSession]:
        live = await self._kernel.logs.open(principal, session_id)
        try:
            yield live
        finally:
            self._kernel.logs.release(live)

    # Turns -----------------------------------------------------------------------------------------------------------

    async def start_turn(self, exchange: Exchange) -> None:
        """``POST /api/v1/sessions/{session_id}/turns``: 202 with the turn, or its events as they happen."""
        session_id = SessionId(exchange.scope["path_params"]["session_id"])
        given = read(TurnInput, await exchange.read_json())
        key = exchange.header(b"idempotency-key")
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise BadInputError(f"The idempotency key may have {_LONGEST_KEY} printable characters at most.")
        turn = await self._kernel.turns.start(
            exchange.principal,
            session_id,
            given.text,
            model=given.model,
            options=with_labels(exchange, given.turn_options),
            idempotency_key=key,
        )
        if "text/event-stream" in exchange.header(b"accept"):
            await self._stream(exchange, turn.session_id, after=turn.first_seq, turn_id=turn.id)
            return
        await exchange.respond_json(turn_wire(turn), 202)

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord:
        """Answer the open question of a session."""
        turn = await self._kernel.turns.answer(principal, session_id, text)
        if turn is None:
            raise HTTPError(409, "No question is open in this session.", mend="Send the text as a new turn.")
        return turn

    # Events ----------------------------------------------------------------------------------------------------------

    async def events(self, exchange: Exchange) -> None:
        """``GET /api/v1/sessions/{session_id}/events``: a stream, or a page where JSON is asked for."""
        session_id = SessionId(exchange.scope["path_params"]["session_id"])
        query = exchange.query
        after = max(_number(query.get("after", "0")), _number(exchange.header(b"last-event-id") or "0"))
        principal, store = exchange.principal, self._kernel.store
        if "application/json" in exchange.header(b"accept"):
            limit = min(_MOST_EVENTS, max(1, _number(query.get("limit", str(_MOST_EVENTS)))))
            page = await store.events(principal, session_id, after=after, limit=limit)
            next_after = page[-1].seq if len(page) == limit else None
            await exchange.respond_json({"data": [event.wire for event in page], "next": next_after})
            return
        await store.session(principal, session_id)
        await self._stream(exchange, session_id, after=after)

    async def _stream(
        self, exchange: Exchange, session_id: SessionId, *, after: int, turn_id: TurnId | None = None
    ) -> None:
        batches = cast("Any", self._kernel.logs.follow(exchange.principal, session_id, after=after))
        async with EventStream(exchange, self._watch) as stream:
            await stream.write(_OPENING)
            async with aclosing(batches):
                async for batch in batches:
                    if turn_id is None:
                        await stream.write(encode_events(batch))
                        continue
                    await stream.write(encode_events(event for event in batch if event.turn_id in (turn_id, None)))
                    if any(event.type in TURN_ENDED and event.turn_id == turn_id for event in batch):
                        break
            await stream.finish()


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadInputError(
            "The position must be the number of an event.", mend="Use `?after=N` or `Last-Event-ID: N`."
        )
    return int(text)


def add_session_routes(router: APIRouter, kernel: Kernel, sessions: Sessions) -> None:
    """Add the routes that answer in one piece."""
    store = kernel.store
    reads, writes = needs("sessions:read"), needs("sessions:write")

    @router.post("/api/v1/sessions", status_code=201, openapi_extra=writes, tags=["sessions"])
    async def create_session(caller: Caller, given: SessionInput) -> JSONAnswer:
        """Make an empty session."""
        return JSONAnswer(session_wire(await sessions.create(caller, given)), 201)

    @router.get("/api/v1/sessions", openapi_extra=reads, tags=["sessions"])
    async def list_sessions(
        caller: Caller, limit: Annotated[int, Query(ge=1, le=200)] = 50, before: str | None = None
    ) -> JSONAnswer:
        """List sessions, newest first."""
        page = await store.sessions(caller, limit=limit, before=SessionId(clean_text(before)) if before else None)
        return JSONAnswer(
            {"data": [session_wire(session) for session in page], "next": page[-1].id if len(page) == limit else None}
        )

    @router.get("/api/v1/sessions/{session_id}", openapi_extra=reads, tags=["sessions"])
    async def get_session(caller: Caller, session_id: str) -> JSONAnswer:
        """Read a session."""
        return JSONAnswer(session_wire(await store.session(caller, SessionId(session_id))))

    @router.patch("/api/v1/sessions/{session_id}", openapi_extra=writes, tags=["sessions"])
    async def change_session(caller: Caller, session_id: str, given: SessionChange) -> JSONAnswer:
        """Change a session."""
        return JSONAnswer(session_wire(await sessions.change(caller, SessionId(session_id), given)))

    @router.delete("/api/v1/sessions/{session_id}", status_code=204, openapi_extra=writes, tags=["sessions"])
    async def delete_session(caller: Caller, session_id: str, request: Request) -> None:
        """Cancel what runs in a session and remove it with everything in it."""
        await sessions.delete(caller, SessionId(session_id), exchange_of(request).correlation_id)

    @router.get("/api/v1/sessions/{session_id}/messages", openapi_extra=reads, tags=["sessions"])
    async def list_messages(
        caller: Caller,
        session_id: str,
        after: Annotated[int, Query(ge=-1, le=2**62)] = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> JSONAnswer:
        """Read a session's messages, oldest first."""
        page = await store.messages(caller, SessionId(session_id), after=after, limit=limit)
        return JSONAnswer(
            {
                "data": [message_wire(message) for message in page],
                "next": page[-1].position if len(page) == limit else None,
            }
        )

    @router.get("/api/v1/sessions/{session_id}/context", openapi_extra=reads, tags=["sessions"])
    async def show_context(caller: Caller, session_id: str) -> JSONAnswer:
        """Show what the session's agent would see with the next message."""
        return JSONAnswer(dict(await kernel.turns.view_context(caller, SessionId(session_id))))

    @router.get("/api/v1/sessions/{session_id}/turns", openapi_extra=reads, tags=["turns"])
    async def list_turns(
        caller: Caller,
        session_id: str,
        limit: Annotated[int, Query(ge=1, le=200)] = 100,
        before: Annotated[int | None, Query(ge=1, le=2**31)] = None,
    ) -> JSONAnswer:
        """Read a session's turns, newest first."""
        page = await store.turns(caller, SessionId(session_id), limit=limit, before=before)
        return JSONAnswer(
            {"data": [turn_wire(turn) for turn in page], "next": page[-1].number if len(page) == limit else None}
        )

    @router.post("/api/v1/sessions/{session_id}/answer", openapi_extra=writes, tags=["turns"])
    async def answer_session(caller: Caller, session_id: str, given: AnswerInput) -> JSONAnswer:
        """Answer the question that is open in a session."""
        return JSONAnswer(turn_wire(await sessions.answer(caller, SessionId(session_id), given.text)))

    @router.get("/api/v1/turns/{turn_id}", openapi_extra=reads, tags=["turns"])
    async def get_turn(caller: Caller, turn_id: str) -> JSONAnswer:
        """Read a turn."""
        return JSONAnswer(turn_wire(await store.turn(caller, TurnId(turn_id))))

    @router.get("/api/v1/turns/{turn_id}/steps", openapi_extra=reads, tags=["turns"])
    async def list_steps(caller: Caller, turn_id: str) -> JSONAnswer:
        """Read a turn's journal."""
        return JSONAnswer({"data": [step_wire(step) for step in await store.steps(caller, TurnId(turn_id))]})

    @router.post("/api/v1/turns/{turn_id}/replay", openapi_extra=writes, tags=["turns"])
    async def replay_turn(caller: Caller, turn_id: str) -> JSONAnswer:
        """Run a finished turn again on recorded answers and results, without effects, and tell the first difference."""
        replayed = await kernel.turns.replay(caller, TurnId(turn_id))
        difference = asdict(replayed.difference) if replayed.difference is not None else None
        return JSONAnswer({"turn_id": turn_id, "steps": replayed.steps, "of": replayed.of, "difference": difference})

    @router.post("/api/v1/turns/{turn_id}/cancel", openapi_extra=writes, tags=["turns"])
    async def cancel_turn(
        caller: Caller, turn_id: str, given: Annotated[CancelInput | None, Body()] = None
    ) -> JSONAnswer:
        """Cancel a turn; one that has ended stays as it is."""
        reason = (given.reason if given is not None else "") or "cancelled by the user"
        await kernel.turns.cancel(caller, TurnId(turn_id), reason=reason)
        return JSONAnswer(turn_wire(await store.turn(caller, TurnId(turn_id))))

    @router.post("/api/v1/turns/{turn_id}/answer", openapi_extra=writes, tags=["turns"])
    async def answer_turn(caller: Caller, turn_id: str, given: AnswerInput) -> JSONAnswer:
        """Answer the question that a turn asks."""
        turn = await store.turn(caller, TurnId(turn_id))
        return JSONAnswer(turn_wire(await sessions.answer(caller, turn.session_id, given.text)))
