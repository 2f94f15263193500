"""What every session store must do; run it over yours.

Example::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        async def store(self):
            store = MyStore()
            yield store
            await store.close()
"""
# ruff: noqa: S101, D102 - a suite of tests is made of assertions, and the names of its tests say what they mean

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from iskra_sdk.approval import ApprovalRequest, ApprovalState, TimeoutAction
from iskra_sdk.errors import (
    ApprovalClosedError,
    ApprovalNotFoundError,
    ConflictError,
    IskraError,
    SessionNotFoundError,
    StoreUnavailableError,
    TurnNotFoundError,
    TurnStateError,
)
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import ApprovalId, EffectId, MessageId, SessionId, TurnId, new_id
from iskra_sdk.llm import Usage
from iskra_sdk.message import Message, ToolCall
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    UNFINISHED,
    AddUsage,
    AppendAudit,
    AppendEvent,
    AppendMessage,
    AuditEntry,
    Change,
    CloseApproval,
    CreateApproval,
    CreateSession,
    CreateTurn,
    Credential,
    DeleteCredentials,
    DeleteSession,
    PluginRecord,
    PutCredential,
    PutPlugin,
    PutPluginValue,
    PutStep,
    PutTranscript,
    ReserveSeq,
    Session,
    SessionStore,
    StepKind,
    StepRecord,
    StepState,
    StoredMessage,
    TurnRecord,
    TurnState,
    UpdateSession,
    UpdateTurn,
    message_position,
)
from iskra_sdk.tool import Risk

ANNA = Principal(id="anna")
BORIS = Principal(id="boris")
ADMIN = Principal(id="root", permissions=frozenset({"*"}))

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

E = TypeVar("E", bound=BaseException)

_ticks = itertools.count(1)


def later() -> datetime:
    """Return a time after all returned before."""
    return START + timedelta(milliseconds=next(_ticks))


def make_session(principal: Principal = ANNA) -> Session:
    """Return a new session."""
    at = later()
    return Session(id=SessionId(new_id("ses")), principal_id=principal.id, created_at=at, updated_at=at)


def make_turn(session: Session, number: int = 1, *, key: str = "", state: TurnState = TurnState.RUNNING) -> TurnRecord:
    """Return a new turn."""
    return TurnRecord(
        id=TurnId(new_id("trn")),
        session_id=session.id,
        principal_id=session.principal_id,
        number=number,
        model="iskra",
        state=state,
        input=Message.user(f"message {number}"),
        created_at=later(),
        idempotency_key=key,
    )


def make_message(session: Session, position: int, text: str = "hello") -> StoredMessage:
    """Return a new message."""
    return StoredMessage(
        id=MessageId(new_id("msg")),
        session_id=session.id,
        position=position,
        message=Message.user(text),
        created_at=later(),
    )


def make_event(session: Session, seq: int) -> Event:
    """Return a new event."""
    return Event(EventType.SESSION_UPDATED, {"n": seq}, session_id=session.id, seq=seq, at=later())


def make_approval(session: Session, *, code: str = "K7Q2", principal: Principal | None = None) -> ApprovalRequest:
    """Return a new approval request."""
    return ApprovalRequest(
        id=ApprovalId(new_id("apr")),
        session_id=session.id,
        turn_id=TurnId("trn_x"),
        tool_call_id="call_1",
        principal_id=session.principal_id if principal is None else principal.id,
        agent="coder",
        tool="write_file",
        plugin="workspace",
        risk=Risk.WRITE,
        arguments='{"path":"a.txt"}',
        hash="0" * 64,
        preview="write a.txt",
        code=code,
        rule="default",
        created_at=later(),
    )


def close_approval(request: ApprovalRequest, state: ApprovalState = ApprovalState.APPROVED) -> CloseApproval:
    """Return the change that closes a request."""
    return CloseApproval(request.id, state, decided_by="anna", decided_at=later())


async def fails(error: type[E], awaitable: Awaitable[object]) -> E:
    """Return the error that ``awaitable`` raises, and fail if it raises none of this class."""
    try:
        await awaitable
    except error as exc:
        return exc
    raise AssertionError(f"{error.__name__} was not raised")


async def traces(store: SessionStore, session: Session) -> tuple[int, int, int, int]:
    """Return how many messages, events, turns and approvals a session has."""
    return (
        len(await store.messages(SYSTEM, session.id)),
        len(await store.events(SYSTEM, session.id)),
        len(await store.turns(SYSTEM, session.id)),
        len(await store.approvals(SYSTEM, session_id=session.id)),
    )


class StoreConformance:
    """The promises of :class:`~iskra_sdk.session_store.SessionStore` as tests for pytest with the anyio plugin.

    A subclass gives a fixture ``store``: an empty, open store, closed afterwards.
    """

    # Round trips ------------------------------------------------------------------------------------------------

    async def test_a_session_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        session = replace(
            make_session(),
            title="Заголовок",
            agent="agent:coder",
            metadata={"a": [1, None]},
            contexts={"b": {"c": 1.5}},
        )
        await store.apply([CreateSession(session)])
        assert await store.session(ANNA, session.id) == session

    async def test_a_turn_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        session = make_session()
        turn = replace(
            make_turn(session, key="k"),
            agent="coder",
            first_seq=7,
            ended_at=later(),
            request_hash="f" * 64,
            options={"parameters": {"temperature": 0}},
            error={"code": "turn_failed"},
            usage=Usage(3, 4),
        )
        await store.apply([CreateSession(session), CreateTurn(turn)])
        assert await store.turn(ANNA, turn.id) == turn

    async def test_a_message_comes_back_byte_for_byte(self, store: SessionStore) -> None:
        session = make_session()
        message = replace(
            make_message(session, message_position(1, 0)),
            message=Message.assistant("привет 👋", [ToolCall("c1", "read_file", '{"path": "a\\u0000"}')]),
            turn_id=TurnId("trn_1"),
            agent="coder",
        )
        await store.apply([CreateSession(session), AppendMessage(message)])
        (found,) = await store.messages(ANNA, session.id)
        assert found == message
        assert found.message.encoded == message.message.encoded

    async def test_a_step_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session)
        step = StepRecord(
            turn_id=turn.id,
            index=0,
            kind=StepKind.TOOL,
            state=StepState.DONE,
            started_at=later(),
            name="read_file",
            data={"arguments": {"n": 10**30}, "result": "ok"},
            effect_id=EffectId("eff_1"),
            ended_at=later(),
        )
        await store.apply([CreateSession(session), CreateTurn(turn), PutStep(step)])
        assert list(await store.steps(ANNA, turn.id)) == [step]

    async def test_an_event_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        session = make_session()
        event = replace(
            make_event(session, 3),
            turn_id=TurnId("trn_1"),
            source="weather",
            severity=Severity.WARNING,
            correlation_id="req_1",
            data={"text": "снег", "list": [{}, [], ""]},
        )
        await store.apply([CreateSession(session), AppendEvent(event)])
        assert list(await store.events(ANNA, session.id)) == [event]

    async def test_an_approval_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        session = make_session()
        request = replace(make_approval(session), expires_at=later(), on_timeout=TimeoutAction.KEEP, reason="it writes")
        await store.apply([CreateSession(session), CreateApproval(request)])
        assert await store.approval(ANNA, request.id) == request

    async def test_plugins_come_back_as_they_went_in(self, store: SessionStore) -> None:
        first = PluginRecord("weather", settings={"city": "Омск"})
        second = PluginRecord("broken", is_enabled=False, failed_starts=3, quarantined_because="it failed")
        await store.apply([PutPlugin(first), PutPlugin(replace(second, failed_starts=2)), PutPlugin(second)])
        assert {plugin.name: plugin for plugin in await store.plugins()} == {"weather": first, "broken": second}

    async def test_text_that_databases_refuse_is_mended_and_not_lost(self, store: SessionStore) -> None:
        session = replace(make_session(), title="a\0b\ud800c", metadata={"k": "x\udfff"})
        request = replace(make_approval(session), preview="rm\0 -rf \ud83d", arguments='{"a":"\0"}')
        await store.apply([CreateSession(session), CreateApproval(request)])
        assert (await store.session(ANNA, session.id)).title == "a\ufffdb\ufffdc"
        assert (await store.session(ANNA, session.id)).metadata == {"k": "x\ufffd"}
        assert [found.preview for found in await store.approvals(ANNA)] == ["rm\ufffd -rf \ufffd"]

    async def test_ids_that_databases_refuse_are_simply_not_found(self, store: SessionStore) -> None:
        for wrong in ("a\0b", "\ud800", "", "' OR 1=1 --", "x" * 10_000):
            await fails(SessionNotFoundError, store.session(ANNA, SessionId(wrong)))
            await fails(SessionNotFoundError, store.messages(ANNA, SessionId(wrong)))
            await fails(TurnNotFoundError, store.turn(ANNA, TurnId(wrong)))
            await fails(ApprovalNotFoundError, store.approval(ANNA, ApprovalId(wrong)))
            assert await store.approval_by_code(ANNA, wrong) is None
            assert await store.turn_by_key(ANNA, SessionId(wrong), wrong) is None
            assert await store.credential(wrong) is None
            assert await store.transcript(wrong) is None

    # All or nothing ---------------------------------------------------------------------------------------------

    async def test_no_change_is_made_when_one_is_refused(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session)
        await store.apply([CreateSession(session), CreateTurn(turn)])
        changes: list[Change] = [
            UpdateSession(session.id, later(), title="never"),
            AppendMessage(make_message(session, 1)),
            AppendEvent(make_event(session, 1)),
            CreateApproval(make_approval(session)),
            CreateTurn(make_turn(session, 2)),
            UpdateTurn(turn.id, TurnState.COMPLETED),
            PutPluginValue("p", "k", 1),
            UpdateTurn(turn.id, TurnState.FAILED),
        ]
        await fails(TurnStateError, store.apply(changes))
        assert await traces(store, session) == (0, 0, 1, 0)
        assert await store.session(ANNA, session.id) == session
        assert await store.turn(ANNA, turn.id) == turn
        assert await store.plugin_value("p", "k") is None

    async def test_a_refused_caller_does_not_harm_its_neighbours(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session), AppendMessage(make_message(session, 1))])
        outcomes = await asyncio.gather(
            *(
                store.apply([AppendEvent(make_event(session, n)), AppendMessage(make_message(session, max(1, n % 4)))])
                for n in range(1, 33)
            ),
            return_exceptions=True,
        )
        made = [event.seq for event in await store.events(ANNA, session.id)]
        assert made == [n for n, outcome in enumerate(outcomes, 1) if outcome is None]
        assert len(made) == 2  # one each at the positions 2 and 3
        assert all(isinstance(outcome, ConflictError) for outcome in outcomes if outcome is not None)

    async def test_changes_are_made_in_the_order_given(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session)
        message = AppendMessage(make_message(session, 1))
        await store.apply([CreateSession(session), message, DeleteSession(session.id), CreateSession(session)])
        assert await traces(store, session) == (0, 0, 0, 0)
        step = StepRecord(turn.id, 0, StepKind.TOOL, StepState.STARTED, later())
        done = replace(step, state=StepState.DONE)
        await store.apply([CreateTurn(turn), PutStep(step), PutStep(done, expected=StepState.STARTED)])
        assert [found.state for found in await store.steps(ANNA, turn.id)] == [StepState.DONE]

    async def test_nothing_can_be_added_to_what_comes_later(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session)
        step = PutStep(StepRecord(turn.id, 0, StepKind.TEXT, StepState.DONE, later()))
        message, event = AppendMessage(make_message(session, 1)), AppendEvent(make_event(session, 1))
        early_changes: list[Change] = [message, event, PutTranscript("d", session.id, 1)]
        for early in early_changes:
            await fails(SessionNotFoundError, store.apply([early, CreateSession(session)]))
        await store.apply([CreateSession(session), message, event])
        await fails(TurnNotFoundError, store.apply([step, CreateTurn(turn)]))
        assert await traces(store, session) == (1, 1, 0, 0)

    async def test_nothing_to_change_is_fine(self, store: SessionStore) -> None:
        await store.apply([])

    async def test_a_cancelled_change_is_made_wholly_or_not_at_all(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session)])
        for seq in range(1, 21):
            changes: list[Change] = [AppendEvent(make_event(session, seq)), AppendMessage(make_message(session, seq))]
            task = asyncio.ensure_future(store.apply(changes))
            for _ in range(seq % 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.apply([AppendEvent(make_event(session, 100)), AppendMessage(make_message(session, 100))])
        events = [event.seq for event in await store.events(ANNA, session.id)]
        assert events == [message.position for message in await store.messages(ANNA, session.id)]
        assert events[-1] == 100

    async def test_a_read_sees_every_acknowledged_change(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session)])

        async def write_and_read(seq: int) -> None:
            await store.apply([AppendEvent(make_event(session, seq))])
            assert seq in {event.seq for event in await store.events(ANNA, session.id)}

        await asyncio.gather(*(write_and_read(seq) for seq in range(1, 51)))

    # Conditions -------------------------------------------------------------------------------------------------

    async def test_an_id_is_taken_once(self, store: SessionStore) -> None:
        session = make_session()
        turn, request = make_turn(session), make_approval(session)
        await store.apply([CreateSession(session), CreateTurn(turn), CreateApproval(request)])
        await fails(ConflictError, store.apply([CreateSession(make_session(BORIS)), CreateSession(session)]))
        await fails(ConflictError, store.apply([CreateTurn(replace(turn, number=2))]))
        error = await fails(ConflictError, store.apply([CreateApproval(replace(request, code="ZZZZ"))]))
        assert error.facts["taken"] == "id"
        assert await store.sessions(BORIS) == []

    async def test_numbers_are_taken_once_per_session(self, store: SessionStore) -> None:
        first, second = make_session(), make_session()
        for session in (first, second):
            await store.apply(
                [
                    CreateSession(session),
                    CreateTurn(make_turn(session, 1)),
                    AppendMessage(make_message(session, 5)),
                    AppendEvent(make_event(session, 5)),
                ]
            )
        await fails(ConflictError, store.apply([AppendMessage(make_message(first, 5))]))
        await fails(ConflictError, store.apply([AppendEvent(make_event(first, 5))]))
        error = await fails(ConflictError, store.apply([CreateTurn(make_turn(first, 1))]))
        assert error.facts["taken"] == "number"

    async def test_what_belongs_to_nothing_is_refused(self, store: SessionStore) -> None:
        absent = make_session()
        turn = make_turn(absent)
        step = StepRecord(turn.id, 0, StepKind.MODEL, StepState.STARTED, later())
        of_sessions: list[Change] = [
            UpdateSession(absent.id, later(), title="x"),
            ReserveSeq(absent.id, 5),
            DeleteSession(absent.id),
            CreateTurn(turn),
            AppendMessage(make_message(absent, 1)),
            AppendEvent(make_event(absent, 1)),
            CreateApproval(make_approval(absent)),
            PutTranscript("d", absent.id, 1),
        ]
        for change in of_sessions:
            await fails(SessionNotFoundError, store.apply([change]))
        of_turns: list[Change] = [
            UpdateTurn(turn.id, TurnState.FAILED),
            PutStep(step),
            PutStep(step, StepState.STARTED),
        ]
        for change in of_turns:
            await fails(TurnNotFoundError, store.apply([change]))
        closing = close_approval(make_approval(absent))
        await fails(ApprovalNotFoundError, store.apply([closing]))

    async def test_an_idempotency_key_makes_one_turn_in_a_race(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session)])
        turns = [make_turn(session, number, key="once") for number in range(1, 21)]
        outcomes = await asyncio.gather(*(store.apply([CreateTurn(turn)]) for turn in turns), return_exceptions=True)
        assert [outcome is None for outcome in outcomes].count(True) == 1
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(error, ConflictError) and error.facts["taken"] == "idempotency_key" for error in refused)
        (made,) = await store.turns(ANNA, session.id)
        assert await store.turn_by_key(ANNA, session.id, "once") == made

    async def test_an_idempotency_key_is_free_in_another_session_and_empty_keys_are_none(
        self, store: SessionStore
    ) -> None:
        first, second = make_session(), make_session()
        await store.apply([CreateSession(first), CreateTurn(make_turn(first, 1, key="k"))])
        await store.apply([CreateSession(second), CreateTurn(make_turn(second, 1, key="k"))])
        await store.apply([CreateTurn(make_turn(first, 2)), CreateTurn(make_turn(first, 3))])
        assert await store.turn_by_key(ANNA, first.id, "") is None

    async def test_a_turn_moves_only_from_an_expected_state(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session, state=TurnState.QUEUED)
        await store.apply([CreateSession(session), CreateTurn(turn)])
        move = UpdateTurn(turn.id, TurnState.RUNNING, frozenset({TurnState.QUEUED}), agent="coder", first_seq=9)
        outcomes = await asyncio.gather(*(store.apply([move]) for _ in range(8)), return_exceptions=True)
        assert [outcome is None for outcome in outcomes].count(True) == 1
        assert all(isinstance(outcome, TurnStateError) for outcome in outcomes if outcome is not None)
        ended = later()
        await store.apply([UpdateTurn(turn.id, TurnState.COMPLETED, ended_at=ended, usage=Usage(5, 6))])
        expected = replace(
            turn, state=TurnState.COMPLETED, agent="coder", first_seq=9, ended_at=ended, usage=Usage(5, 6)
        )
        assert await store.turn(ANNA, turn.id) == expected
        error = await fails(TurnStateError, store.apply([UpdateTurn(turn.id, TurnState.CANCELLED)]))
        assert error.facts["state"] == "completed"

    async def test_a_step_moves_only_from_the_expected_state(self, store: SessionStore) -> None:
        session = make_session()
        turn = make_turn(session)
        step = StepRecord(turn.id, 0, StepKind.TOOL, StepState.WAITING, later(), name="t", data={"n": 1})
        started = replace(step, state=StepState.STARTED, data={"n": 2})
        await store.apply([CreateSession(session), CreateTurn(turn)])
        await fails(ConflictError, store.apply([PutStep(started, expected=StepState.WAITING)]))
        await store.apply([PutStep(step)])
        await fails(ConflictError, store.apply([PutStep(step)]))
        outcomes = await asyncio.gather(
            *(store.apply([PutStep(started, expected=StepState.WAITING)]) for _ in range(8)), return_exceptions=True
        )
        assert [outcome is None for outcome in outcomes].count(True) == 1
        assert list(await store.steps(ANNA, turn.id)) == [started]

    async def test_an_approval_is_closed_once_in_a_race(self, store: SessionStore) -> None:
        session = make_session()
        request = make_approval(session)
        await store.apply([CreateSession(session), CreateApproval(request)])
        states = [ApprovalState.APPROVED if number % 2 else ApprovalState.DENIED for number in range(15)]
        outcomes = await asyncio.gather(
            *(
                store.apply([close_approval(request, state), AppendEvent(make_event(session, seq))])
                for seq, state in enumerate(states, 1)
            ),
            return_exceptions=True,
        )
        (winner,) = [number for number, outcome in enumerate(outcomes) if outcome is None]
        assert all(isinstance(outcome, ApprovalClosedError) for outcome in outcomes if outcome is not None)
        assert (await store.approval(ANNA, request.id)).state is states[winner]
        assert [event.seq for event in await store.events(ANNA, session.id)] == [winner + 1]

    async def test_closing_an_approval_records_the_decision(self, store: SessionStore) -> None:
        session = make_session()
        first, second = make_approval(session, code="AAAA"), make_approval(session, code="BBBB")
        await store.apply([CreateSession(session), CreateApproval(first), CreateApproval(second)])
        at = later()
        await store.apply(
            [
                CloseApproval(first.id, ApprovalState.APPROVED, "anna", at, "fine", arguments="{}", hash="1" * 64),
                CloseApproval(second.id, ApprovalState.EXPIRED, "timeout", at),
            ]
        )
        assert await store.approval(ANNA, first.id) == replace(
            first,
            state=ApprovalState.APPROVED,
            decided_by="anna",
            decided_at=at,
            remark="fine",
            arguments="{}",
            hash="1" * 64,
        )
        assert await store.approval(ANNA, second.id) == replace(
            second, state=ApprovalState.EXPIRED, decided_by="timeout", decided_at=at
        )

    async def test_a_code_is_unique_among_open_requests_of_a_principal(self, store: SessionStore) -> None:
        session, other = make_session(), make_session(BORIS)
        request = make_approval(session)
        await store.apply([CreateSession(session), CreateSession(other), CreateApproval(request)])
        await store.apply([CreateApproval(make_approval(other))])
        error = await fails(ConflictError, store.apply([CreateApproval(make_approval(session))]))
        assert error.facts["taken"] == "code"
        await store.apply([close_approval(request)])
        again = make_approval(session)
        await store.apply([CreateApproval(again)])
        assert await store.approval_by_code(ANNA, "K7Q2") == again
        assert await store.approval_by_code(ANNA, "NONE") is None

    async def test_the_reserved_number_only_rises(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session), ReserveSeq(session.id, 100), ReserveSeq(session.id, 50)])
        assert (await store.session(ANNA, session.id)).reserved_seq == 100

    async def test_an_update_leaves_the_other_fields(self, store: SessionStore) -> None:
        session = replace(make_session(), title="old", agent="agent:ask", metadata={"a": 1}, contexts={"b": 2})
        await store.apply([CreateSession(session)])
        at = later()
        await store.apply([UpdateSession(session.id, at, title="new")])
        assert await store.session(ANNA, session.id) == replace(session, title="new", updated_at=at)
        await store.apply([UpdateSession(session.id, at, agent="iskra", metadata={}, contexts={"c": 3})])
        expected = replace(session, title="new", updated_at=at, agent="iskra", metadata={}, contexts={"c": 3})
        assert await store.session(ANNA, session.id) == expected

    async def test_an_ephemeral_event_is_refused(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session)])
        delta = Event(EventType.MESSAGE_DELTA, {}, session_id=session.id, seq=1)
        await fails(ValueError, store.apply([AppendEvent(delta)]))
        await fails(ValueError, store.apply([AppendEvent(replace(make_event(session, 1), session_id=None))]))

    async def test_a_deleted_session_leaves_only_its_audit_entries(self, store: SessionStore) -> None:
        session, kept = make_session(), make_session()
        turn, request = make_turn(session, key="k"), make_approval(session)
        step = StepRecord(turn.id, 0, StepKind.TEXT, StepState.DONE, later())
        for owner in (session, kept):
            await store.apply([CreateSession(owner), AppendMessage(make_message(owner, 1))])
        await store.apply(
            [
                CreateTurn(turn),
                PutStep(step),
                AppendEvent(make_event(session, 1)),
                CreateApproval(request),
                PutTranscript("digest", session.id, 1),
                AppendAudit(AuditEntry(later(), ANNA.id, "session.delete", session.id)),
                DeleteSession(session.id),
            ]
        )
        await fails(SessionNotFoundError, store.session(SYSTEM, session.id))
        await fails(TurnNotFoundError, store.turn(SYSTEM, turn.id))
        await fails(TurnNotFoundError, store.steps(SYSTEM, turn.id))
        await fails(ApprovalNotFoundError, store.approval(SYSTEM, request.id))
        assert await store.approvals(SYSTEM) == []
        assert await store.transcript("digest") is None
        assert await store.unfinished_turns() == []
        assert len(await store.audit()) == 1
        assert len(await store.messages(ANNA, kept.id)) == 1

    # Ownership --------------------------------------------------------------------------------------------------

    async def test_what_belongs_to_others_looks_as_if_it_did_not_exist(self, store: SessionStore) -> None:
        session = make_session(ANNA)
        turn, request = make_turn(session, key="k"), make_approval(session)
        await store.apply(
            [
                CreateSession(session),
                CreateTurn(turn),
                PutStep(StepRecord(turn.id, 0, StepKind.TEXT, StepState.DONE, later())),
                AppendMessage(make_message(session, 1)),
                AppendEvent(make_event(session, 1)),
                CreateApproval(request),
                AddUsage("2026-03-01", ANNA.id, "coder", "openai/x", Usage(1, 1)),
            ]
        )
        for read, absent in (
            (store.session(BORIS, session.id), store.session(BORIS, SessionId("ses_0"))),
            (store.messages(BORIS, session.id), store.messages(BORIS, SessionId("ses_0"))),
            (store.events(BORIS, session.id), store.events(BORIS, SessionId("ses_0"))),
            (store.turns(BORIS, session.id), store.turns(BORIS, SessionId("ses_0"))),
            (store.turn(BORIS, turn.id), store.turn(BORIS, TurnId("trn_0"))),
            (store.steps(BORIS, turn.id), store.steps(BORIS, TurnId("trn_0"))),
            (store.approval(BORIS, request.id), store.approval(BORIS, ApprovalId("apr_0"))),
            (store.sessions(BORIS, before=session.id), store.sessions(BORIS, before=SessionId("ses_0"))),
        ):
            foreign, missing = await fails(IskraError, read), await fails(IskraError, absent)
            assert (type(foreign), foreign.message) == (type(missing), missing.message)
        assert await store.sessions(BORIS) == []
        assert await store.approvals(BORIS) == []
        assert await store.approvals(BORIS, session_id=session.id) == []
        assert await store.approvals(BORIS, state=ApprovalState.OPEN, session_id=session.id) == []
        assert await store.approval_by_code(BORIS, request.code) is None
        assert await store.turn_by_key(BORIS, session.id, "k") is None
        assert await store.usage(BORIS) == []

    async def test_an_admin_sees_everything_but_answers_codes_only_of_its_own(self, store: SessionStore) -> None:
        session = make_session(ANNA)
        turn, request = make_turn(session, key="k"), make_approval(session)
        await store.apply([CreateSession(session), CreateTurn(turn), CreateApproval(request)])
        assert (await store.session(ADMIN, session.id)).id == session.id
        assert [found.id for found in await store.sessions(ADMIN)] == [session.id]
        assert (await store.turn(ADMIN, turn.id)).id == turn.id
        assert (await store.approval(ADMIN, request.id)).id == request.id
        assert await store.turn_by_key(ADMIN, session.id, "k") == turn
        assert await store.approval_by_code(ADMIN, request.code) is None

    async def test_the_owner_of_a_session_sees_turns_that_an_admin_started_in_it(self, store: SessionStore) -> None:
        session = make_session(ANNA)
        turn = replace(make_turn(session), principal_id=ADMIN.id)
        await store.apply([CreateSession(session), CreateTurn(turn)])
        assert await store.turn(ANNA, turn.id) == turn
        assert list(await store.turns(ANNA, session.id)) == [turn]

    # Lists ------------------------------------------------------------------------------------------------------

    async def test_sessions_are_paged_newest_first(self, store: SessionStore) -> None:
        at = later()
        mine = [replace(make_session(), created_at=at + timedelta(seconds=n // 2)) for n in range(25)]
        await store.apply([CreateSession(session) for session in mine])
        await store.apply([CreateSession(make_session(BORIS)) for _ in range(5)])
        for principal in (ANNA, ADMIN):
            pages: list[Session] = []
            cursor: SessionId | None = None
            while page := await store.sessions(principal, limit=4, before=cursor):
                assert len(page) <= 4
                pages.extend(page)
                cursor = page[-1].id
            assert len(pages) == (25 if principal is ANNA else 30)
            assert len({session.id for session in pages}) == len(pages)
            ages = [session.created_at for session in pages]
            assert ages == sorted(ages, reverse=True)

    async def test_messages_and_events_are_read_from_a_point_on(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session)])
        for number in (5, 1, 3, 70_000, 2):
            await store.apply([AppendMessage(make_message(session, number)), AppendEvent(make_event(session, number))])
        messages = await store.messages(ANNA, session.id, after=1, limit=3)
        assert [message.position for message in messages] == [2, 3, 5]
        events = await store.events(ANNA, session.id, after=1, limit=3)
        assert [event.seq for event in events] == [2, 3, 5]
        assert await store.events(ANNA, session.id, after=70_000) == []
        assert await store.events(ANNA, session.id, after=2**70) == []

    async def test_turns_are_listed_newest_first(self, store: SessionStore) -> None:
        session = make_session()
        await store.apply([CreateSession(session), *(CreateTurn(make_turn(session, n)) for n in (2, 1, 4, 3))])
        assert [turn.number for turn in await store.turns(ANNA, session.id)] == [4, 3, 2, 1]
        assert [turn.number for turn in await store.turns(ANNA, session.id, before=4, limit=2)] == [3, 2]

    async def test_approvals_are_listed_newest_first(self, store: SessionStore) -> None:
        first, second, foreign = make_session(), make_session(), make_session(BORIS)
        requests = [make_approval(first if n % 2 else second, code=f"C{n}") for n in range(6)]
        await store.apply([CreateSession(session) for session in (first, second, foreign)])
        await store.apply([CreateApproval(request) for request in requests])
        await store.apply([CreateApproval(make_approval(foreign)), close_approval(requests[5])])

        async def codes(principal: Principal, **filters: ApprovalState | SessionId | int) -> list[str]:
            return [found.code for found in await store.approvals(principal, **filters)]  # type: ignore[arg-type]

        assert await codes(ANNA) == ["C5", "C4", "C3", "C2", "C1", "C0"]
        assert await codes(ANNA, limit=2) == ["C5", "C4"]
        assert await codes(ANNA, state=ApprovalState.OPEN) == ["C4", "C3", "C2", "C1", "C0"]
        assert await codes(ANNA, session_id=first.id) == ["C5", "C3", "C1"]
        assert await codes(ANNA, state=ApprovalState.OPEN, session_id=first.id) == ["C3", "C1"]
        assert await codes(ADMIN, state=ApprovalState.APPROVED) == ["C5"]
        assert len(await codes(ADMIN)) == 7
        assert await codes(ADMIN, session_id=second.id) == ["C4", "C2", "C0"]

    async def test_unfinished_turns_are_listed_by_session_and_number(self, store: SessionStore) -> None:
        sessions = sorted((make_session(), make_session(BORIS)), key=lambda session: session.id)
        for session in sessions:
            await store.apply([CreateSession(session)])
            states = enumerate(TurnState, 1)
            await store.apply([CreateTurn(make_turn(session, number, state=state)) for number, state in states])
        found = await store.unfinished_turns()
        assert {turn.state for turn in found} == UNFINISHED
        order = [(turn.session_id, turn.number) for turn in found]
        assert order == sorted(order)
        assert len(order) == 2 * len(UNFINISHED)

    # The rest ---------------------------------------------------------------------------------------------------

    async def test_the_newest_transcript_counts(self, store: SessionStore) -> None:
        first, second = make_session(), make_session()
        await store.apply([CreateSession(first), CreateSession(second)])
        await store.apply([PutTranscript("d", first.id, 65_537), PutTranscript("e", first.id, 2)])
        await store.apply([PutTranscript("d", second.id, 65_540)])
        assert await store.transcript("d") == (second.id, 65_540)
        assert await store.transcript("e") == (first.id, 2)
        assert await store.transcript("f") is None
        await store.apply([DeleteSession(second.id)])
        assert await store.transcript("d") == (first.id, 65_537)

    async def test_credentials_end_by_time_and_by_deletion(self, store: SessionStore) -> None:
        now = datetime.now(UTC)

        def credential(digest: str, principal: Principal, *, hours: int) -> Credential:
            # Databases keep microseconds, and so does datetime.
            return Credential(digest, principal.id, now - timedelta(days=2), now + timedelta(hours=hours))

        valid, foreign = credential("a", ANNA, hours=1), credential("c", BORIS, hours=1)
        await store.apply([PutCredential(valid), PutCredential(credential("b", ANNA, hours=-1))])
        await store.apply([PutCredential(foreign), PutCredential(credential("d", ANNA, hours=2))])
        assert await store.credential("a") == valid
        assert await store.credential("b") is None
        await fails(ConflictError, store.apply([PutCredential(valid)]))
        await store.apply([DeleteCredentials(digest="a")])
        assert await store.credential("a") is None
        await store.apply([DeleteCredentials(principal_id=ANNA.id)])
        assert await store.credential("d") is None
        assert await store.credential("c") == foreign
        await fails(ValueError, store.apply([DeleteCredentials()]))

    async def test_plugin_values_are_kept_by_plugin_and_key(self, store: SessionStore) -> None:
        value = {"list": [1, 2.5, "три", None, True]}
        await store.apply([PutPluginValue("p", "a:1", value), PutPluginValue("p", "a:2", 0)])
        await store.apply([PutPluginValue("p", "b%_*", ""), PutPluginValue("q", "a:1", False)])
        assert await store.plugin_value("p", "a:1") == value
        assert await store.plugin_value("p", "a:2") == 0
        assert await store.plugin_value("q", "a:1") is False
        assert await store.plugin_keys("p") == ["a:1", "a:2", "b%_*"]
        assert await store.plugin_keys("p", "a:") == ["a:1", "a:2"]
        assert await store.plugin_keys("p", "%") == []
        await store.apply([PutPluginValue("p", "a:1", [1]), PutPluginValue("p", "a:2", None)])
        assert await store.plugin_value("p", "a:1") == [1]
        assert await store.plugin_value("p", "a:2") is None
        await store.apply([PutPluginValue("p", "a:2", None)])
        assert await store.plugin_keys("p", "a") == ["a:1"]

    async def test_audit_entries_are_numbered_and_found_by_action(self, store: SessionStore) -> None:
        actions = ["plugin.reload", "login.failed", "plugin.disable", "approval.approve", "Plugin.x", "plugin"]
        entries = [AuditEntry(later(), ANNA.id, action, "t", {"n": 1}, "req") for action in actions]
        for entry in entries:
            await store.apply([AppendAudit(entry)])
        found = await store.audit()
        assert [entry for _, entry in found] == entries[::-1]
        numbers = [number for number, _ in found]
        assert numbers == sorted(set(numbers), reverse=True)
        page = await store.audit(before=numbers[1], limit=2)
        assert [entry.action for _, entry in page] == ["approval.approve", "plugin.disable"]

        async def matching(glob: str) -> list[str]:
            return [entry.action for _, entry in await store.audit(action=glob)]

        assert await matching("plugin.*") == ["plugin.disable", "plugin.reload"]
        assert await matching("login.failed") == ["login.failed"]
        assert await matching("*.approve") == ["approval.approve"]
        assert await matching("?lugin*") == ["plugin", "Plugin.x", "plugin.disable", "plugin.reload"]
        assert await matching("[!pP]*") == ["approval.approve", "login.failed"]
        assert await matching("plugin.%") == []
        assert len(await matching("*")) == 6

    async def test_usage_is_summed(self, store: SessionStore) -> None:
        add = AddUsage("2026-03-01", ANNA.id, "coder", "openai/x", Usage(10, 5))
        await asyncio.gather(*(store.apply([add]) for _ in range(10)))
        await store.apply([AddUsage("2026-03-02", ANNA.id, "coder", "openai/x", Usage(1, 1), calls=3)])
        await store.apply([AddUsage("2026-03-02", BORIS.id, "ask", "openai/y", Usage(2, 2))])
        assert list(await store.usage(ANNA)) == [
            AddUsage("2026-03-02", ANNA.id, "coder", "openai/x", Usage(1, 1), calls=3),
            AddUsage("2026-03-01", ANNA.id, "coder", "openai/x", Usage(100, 50), calls=10),
        ]
        assert [sums.day for sums in await store.usage(ANNA, since_day="2026-03-02")] == ["2026-03-02"]
        assert len(await store.usage(ADMIN)) == 3

    async def test_a_check_of_a_working_store_passes(self, store: SessionStore) -> None:
        await store.check()
        await store.check()

    async def test_a_closed_store_refuses_everything_and_closes_twice(self, store: SessionStore) -> None:
        session = make_session()
        change = CreateSession(session)
        under_way = [asyncio.ensure_future(store.apply([change]))]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*under_way)
        await store.close()
        await fails(StoreUnavailableError, store.apply([AppendMessage(make_message(session, 1))]))
        await fails(StoreUnavailableError, store.session(ANNA, session.id))
        await fails(StoreUnavailableError, store.check())
