"""Voices: a manner of answering, laid over whoever answers."""

from collections.abc import AsyncIterator

from iskra_sdk.agent import Agent
from iskra_sdk.session_store import SessionStore
from iskra_sdk.turn import Turn, TurnEvent
from iskra_sdk.voice import Voice
from turn_kit import turn_kit

BUTLER = Voice("butler", "Speak like a butler.", parameters={"temperature": 0.3})


class Orchestrator(Agent):
    """Asks the model who should answer, then answers itself."""

    name = "orchestrator"
    prompt = "Be useful."

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        async for _ in turn.stream_model(prompt="Who should answer?", messages=[turn.input]):
            pass
        async for event in turn.stream_model():
            yield event


async def test_a_voice_speaks_in_answers_and_not_in_side_calls(store: SessionStore) -> None:
    async with turn_kit(store, "me", "Very good, sir.", agents=[Orchestrator()], voices=[BUTLER]) as kit:
        await kit.ask("hi", model="voice:butler")
        side, answer = kit.model.requests
        assert side.messages[0].text == "Who should answer?"
        assert (side.caller.voice, side.caller.is_answer, dict(side.parameters)) == ("", False, {})
        assert answer.messages[0].text.startswith("Speak like a butler.\n\nBe useful.")
        assert (answer.caller.voice, answer.caller.is_answer) == ("butler", True)
        assert answer.parameters["temperature"] == 0.3


async def test_who_answers_without_a_voice_has_none(store: SessionStore) -> None:
    async with turn_kit(store, "me", "hello", agents=[Orchestrator()], voices=[BUTLER]) as kit:
        await kit.ask("hi", model="agent:orchestrator")
        assert {request.caller.voice for request in kit.model.requests} == {""}
