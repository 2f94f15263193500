"""Requests of other plugins for a voice: never in the place of a person's own."""

from typing import Any

import pytest

from iskra_sdk.errors import BadInputError
from iskra_sdk.principal import Principal
from voices.stage import SESSION, Stage, module, stage

ANNA = Principal("anna", permissions=frozenset({"sessions:*", "voices:use"}))


async def _requests(given: Stage) -> tuple[Any, Any]:
    """Return the service, and the record of a session of Anna's."""
    context = given.harness.context
    service = context.service(module("iskra_sdk.voice_requests").VoiceRequests)
    assembly = module("iskra_voices")._assembly_of(context)
    record = await (await assembly.parts()).records.of(SESSION)
    return service, record


async def test_a_request_holds_for_its_turns_and_is_taken_back() -> None:
    async with stage() as given:
        service, record = await _requests(given)
        assert await service.ask_for(ANNA, SESSION, "Сэм", turns=3) == ""
        assert (record.standing.requested, record.standing.requested_turns) == ("sam", 3)
        assert "voices.voice_activated" in given.events
        await service.take_back(SESSION, "iskriv")
        assert await service.ask_for(ANNA, SESSION, "sam", turns=3) == ""
        await service.take_back(SESSION, "sam")
        assert (record.standing.requested, record.standing.requested_turns) == ("", 0)


async def test_what_a_person_asked_for_stays() -> None:
    async with stage() as given:
        service, record = await _requests(given)
        record.standing = module("iskra_voices.choice").Standing(requested="kain", requested_turns=4)
        assert "'kain' was asked for" in await service.ask_for(ANNA, SESSION, "sam", turns=3)
        await service.take_back(SESSION, "sam")
        assert record.standing.requested == "kain"


async def test_a_voice_that_does_not_exist_is_refused() -> None:
    async with stage() as given:
        service, _ = await _requests(given)
        with pytest.raises(BadInputError):
            await service.ask_for(ANNA, SESSION, "nobody", turns=3)
