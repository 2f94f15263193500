"""The ethics monitor: it looks at each message and every five seconds, and ends what may not go on."""

from datetime import UTC, datetime

import pytest

from chaos.processes.stage import Stage, stage
from iskra_chaos.processes.ethics_monitor import CALM_MESSAGES, paradox_hurts
from iskra_sdk.errors import PermissionDeniedError

ANSWER = "Seven stalls, two days, one stage."
CRISIS = "I want to kill myself."


async def said(given: Stage, session_id: str, text: str) -> None:
    await given.publish("turn.started", session_id, "t", input=text)


@pytest.mark.parametrize("operation", ["micro_disturbance", "pattern_break", "fire_reset", "quantum_flux"])
async def test_a_crisis_ends_an_operation_before_the_next_answer(operation: str) -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, operation)
        await given.turn(session_id, CRISIS)
        assert process.status == "aborted"
        assert given.model.requests[0].messages[0].text == "Be useful."
        alerts = [event for event in given.harness.bus.published if event.type == "chaos.ethical_concern"]
        assert len(alerts) == 1
        assert "kill" not in str(alerts[0].data)


async def test_after_a_crisis_nothing_starts_and_no_fault_touches_the_session_until_it_is_calm() -> None:
    async with stage(*[ANSWER] * 20) as given:
        session_id = await given.session()
        await said(given, session_id, CRISIS)
        for _ in range(CALM_MESSAGES):
            assert given.parts._is_sensitive(session_id)
            with pytest.raises(PermissionDeniedError, match="cleared"):
                await given.start(session_id, "micro_disturbance", 0.2)
            await said(given, session_id, "Thank you, I am better.")
        assert not given.parts._is_sensitive(session_id)
        assert (await given.start(session_id, "micro_disturbance", 0.2)).status == "active"


@pytest.mark.parametrize("operation", ["pattern_break", "paradox_generation", "fire_reset", "emergent_stimulation"])
async def test_a_person_in_a_crisis_is_told_where_help_is_whatever_they_ask_for(operation: str) -> None:
    async with stage() as given:
        session_id = await given.session(turns=[("My doctor doubled the dosage and I want to kill myself.", "")])
        with pytest.raises(PermissionDeniedError) as refused:
            await given.start(session_id, operation)
        assert refused.value.facts["help"]
        assert not given.parts.engine.sessions


async def test_the_sweep_ends_what_hurts_within_five_seconds_of_the_reading() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break")
        measured = given.parts.measuring._measured[session_id]
        measured.values["pain"] = 0.9
        for _ in range(6):
            await given.clock.until_sleeping()
            given.clock.advance(1.0)
        await given.clock.until_sleeping()
        assert process.status == "aborted"
        assert "vulnerability" in process.history[-1].reason


async def test_a_crisis_is_heard_while_the_store_is_away() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break")
        given.store.is_down = True
        await said(given, session_id, CRISIS)
        assert process.status == "aborted"
        assert given.parts._is_sensitive(session_id)
        await given.publish("session.deleted", session_id)


async def test_harmless_messages_end_nothing() -> None:
    async with stage(*[ANSWER] * 4) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break", 0.5)
        for text in ("How do I kill a process?", "Go on", "And a hackathon?"):
            await said(given, session_id, text)
            await given.parts.monitor.sweep()
        assert process.status == "active"


async def test_who_takes_consent_back_is_left_alone() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break")
        await given.parts.choices.change(session_id, stopped=True)
        await given.parts.monitor.sweep()
        assert process.status == "aborted"


async def test_an_operation_that_cannot_be_looked_at_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break")

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(given.parts.monitor._admission, "review", broken)
        await given.parts.monitor.sweep()
        assert process.status == "aborted"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("My sister passed away last night.", "vulnerability."),
        ("Вчера похоронили бабушку, не могу собраться.", "vulnerability."),
        ("Enough of these experiments, give me plain answers again.", "consent."),
        ("Хватит экспериментов, верни обычные ответы.", "consent."),
    ],
)
async def test_a_message_that_would_not_have_let_it_start_ends_an_operation(words: str, rule: str) -> None:
    async with stage() as given:
        session_id = await given.session()
        process = await given.start(session_id, "micro_disturbance")
        await said(given, session_id, words)
        assert process.status == "aborted"
        (alert,) = [event for event in given.harness.bus.published if event.type == "chaos.ethical_concern"]
        assert f"'rule': '{rule}" in str(alert.data)
        assert words not in str(alert.data)


async def test_what_the_journal_keeps_of_a_conversation_is_without_private_data() -> None:
    claim = "The stage is built by Ivan, who answers at ivan@example.org or +7 916 123-45-67 in the morning."
    async with stage() as given:
        session_id = await given.session(turns=[("Who builds the stage?", claim)] * 2)
        process = await given.start(session_id, "paradox_generation")
        kept = str(await given.kept(process.id))
        assert "The stage is built by Ivan" in kept
        assert "ivan@example.org" not in kept
        assert "123-45-67" not in kept


def test_a_paradox_ends_where_pain_rises_or_trust_falls() -> None:
    before = {"pain": 0.1, "trust": 0.8}
    assert not paradox_hurts(before, {"pain": 0.25, "trust": 0.7})
    assert "Pain rose" in paradox_hurts(before, {"pain": 0.3, "trust": 0.8})
    assert "Trust fell" in paradox_hurts(before, {"pain": 0.1, "trust": 0.6})
    assert not paradox_hurts({}, {})


async def test_a_clock_that_jumps_does_not_stop_the_monitor() -> None:
    async with stage(ANSWER) as given:
        session_id = await given.session()
        process = await given.start(session_id, "pattern_break")
        given.clock.set_now(datetime(1990, 1, 1, tzinfo=UTC))
        await said(given, session_id, CRISIS)
        assert process.status == "aborted"
