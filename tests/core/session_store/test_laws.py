"""Laws of every store, over random changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra.session_store import open_store
from iskra_sdk.approval import ApprovalState
from iskra_sdk.errors import ConflictError, IskraError, NotFoundError
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.llm import Usage
from iskra_sdk.message import Message, clean_text
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    AddUsage,
    AppendEvent,
    AppendMessage,
    Change,
    CloseApproval,
    CreateApproval,
    CreateSession,
    CreateTurn,
    DeleteSession,
    PutPluginValue,
    PutStep,
    PutTranscript,
    ReserveSeq,
    SessionStore,
    StepKind,
    StepRecord,
    StepState,
    TurnState,
    UpdateSession,
    UpdateTurn,
)
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.testing.store_conformance import (
    START,
    make_approval,
    make_event,
    make_message,
    make_session,
    make_turn,
)

OWNERS = [Principal("anna"), Principal("boris")]
SESSIONS = [replace(make_session(OWNERS[n % 2]), id=SessionId(f"ses_{n}"), created_at=START) for n in range(3)]
TURNS = [TurnId(f"trn_{n}") for n in range(4)]
APPROVALS = [ApprovalId(f"apr_{n}") for n in range(3)]
KEYS = ["", "k1", "k2"]

sessions = st.sampled_from(SESSIONS)
numbers = st.integers(1, 4)
turn_ids = st.sampled_from(TURNS)
states = st.sampled_from(list(TurnState))
step_states = st.sampled_from(list(StepState))


def _create_turn(session: object, turn_id: TurnId, number: int, key: str, state: TurnState) -> CreateTurn:
    turn = make_turn(session, number, key=key, state=state)  # type: ignore[arg-type]  # st.builds passes objects
    return CreateTurn(replace(turn, id=turn_id, created_at=START))


changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(CreateSession, sessions),
    st.builds(lambda s, t: UpdateSession(s.id, START, title=t), sessions, st.text(max_size=3)),
    st.builds(lambda s, n: ReserveSeq(s.id, n), sessions, numbers),
    st.builds(lambda s: DeleteSession(s.id), sessions),
    st.builds(_create_turn, sessions, turn_ids, numbers, st.sampled_from(KEYS), states),
    st.builds(UpdateTurn, turn_ids, states, st.frozensets(states)),
    st.builds(lambda s, n: AppendMessage(replace(make_message(s, n), created_at=START)), sessions, numbers),
    st.builds(lambda s, n: AppendEvent(replace(make_event(s, n), at=START)), sessions, numbers),
    st.builds(
        lambda t, n, state, expected: PutStep(StepRecord(t, n, StepKind.TOOL, state, START), expected),
        turn_ids,
        numbers,
        step_states,
        st.none() | step_states,
    ),
    st.builds(
        lambda a, s, c: CreateApproval(replace(make_approval(s, code=c), id=a, created_at=START)),
        st.sampled_from(APPROVALS),
        sessions,
        st.sampled_from(["AAAA", "BBBB"]),
    ),
    st.builds(
        lambda a, state: CloseApproval(a, state, "anna", START),
        st.sampled_from(APPROVALS),
        st.sampled_from([ApprovalState.APPROVED, ApprovalState.DENIED]),
    ),
    st.builds(lambda s, n: PutTranscript("digest", s.id, n), sessions, numbers),
    st.builds(lambda n: PutPluginValue("p", "k", n), st.none() | numbers),
    st.builds(lambda n: AddUsage("2026-03-01", "anna", "a", "t", Usage(n, n)), numbers),
)
batches = st.lists(st.lists(changes, min_size=1, max_size=5), min_size=1, max_size=12)


async def is_made(store: SessionStore, batch: Sequence[Change]) -> bool:
    """Return whether the changes were made; which of several reasons a store gives for a refusal is its own affair."""
    try:
        await store.apply(batch)
    except (ConflictError, NotFoundError):
        return False
    return True


async def contents(store: SessionStore, principal: Principal) -> list[object]:
    """Return everything that a principal can read."""
    found: list[object] = [
        await store.sessions(principal, limit=200),
        await store.approvals(principal),
        await store.usage(principal),
    ]
    for session in SESSIONS:
        try:
            found += [
                await store.messages(principal, session.id),
                await store.events(principal, session.id),
                await store.turns(principal, session.id),
                [await store.turn_by_key(principal, session.id, key) for key in KEYS],
            ]
        except IskraError as exc:
            found.append(str(exc))
    for turn_id in TURNS:
        try:
            found += [await store.turn(principal, turn_id), await store.steps(principal, turn_id)]
        except IskraError as exc:
            found.append(str(exc))
    return found


async def everything(store: SessionStore) -> list[object]:
    """Return everything there is."""
    return [
        await contents(store, SYSTEM),
        await store.unfinished_turns(),
        await store.transcript("digest"),
        await store.plugin_value("p", "k"),
    ]


@asynccontextmanager
async def opened(kind: Literal["memory", "sqlite"]) -> AsyncIterator[SessionStore]:
    if kind == "memory":
        yield MemoryStore()
        return
    with TemporaryDirectory() as folder:
        store = await open_store(data_dir=Path(folder))
        yield store
        await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=batches)
def test_a_refused_change_leaves_no_trace(kind: Literal["memory", "sqlite"], batches: list[list[Change]]) -> None:
    async def check() -> None:
        async with opened(kind) as store:
            for batch in batches:
                before = await everything(store)
                if not await is_made(store, batch):
                    assert await everything(store) == before

    asyncio.run(check())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=batches)
def test_the_stores_on_disk_and_in_memory_agree(batches: list[list[Change]]) -> None:
    async def check() -> None:
        async with opened("memory") as memory, opened("sqlite") as sqlite:
            for batch in batches:
                assert await is_made(sqlite, batch) == await is_made(memory, batch)
            for principal in (*OWNERS, SYSTEM):
                assert await contents(sqlite, principal) == await contents(memory, principal)
            assert await everything(sqlite) == await everything(memory)

    asyncio.run(check())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=batches)
def test_changes_asked_for_together_are_made_as_if_one_after_the_other(batches: list[list[Change]]) -> None:
    async def check() -> None:
        async with opened("memory") as memory, opened("sqlite") as sqlite:
            one_by_one = [await is_made(memory, batch) for batch in batches]
            together = await asyncio.gather(*(is_made(sqlite, batch) for batch in batches))
            assert together == one_by_one
            assert await everything(sqlite) == await everything(memory)

    asyncio.run(check())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=batches)
def test_a_stranger_sees_nothing(batches: list[list[Change]]) -> None:
    async def check() -> None:
        async with opened("sqlite") as empty, opened("sqlite") as store:
            await asyncio.gather(*(is_made(store, batch) for batch in batches))
            stranger = Principal("stranger", permissions=frozenset({"sessions:*", "approvals:*"}))
            assert await contents(store, stranger) == await contents(empty, stranger)

    asyncio.run(check())


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(), max_size=40), position=st.integers(0, 2**62))
def test_any_text_survives(text: str, position: int) -> None:
    async def check() -> None:
        session = replace(make_session(), title=text, metadata={"text": text})
        message = replace(make_message(session, position), message=Message.user(text))
        async with opened("sqlite") as store:
            await store.apply([CreateSession(session), AppendMessage(message)])
            found = await store.session(OWNERS[0], session.id)
            assert found.title == clean_text(text)
            assert found.metadata in ({"text": text}, {"text": clean_text(text)})
            (kept,) = await store.messages(OWNERS[0], session.id, after=-1)
            assert kept.message.text in (text, clean_text(text))

    asyncio.run(check())
