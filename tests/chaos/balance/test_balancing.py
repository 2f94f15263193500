"""The real loop: stored sessions, the real metrics, operations that act on an agent whose staleness answers to them."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from chaos.balance.scripted_session import ScriptedAgent
from chaos.processes.stage import Stage, stage
from iskra_chaos.balance.causes import Choice
from iskra_sdk.llm import LLMRequest

_AUTOMATIC = {"opt_in": True, "automatic": True}


class Talker:
    """An agent that falls into repeating itself, and is shaken out of it by an operation that acts on its call."""

    def __init__(self, given: Stage, session_id: str, seed: int = 2, *, growth: float = 0.35) -> None:
        self.given = given
        self.session_id = session_id
        self._agent = ScriptedAgent(Random(seed), habit_growth=growth)

    def _answer(self, request: LLMRequest) -> str:
        session = self.given.parts.in_force.acting(self.session_id)
        choice = None if session is None else Choice("pattern_break", session.process.intensity, "stale")
        return self._agent.answer(choice)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            self.given.model.add(self._answer)
            await self.given.turn(self.session_id, self._agent.sentence())
            await self.given.parts.balancing.caught_up()

    @property
    def balance(self) -> Any:
        return self.given.parts.balancing.sessions[self.session_id]

    @property
    def started(self) -> list[Any]:
        return [each for each in self.given.parts.journal.all() if each.initiator == "balance"]


async def _talker(given: Stage, **choices: object) -> Talker:
    session_id = await given.session(turns=())
    await given.parts.choices.change(session_id, **choices)
    return Talker(given, session_id)


async def test_a_stale_agent_is_freshened_in_the_closed_loop() -> None:
    staleness = {}
    for is_automatic in (False, True):
        async with stage(automatic=is_automatic) as given:
            talker = await _talker(given, **_AUTOMATIC)
            read = []
            for _ in range(30):
                await talker.turns(1)
                read.append(given.parts.measuring.last_of(talker.session_id)["staleness"])
            staleness[is_automatic] = sum(read[10:]) / 20
            assert bool(talker.started) == is_automatic
    assert staleness[False] > 0.8
    assert staleness[True] < staleness[False] - 0.2


async def test_an_output_that_nobody_carries_out_does_not_wind_up() -> None:
    async with stage(automatic=True) as given:
        talker = await _talker(given, opt_in=True)
        await talker.turns(12)
        assert talker.balance.frozen_because == "operations by themselves are not welcome"
        assert talker.balance.controller.state.output == 0.0
        assert not talker.started


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({"stopped": True}, "the owner wants nothing changed"),
        ({"crisis_left": 50}, "the user may be in a crisis"),
    ],
)
async def test_what_freezes_the_controller(choices: dict[str, Any], why: str) -> None:
    async with stage(automatic=True) as given:
        talker = await _talker(given, **_AUTOMATIC, **choices)
        await talker.turns(10)
        assert talker.balance.frozen_because == why
        assert talker.balance.wanted.phase == "frozen"
        assert not talker.started


async def test_nothing_is_judged_by_before_enough_was_said() -> None:
    async with stage(automatic=True) as given:
        talker = await _talker(given, **_AUTOMATIC)
        await talker.turns(1)
        assert talker.balance.frozen_because == "too little was said to judge by"


async def test_a_veto_freezes_the_controller_for_a_while() -> None:
    async with stage(automatic=True) as given:
        talker = await _talker(given, **_AUTOMATIC)
        await talker.turns(3)
        admission = given.parts._admission
        facts = admission.facts

        def in_pain(*args: Any, **more: Any) -> Any:
            found = facts(*args, **more)
            return found.model_copy(update={"readings": {**found.readings, "pain": 0.9}})

        admission.facts = in_pain
        while not talker.balance.vetoed_for:
            await talker.turns(1)
            assert talker.balance.turns < 20
        assert talker.balance.vetoed_for == 3
        state = talker.balance.controller.state
        await talker.turns(3)
        assert talker.balance.frozen_because == "the ethics check refused"
        assert talker.balance.controller.state == state
        await talker.turns(1)
        assert talker.balance.frozen_because != "the ethics check refused"


async def test_quiet_hours_and_an_ailing_service_are_taken_in() -> None:
    async with stage(automatic=True, quiet_hours="00:00-23:59:59") as given:
        talker = await _talker(given, **_AUTOMATIC)
        await given.publish("breaker.opened", "", target="main")
        await talker.turns(10)
        assert talker.balance.surroundings == replace(
            talker.balance.surroundings, health=0.4, is_quiet_hour=True, is_experimenting=False
        )
        assert "these are quiet hours" in talker.balance.bounds.reasons
        assert not talker.started
        await given.publish("breaker.closed", "", target="main")
        await talker.turns(12)
        assert talker.started
        assert all(each.intensity < 0.4 for each in talker.started)


async def test_what_sessions_answer_is_recorded_and_outlives_a_restart() -> None:
    async with stage(automatic=True) as given:
        talker = await _talker(given, **_AUTOMATIC)
        await talker.turns(16)
        assert talker.started
        await given.parts.choices.change(talker.session_id, automatic=False)
        await talker.turns(9)
        segments = given.parts.balancing.learned.segments
        assert segments
        assert given.parts.balancing.learned.of("alice").interventions >= 1
        kept = await given.harness.context.state.get("interventions")
        assert len(kept) == len(segments)
        assert talker.session_id not in {str(each) for segment in kept for each in segment.values()}


async def test_a_calibration_is_by_ones_own_sessions() -> None:
    async with stage() as given:
        talker = await _talker(given, opt_in=True)
        assert given.parts.balancing.state_of("alice") is None
        await talker.turns(7)
        state = given.parts.balancing.state_of("alice")
        last = given.parts.measuring.last_of(talker.session_id)
        assert state.chaos_level == pytest.approx(last["chaos"])
        assert state.confidence == 1.0
        assert given.parts.balancing.state_of("bob") is None


async def test_figures_are_empty_until_something_was_measured_and_an_hour_later_again() -> None:
    async with stage() as given:
        overview = given.parts.overview
        assert overview.chaos().model_dump()["current_chaos_level"] is None
        assert overview.chaos().chaos_capacity is None
        assert overview.balance().balance_status is None
        assert overview.stability().stability_trend is None
        talker = await _talker(given, opt_in=True)
        await talker.turns(4)
        await overview.tick()
        assert overview.chaos().current_chaos_level is not None
        assert overview.balance().balance_status is not None
        assert overview.stability().stability_trend in ("improving", "stable", "declining")
        given.clock.advance(3601.0)
        await overview.tick()
        assert overview.chaos().current_chaos_level is None
        assert overview.balance().chaos_stability_tension is None
