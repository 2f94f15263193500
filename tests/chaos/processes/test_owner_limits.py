"""How many operations one owner may have and start, whichever way they ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.processes.stage import ALICE, BOB, stage
from iskra_chaos.processes.owner_limits import OwnerLimits, TooManyOperationsError
from iskra_sdk.ids import SessionId
from iskra_sdk.session_store import CreateSession, Session
from iskra_sdk.testing.manual_clock import ManualClock


async def test_an_owner_has_no_more_in_force_than_the_settings_allow_and_others_are_not_concerned() -> None:
    async with stage(operations_per_owner=2) as given_:
        for name in ("a", "b", "c"):
            await given_.session(name)
        first = await given_.start("a", "micro_disturbance")
        await given_.start("b", "micro_disturbance")
        with pytest.raises(TooManyOperationsError, match="2 operations and experiments of yours") as refused:
            await given_.start("c", "micro_disturbance")
        assert refused.value.http_status == 429
        assert refused.value.retry_after == 60.0
        now = given_.clock.now()
        await given_.store.apply([CreateSession(Session(SessionId("bobs"), BOB.id, now, now))])
        assert (await given_.start("bobs", "micro_disturbance", principal=BOB)).status == "active"
        await given_.parts.engine.abort(first, "enough")
        assert (await given_.start("c", "micro_disturbance")).status == "active"


async def test_an_owner_starts_no_more_in_a_minute_than_the_settings_allow() -> None:
    async with stage(starts_per_minute=2) as given_:
        await given_.session("a")
        for seconds in (0.0, 20.0):
            given_.clock.advance(seconds)
            await given_.parts.engine.abort(await given_.start("a", "micro_disturbance"), "enough")
        given_.clock.advance(15.0)
        with pytest.raises(TooManyOperationsError) as refused:
            await given_.start("a", "micro_disturbance")
        assert refused.value.retry_after == 25.0
        assert "Try again in 25 s" in str(refused.value)
        assert given_.parts.in_force.left_of(ALICE.id) == [], "the place is given back"
        given_.clock.advance(25.0)
        assert (await given_.start("a", "micro_disturbance")).is_running


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.sampled_from("ab")), max_size=60), st.integers(1, 5))
def test_in_any_minute_no_owner_starts_more_than_the_limit_and_who_waits_gets_in(
    asked: list[tuple[float, str]], limit: int
) -> None:
    clock = ManualClock()
    limits = OwnerLimits(clock, lambda _owner: (), most_held=10, most_started=limit)
    started: dict[str, list[float]] = {"a": [], "b": []}
    for seconds, owner in asked:
        clock.advance(seconds)
        wait = 0.0
        try:
            limits.admit(owner)
        except TooManyOperationsError as error:
            wait = error.retry_after or 0.0
        if wait:
            clock.advance(wait)
            limits.admit(owner)
        assert wait <= 61.0, "whole seconds, rounded up"
        started[owner].append(clock.monotonic())
    for times in started.values():
        assert all(times[index + limit] - times[index] >= 60.0 - 1e-6 for index in range(len(times) - limit))
