"""Stabilisers: each acts, lasts its turns, and can be taken back; none acts against the owner's word."""

from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from chaos.processes.stage import ALICE, Stage, stage
from iskra_chaos.balance.calibration import Calibration, TenantBalance
from iskra_chaos.chat.refusals import refusal
from iskra_chaos.stabilisers.retune import Retune
from iskra_sdk.errors import ConflictError
from iskra_sdk.voice_requests import VoiceRequests

_WELCOME = {"opt_in": True, "automatic": True}
_ANSWER = "Seven stalls, two days, one stage."


class Voices:
    """A plugin that keeps voices, as far as others see it."""

    def __init__(self, why: str = "") -> None:
        self.told: list[tuple[str, str]] = []
        self._why = why

    async def ask_for(self, principal: Any, session_id: str, voice: str, *, turns: int) -> str:
        self.told.append(("asked", voice))
        return self._why

    async def take_back(self, session_id: str, voice: str) -> None:
        self.told.append(("taken back", voice))


async def _calmed(stage_: Stage, *names: str, strength: float = 0.5) -> dict[str, Any]:
    session_id = await stage_.session()
    await stage_.parts.choices.change(session_id, **_WELCOME)
    conversation = await stage_.parts.measuring.conversation(ALICE, session_id)
    begun = await stage_.parts.stabilising.begin("alice", session_id, names, strength, conversation)
    await stage_.parts.refresh.in_place()
    return {lease.stabiliser: lease for lease in begun}


async def test_answers_are_drawn_cooler_for_some_turns_and_then_as_before() -> None:
    async with stage(*[_ANSWER] * 9) as given:
        lease = (await _calmed(given, "lower_temperature"))["lower_temperature"]
        assert lease.turns_left == 4
        for _ in range(5):
            await given.turn("s")
        assert [each.parameters.get("temperature") for each in given.model.requests] == [0.5] * 4 + [None]
        assert (lease.status, lease.applied) == ("ended", 4)
        assert given.parts.stabilising.is_empty


@pytest.mark.parametrize(("base", "expected"), [(1.0, 0.8), (0.1, 0.0)])
async def test_cooler_is_never_below_nothing(base: float, expected: float) -> None:
    async with stage(_ANSWER) as given:
        await _calmed(given, "lower_temperature")
        await given.answer(given.request("s", parameters={"temperature": base}))
        assert given.model.requests[-1].parameters["temperature"] == expected


async def test_json_and_side_calls_are_left_alone() -> None:
    async with stage(*[_ANSWER] * 2) as given:
        await _calmed(given, "lower_temperature", "pin_context")
        request = given.request("s", parameters={"response_format": {"type": "json_object"}})
        await given.answer(request)
        assert given.model.requests[-1] == request


async def test_the_model_is_reminded_of_the_goal() -> None:
    async with stage(_ANSWER) as given:
        await _calmed(given, "pin_context")
        await given.turn("s")
        told = given.model.requests[-1].messages[0].text
        assert told.startswith("Be useful.")
        assert "Keep to this:\nGoal: How do I plan a fair?" in told


async def test_nothing_starts_while_a_conversation_cools_down_until_it_is_taken_back() -> None:
    async with stage(*[_ANSWER] * 9) as given:
        lease = (await _calmed(given, "cooldown"))["cooldown"]
        with pytest.raises(ConflictError, match="4 more turns") as refused:
            await given.start("s", "micro_disturbance")
        assert "Разговор остывает" in refusal(refused.value, "ru")
        assert not given.parts.engine.sessions
        await given.parts.stabilising.revert(lease, "taken back")
        assert (await given.start("s", "micro_disturbance")).status == "active"
        assert lease.status == "reverted"


async def test_a_voice_is_asked_for_and_taken_back() -> None:
    async with stage(*[_ANSWER] * 9) as given:
        voices = Voices()
        given.harness.context.provide(VoiceRequests, voices)  # type: ignore[type-abstract]  # a Protocol names it
        lease = (await _calmed(given, "voice_sam", strength=0.1))["voice_sam"]
        for _ in range(lease.turns_left):
            await given.turn("s")
        assert voices.told == [("asked", "sam"), ("taken back", "sam")]


async def test_without_voices_or_where_one_may_not_speak_the_others_act() -> None:
    async with stage() as given:
        assert set(await _calmed(given, "voice_sam", "cooldown")) == {"cooldown"}
    kain = Voices("the voice 'kain' was asked for")
    async with stage() as given:
        given.harness.context.provide(VoiceRequests, kain)  # type: ignore[type-abstract]  # a Protocol names it
        assert set(await _calmed(given, "voice_sam", "cooldown")) == {"cooldown"}


@pytest.mark.parametrize("is_welcome", [True, False])
async def test_after_a_paradox_that_hurt_anhantha_is_asked_for_where_that_is_welcome(is_welcome: bool) -> None:
    async with stage(*[_ANSWER] * 9, automatic=True) as given:
        voices = Voices()
        given.harness.context.provide(VoiceRequests, voices)  # type: ignore[type-abstract]  # a Protocol names it
        await _calmed(given, "voice_sam")
        await given.parts.choices.change("s", automatic=is_welcome)
        process = await given.start("s", "paradox_generation")
        process.metrics_before |= {"trust": 1.0}
        given.parts.measuring._measured["s"].values["trust"] = 0.8
        await given.parts.monitor.sweep()
        assert process.status == "aborted"
        acting = [each.stabiliser for each in given.parts.stabilising.leases() if each.status == "active"]
        assert acting == (["voice_anhantha"] if is_welcome else ["voice_sam"])
        asked = [voice for what, voice in voices.told if what == "asked"]
        assert asked == (["sam", "anhantha"] if is_welcome else ["sam"])
        conversation = await given.parts.measuring.conversation(ALICE, "s")
        assert not await given.parts.stabilising.begin("alice", "s", ["voice_sam"], 0.5, conversation)


async def test_where_comfort_fails_the_paradox_has_ended_all_the_same() -> None:
    async with stage(_ANSWER, automatic=True) as given:
        await given.session()
        await given.parts.choices.change("s", **_WELCOME)
        process = await given.start("s", "paradox_generation")
        process.metrics_before |= {"trust": 1.0}
        given.parts.measuring._measured["s"].values["trust"] = 0.8
        given.store.is_down = True
        await given.parts.monitor.sweep()
        assert process.status == "aborted"


@pytest.mark.parametrize("how", ["stop", "lease", "everything"])
async def test_what_ends_all_stabilisers(how: str) -> None:
    async with stage(_ANSWER) as given:
        leases = await _calmed(given, "lower_temperature", "cooldown", "retune")
        if how == "stop":
            await given.parts.choices.change("s", stopped=True)
        elif how == "lease":
            given.clock.advance(601.0)
        else:
            given.parts.stop.at_once("enough")
        assert not given.parts.stabilising.acts("s", "lower_temperature")
        assert given.parts.stabilising.turns_of_cooldown("s") == 0
        await given.parts.stabilising.sweep()
        assert {lease.status for lease in leases.values()} == {"reverted" if how == "stop" else "ended"}
        assert given.parts.stabilising.is_empty
        await given.turn("s")
        assert "temperature" not in given.model.requests[-1].parameters


async def test_what_a_person_took_back_is_not_begun_again_for_a_while() -> None:
    async with stage(*[_ANSWER] * 30) as given:
        lease = (await _calmed(given, "cooldown"))["cooldown"]
        await given.parts.stabilising.revert(lease, "taken back")
        conversation = await given.parts.measuring.conversation(ALICE, "s")
        for _ in range(20):
            assert not await given.parts.stabilising.begin("alice", "s", ["cooldown"], 0.5, conversation)
            await given.parts.stabilising.turn_over("s")
        assert await given.parts.stabilising.begin("alice", "s", ["cooldown"], 0.5, conversation)


async def test_a_retune_moves_what_the_controller_takes_and_nothing_that_guards() -> None:
    async with stage(*[_ANSWER] * 3) as given:
        lease = (await _calmed(given, "retune"))["retune"]
        read = given.parts.measuring.last_of("s")
        taken = given.parts.stabilising.retuned("s", read)
        for name, target in (("chaos", 0.2), ("drift", 0.1), ("clarity", 0.7), ("trust", 0.75), ("pain", 0.2)):
            assert taken[name] == pytest.approx(read[name] + 0.3 * (target - read[name]))
        assert taken["staleness"] == read["staleness"]
        assert given.parts.measuring.last_of("s") is read
        await given.parts.stabilising.revert(lease, "taken back")
        assert given.parts.stabilising.retuned("s", read) is read


@hypothesis_given(st.floats(0.0, 1.0), st.integers(0, 30))
def test_a_retune_fades_as_the_average_forgets(chaos: float, turns: int) -> None:
    shifted = average = chaos
    shifted += Retune.of({"chaos": chaos}).shifts["chaos"]
    reading = 0.5
    for _ in range(turns):
        shifted += 0.3 * (reading - shifted)
        average += 0.3 * (reading - average)
    view = Retune(Retune.of({"chaos": chaos}).shifts, turns).applied({"chaos": average})
    assert view["chaos"] == pytest.approx(shifted, abs=1e-6)


async def test_the_controller_calms_a_loose_session_only_where_it_is_welcome() -> None:
    for is_welcome in (False, True):
        async with stage(*[_ANSWER] * 30, automatic=True) as given:
            given.parts.balancing.calibration = Calibration({"alice": TenantBalance(offset=-0.9)})
            session_id = await given.session(turns=())
            await given.parts.choices.change(session_id, opt_in=True, automatic=is_welcome)
            for _ in range(8):
                await given.turn(session_id)
                await given.parts.balancing.caught_up()
            begun = {lease.stabiliser for lease in given.parts.stabilising.leases()}
            advice = [each for each in _states(given) if each == "needs_calm"]
            assert bool(begun) == is_welcome
            if is_welcome:
                assert {"lower_temperature", "retune", "pin_context", "cooldown"} <= begun
                assert not advice
            else:
                assert 1 <= len(advice) <= 5, "the same advice is told once"


def _states(given: Stage) -> list[str]:
    published = [each.data["data"] for each in given.harness.bus.published if each.type == "chaos.system_state"]
    return [str(data["state"]) for data in published if isinstance(data, dict)]


async def test_a_deleted_session_leaves_nothing() -> None:
    async with stage() as given:
        await _calmed(given, "cooldown", "retune")
        await given.parts.forget("s")
        assert given.parts.stabilising.is_empty
        assert not given.parts.stabilising.leases()
