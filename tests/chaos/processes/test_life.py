"""The life of an operation: journal first, leases, restarts, deleted sessions, two at once."""

import asyncio
import gc
import weakref
from datetime import UTC, datetime

import pytest

from chaos.processes.stage import ALICE, BOB, Stage, Store, stage
from iskra_sdk.errors import (
    BadInputError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    SessionNotFoundError,
    StoreUnavailableError,
)

ANSWER = "Seven stalls, two days, one stage."


async def test_an_operation_goes_through_its_whole_life() -> None:
    async with stage(*[ANSWER] * 8) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break", 0.5)
        for expected in ("active", "stabilizing", "completed"):
            await given.turn(session_id)
            assert process.status == expected
        assert [str(step.status) for step in process.history] == ["initiated", "active", "stabilizing", "completed"]
        assert process.metrics_after
        kept = await given.kept(process.id)
        assert (kept["status"], kept["applied"]) == ("completed", 3)
        assert given.told == ["chaos.chaos_initiated", "chaos.chaos_completed"]


async def test_events_quote_nothing_of_the_conversation() -> None:
    async with stage(*[ANSWER] * 8) as given:
        session_id = await given.session()
        for operation in ("pattern_break", "paradox_generation", "emergent_stimulation"):
            process = await given.start(session_id, operation, 0.3)
            await given.turn(session_id)
            await given.parts.engine.abort(process, "enough")
            await given.parts.choices.forget(session_id)
        said = str([event.data for event in given.harness.bus.published if event.type.startswith("chaos.")])
        assert "plan comes" not in said
        assert "stalls" not in said


async def test_an_operation_that_cannot_be_written_down_never_acts() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        given.store.is_down = True
        with pytest.raises(StoreUnavailableError):
            await given.start(session_id, "micro_disturbance")
        assert not given.parts.engine.sessions
        assert not given.harness.registered("register_interceptors")
        assert not given.parts.journal.all()
        given.store.is_down = False
        assert (await given.start(session_id, "micro_disturbance")).status == "active"


async def test_an_end_that_cannot_be_written_down_is_an_end_and_is_written_later() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance")
        given.store.is_down = True
        await given.parts.engine.abort(process, "enough")
        assert not given.parts.engine.sessions
        given.store.is_down = False
        assert (await given.kept(process.id))["status"] == "active"
        await given.parts.engine.sweep()
        assert (await given.kept(process.id))["status"] == "aborted"


async def test_the_watch_goes_on_while_the_store_is_away() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance")
        given.store.is_down = True
        for _ in range(12):
            await given.clock.until_sleeping()
            given.clock.advance(60.0)
        await given.clock.until_sleeping()
        assert not given.harness.context.own_tasks.errors
        assert process.status == "aborted"
        given.store.is_down = False
        given.clock.advance(1.0)
        await given.clock.until_sleeping()
        assert (await given.kept(process.id))["status"] == "aborted"


async def test_two_starts_at_once_lead_to_one_operation() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        starts = [given.start(session_id, "micro_disturbance") for _ in range(5)]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        assert sum(isinstance(each, ConflictError) for each in outcomes) == 4
        assert len(given.parts.engine.sessions) == len(given.parts.journal.all()) == 1


async def slow_start(given: Stage, session_id: str) -> "asyncio.Task[object]":
    """Begin a start and let it get as far as its first wait."""
    task = asyncio.get_running_loop().create_task(given.start(session_id, "micro_disturbance"))
    while session_id not in given.parts.in_force._starting:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("meanwhile", ["emergency", "deleted", "crisis", "left alone", "stop of the session"])
async def test_what_is_stopped_while_it_is_prepared_never_begins(meanwhile: str) -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        starting = await slow_start(given, session_id)
        match meanwhile:
            case "emergency":
                given.parts.stop.at_once("enough")
            case "deleted":
                await given.publish("session.deleted", session_id)
            case "crisis":
                await given.publish("turn.started", session_id, "t", input="I want to kill myself.")
            case "left alone":
                given.parts.in_force.revoke(session_id, "the user asked to be left alone")
            case _:
                await given.parts.engine.abort_in(session_id, "stopped")
        with pytest.raises((ConflictError, PermissionDeniedError)):
            await starting
        assert not given.parts.engine.sessions
        assert not given.parts.in_force._starting
        assert all(not process.is_running for process in given.parts.journal.all())


async def test_the_wait_of_a_start_that_is_cancelled_leaves_no_place_behind() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        starting = await slow_start(given, session_id)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert (await given.start(session_id, "micro_disturbance")).status == "active"


async def test_a_turn_that_ends_during_an_abort_changes_nothing() -> None:
    async with stage(*[ANSWER] * 4) as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance")
        request = given.request(session_id)
        await given.answer(request)
        await asyncio.gather(
            given.parts.engine.abort(process, "enough"),
            given.parts.turn_over(session_id, request.caller.turn_id),
            given.parts.engine.roll_back(process, "back"),
            given.parts.engine.settle(process, "gently"),
        )
        assert [str(step.status) for step in process.history][-1] in ("aborted", "rolled_back")
        assert (await given.kept(process.id))["status"] == process.status


async def test_a_deleted_session_leaves_nothing_behind() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        await given.parts.choices.change(session_id, opt_in=True)
        process = await given.start(session_id, "micro_disturbance")
        await given.publish("session.deleted", session_id)
        assert not given.parts.engine.sessions
        assert not await given.harness.context.state.keys("session/")
        assert not await given.harness.context.state.keys("process/")
        with pytest.raises(NotFoundError):
            given.parts.journal.get(process.id)


async def test_a_session_where_nothing_happens_takes_no_memory_and_is_never_written() -> None:
    async with stage(*[ANSWER] * 3) as given:
        session_id = await given.session()
        for _ in range(3):
            await given.turn(session_id)
        assert not await given.harness.context.state.keys()
        assert not given.parts.choices._known


async def test_a_lease_runs_out_by_the_clock_that_cannot_jump() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance")
        given.clock.set_now(datetime(2090, 1, 1, tzinfo=UTC))
        await given.parts.engine.sweep()
        assert process.status == "active"
        given.clock.set_now(datetime(1990, 1, 1, tzinfo=UTC))
        given.clock.advance(600.0)
        assert given.parts.in_force.acting(session_id) is None  # before anybody swept
        second = await given.start(session_id, "micro_disturbance")
        assert (process.status, second.status) == ("aborted", "initiated")  # it rests first
        assert (await given.kept(process.id))["status"] == "aborted"


async def test_an_answer_renews_the_lease() -> None:
    async with stage(*[ANSWER] * 4) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break", 1.0)
        for _ in range(2):
            given.clock.advance(500.0)
            await given.turn(session_id)
            await given.parts.engine.sweep()
        assert process.status == "active"


async def test_a_restart_aborts_what_ran_and_knows_what_was_chosen() -> None:
    store = Store()
    async with stage(ANSWER, store=store) as given:
        session_id = await given.session()
        await given.parts.choices.change(session_id, opt_in=True, label="blue")
        process = await given.start(session_id, "micro_disturbance")
    async with stage(ANSWER, store=store) as later:
        again = later.parts.journal.get(process.id)
        assert again.status == "aborted"
        assert not later.parts.engine.sessions
        assert not later.harness.registered("register_interceptors")
        assert later.parts.choices.of(session_id).label == "blue"
        later.turns = given.turns
        assert (await later.start(session_id, "micro_disturbance")).status in ("active", "initiated")
    async with stage(store=store) as last:
        assert not any(each.is_running for each in last.parts.journal.all())


async def test_a_generation_that_is_gone_takes_no_memory() -> None:
    async with stage(ANSWER) as given:
        await given.start(await given.session(), "micro_disturbance")
        gone = weakref.ref(given.parts)
    del given
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("end", ["none", "abort", "complete", "settle", "rest"])
async def test_taking_back_works_from_everywhere_and_twice(end: str) -> None:
    async with stage(*[ANSWER] * 6) as given:
        session_id = await given.session()
        if end == "rest":
            await given.parts.choices.change(session_id, last_operation=3)
        process = await given.start(session_id, "micro_disturbance")
        match end:
            case "abort":
                await given.parts.engine.abort(process, "enough")
            case "complete":
                await given.turn(session_id)
                assert process.status == "completed"
            case "settle":
                await given.parts.engine.settle(process, "gently")
            case "rest":
                assert process.status == "initiated"
        for _ in range(2):
            await given.parts.engine.roll_back(process, "taken back")
            assert process.status == "rolled_back"
        assert [str(step.status) for step in process.history].count("rolled_back") == 1
        assert not given.parts.engine.sessions


async def test_an_operation_rests_before_it_acts() -> None:
    async with stage(*[ANSWER] * 8) as given:
        session_id = await given.session()
        await given.parts.choices.change(session_id, last_operation=3, last_reset=3)
        process = await given.start(session_id, "fire_reset", 0.3)
        for _ in range(10):
            assert process.status == "initiated"
            await given.publish("turn.completed", session_id, "t")
        assert process.status == "active"
        await given.parts.engine.settle(process, "gently")
        assert process.status == "stabilizing"
        given.clock.advance(60.0)
        await given.parts.engine.sweep()
        assert process.status == "completed"


async def test_what_is_refused_changes_nothing_and_cannot_be_taken_back() -> None:
    async with stage() as given:
        session_id = await given.session()
        with pytest.raises(PermissionDeniedError):
            await given.start(session_id, "pattern_break", 0.9, is_asked_for=False, accept_modifications=False)
        (process,) = given.parts.journal.of_session(session_id)
        assert process.status == "rejected"
        with pytest.raises(BadInputError):
            await given.parts.engine.roll_back(process, "back")


async def test_no_paradox_is_made_of_a_sensitive_subject() -> None:
    async with stage() as given:
        session_id = await given.session(turns=[("What dosage does my doctor mean?", "The dosage is ten a day.")])
        with pytest.raises(PermissionDeniedError) as refused:
            await given.start(session_id, "paradox_generation")
        assert refused.value.facts["chaos_sensitivity"] == pytest.approx(0.9)
        assert not given.parts.engine.sessions


async def test_another_persons_session_does_not_exist() -> None:
    async with stage() as given:
        session_id = await given.session()
        with pytest.raises(SessionNotFoundError):
            await given.start(session_id, "micro_disturbance", principal=BOB)
        assert not given.parts.journal.all()


async def test_switched_off_means_off_for_every_way_in() -> None:
    async with stage(creative=False) as given:
        session_id = await given.session()
        with pytest.raises(PermissionDeniedError):
            await given.start(session_id, "micro_disturbance")


@pytest.mark.parametrize(
    ("conditions", "asked", "expected"),
    [
        ({"staleness_level": 0.6}, "Go on.", "pattern_break"),
        ({"staleness_level": 0.4}, "Go on.", "micro_disturbance"),
        ({"staleness_level": 0.1}, "Go on.", None),
        ({"innovation_need": True}, "Think of something for the fair.", "emergent_stimulation"),
        ({"innovation_need": True}, "Tea or coffee?", "quantum_flux"),
        ({"phase_transition": True, "innovation_need": True}, "Go on.", "fire_reset"),
    ],
)
async def test_trigger_conditions_are_kept_and_lead_to_advice(
    conditions: dict[str, object], asked: str, expected: str | None
) -> None:
    async with stage() as given:
        session_id = await given.session(turns=[(asked, "Good.")])
        process = await given.start(session_id, "micro_disturbance", trigger_conditions=conditions)
        assert process.recommended_operation == expected
        assert (await given.kept(process.id))["trigger_conditions"] == conditions
        assert process.owner == ALICE.id
