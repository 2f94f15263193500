"""What alerts do, from readings to operations, stabilisers and the person concerned."""

from typing import Any

import pytest

from chaos.processes.stage import Stage, stage
from iskra_chaos.balance.alerts import Alert, packaged_alert_rules
from iskra_chaos.watching import act_on, watch_once
from plugin_workshop import until

_ANSWER = "Seven stalls, two days, one stage."
_RULES = {rule.name: rule for rule in packaged_alert_rules()}
_ADVISING = ("voice_coordination_failure", "load_caution", "load_last_call")


async def _perturbed(given: Stage, *, is_welcome: bool = True) -> Any:
    session_id = await given.session()
    await given.parts.choices.change(session_id, opt_in=True, automatic=is_welcome)
    process = await given.start(session_id, "pattern_break")
    await given.turn(session_id)
    await given.parts.balancing.caught_up()
    return process


@pytest.mark.parametrize(
    ("rule", "aborts", "begun"),
    [
        ("chaos_overflow", True, {"lower_temperature", "pin_context", "cooldown"}),
        ("stability_degradation", True, {"pin_context"}),
        ("load_caution", False, set()),
    ],
)
async def test_what_follows_from_an_alert(rule: str, *, aborts: bool, begun: set[str]) -> None:
    for is_welcome in (True, False):
        async with stage(*[_ANSWER] * 3, automatic=True) as given:
            process = await _perturbed(given, is_welcome=is_welcome)
            status = process.status
            await act_on(given.parts, Alert(_RULES[rule], f"{rule}|session_id=s", "firing", {}))
            assert process.status == ("aborted" if aborts and status == "active" else status)
            assert {each.stabiliser for each in given.parts.stabilising.leases()} == (begun if is_welcome else set())


async def test_an_alert_of_a_session_that_is_gone_keeps_no_other_from_being_acted_on() -> None:
    async with stage(*[_ANSWER] * 3, automatic=True) as given:
        process = await _perturbed(given)
        overview = given.parts.overview
        given.parts.choices._known["gone"] = given.parts.choices.of("s")
        rule = _RULES["chaos_overflow"]
        keys = [f"chaos_overflow|session_id={name}" for name in ("gone", "s")]

        async def tick() -> list[Alert]:
            return [Alert(rule, key, "firing", {}) for key in keys]

        overview.tick = tick
        is_running = process.is_running
        await watch_once(given.parts, 2)
        assert is_running
        assert process.status == "aborted"


async def test_the_person_concerned_is_told_of_what_is_severe() -> None:
    async with stage(*[_ANSWER] * 3) as given:
        await _perturbed(given)
        for rule, state in (("load_last_call", "firing"), ("load_last_call", "resolved"), ("load_caution", "firing")):
            await act_on(given.parts, Alert(_RULES[rule], f"{rule}|session_id=s", state, {}))  # type: ignore[arg-type]
        told = given.harness.context.notifications
        await until(lambda: bool(told))
        assert [(each.principal_id, each.title) for each in told] == [("alice", "Chaos alert: load last call")]
        assert told[0].text == "Advice: hold back."


@pytest.mark.parametrize(("rule", "is_advice"), [(name, name in _ADVISING) for name in _RULES])
async def test_an_alert_says_whether_anything_follows(rule: str, *, is_advice: bool) -> None:
    async with stage() as given:
        await act_on(given.parts, Alert(_RULES[rule], rule, "firing", {}))
        (told,) = [event for event in given.harness.bus.published if event.type == "chaos.system_state"]
        data: Any = told.data["data"]
        assert (data["rule"], data["is_advice"]) == (rule, is_advice)


async def test_falling_stability_is_seen_turn_by_turn_and_held_for_its_time() -> None:
    async with stage(*[_ANSWER] * 3) as given:
        process = await _perturbed(given)
        balance = given.parts.balancing.sessions["s"]
        balance.stabilities.extend([0.9, 0.75, 0.6, 0.5])
        measured = given.parts.measuring.last_of("s")
        measured["stability"] = 0.5
        overview = given.parts.overview
        assert not [alert for alert in await overview.tick() if alert.rule.name == "stability_degradation"]
        given.clock.advance(29.0)
        assert not await overview.tick()
        given.clock.advance(1.0)
        (alert,) = await overview.tick()
        assert (alert.rule.name, alert.state) == ("stability_degradation", "firing")
        assert not await overview.tick(), "it is told once"
        balance.stabilities.extend([0.7] * 12)
        (over,) = await overview.tick()
        assert over.state == "resolved"
        assert process is not None
