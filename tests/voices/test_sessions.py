"""What is kept of sessions: metrics after each turn, the voice that somebody asked for, and nothing after deletion."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from fake_upstream import Call, Request
from iskra_metrics.service import ConversationMetrics
from iskra_sdk import Principal
from iskra_sdk.errors import SessionNotFoundError
from voices.company import Company

METRICS = "/api/v1/conversation_metrics"
ACTIVATE = "/api/v1/voices/activate"
SAME = "The report has to be finished on Friday and nobody has time for the report on Friday."


def wanted(voice: str, session: str, **others: object) -> dict[str, object]:
    context = {"session_id": session}
    return {"voice_type": voice, "interaction_purpose": "structure_recovery", "context": context, **others}


async def test_metrics_are_computed_after_each_turn_of_a_voice(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    saved = await company.until_remembered(session, 1)
    assert saved["watched"] is True
    shown = await company.metrics(session)
    assert shown["turn"] == 1
    assert set(shown["metrics"]) == {
        "staleness",
        "drift",
        "clarity",
        "chaos",
        "stability",
        "contradiction",
        "trust",
        "pain",
        "silence",
        "entropy",
    }
    assert shown["metrics"]["staleness"]["n_turns"] == 2
    assert set(shown["metrics"]["staleness"]) == {"value", "n_turns", "confidence", "parts"}


async def test_metrics_that_nobody_computed_are_made_up_for(company: Company) -> None:
    session, _ = await company.chat("agent:ask", *[SAME] * 4)
    assert await company.remembered(session) is None
    late = await company.metrics(session)
    other, _ = await company.chat("agent:ask", SAME)
    for _ in range(3):
        await company.metrics(other)
        await company.chat("agent:ask", SAME, session=other)
    step_by_step = await company.metrics(other)
    assert late["turn"] == step_by_step["turn"] == 4
    for name, reading in late["metrics"].items():
        if name != "silence":  # pauses are told by the clock
            assert reading["value"] == pytest.approx(step_by_step["metrics"][name]["value"], abs=0.02), name


async def test_a_session_without_turns_has_the_metrics_of_the_beginning(company: Company) -> None:
    created = await company.client.post("/api/v1/sessions", json={})
    shown = await company.metrics(created.json()["id"])
    assert shown["turn"] == 0
    assert shown["metrics"]["pain"]["value"] == 0


async def test_metrics_are_for_who_may_read_the_session(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    for path in (f"{METRICS}/{session}", f"/api/v1/voices/coordination/{session}"):
        assert (await company.other.get(path)).status_code in (403, 404)
        assert (await company.client.get(path)).status_code == 200
        missing = path.replace(session, "ses_none")
        assert (await company.client.get(missing)).status_code == 404


async def test_a_deleted_session_is_forgotten(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    await company.until_remembered(session, 1)
    async with asyncio.timeout(10):
        assert (await company.client.delete(f"/api/v1/sessions/{session}")).status_code < 300
        while await company.remembered(session) is not None:  # noqa: ASYNC110 - a handler brings it about
            await asyncio.sleep(0)


async def test_an_activated_voice_answers_the_coming_turns_of_auto(company: Company) -> None:
    session, _ = await company.chat("voice:auto", "We plan the yearly report together with the whole team.")
    answer = await company.post(ACTIVATE, wanted("Сэм", session, turns=2))
    assert answer["voice_type"] == "sam"
    assert answer["fits_purpose"] is True
    assert answer["coordination_role"] == "primary"
    assert answer["model"] == "voice:auto"
    assert 0 <= answer["activation_level"] <= 1
    assert answer["metrics"]["clarity"]["n_turns"] == 2
    await company.chat("voice:kain", "What do we do about the tables of the report?", session=session)  # not counted
    for _ in range(2):
        _, text = await company.chat("voice:auto", "What do we do about the tables of the report?", session=session)
        assert text.startswith("Goal: ")
    coordination = await company.get(f"/api/v1/voices/coordination/{session}")
    assert coordination["session_id"] == session
    assert [voice["voice_type"] for voice in coordination["active_voices"]][:2] == ["sam", "kain"]
    assert set(coordination) == {
        "session_id",
        "active_voices",
        "coordination_protocol",
        "conflict_resolution",
    }
    assert set(coordination["active_voices"][0]) == {
        "voice_type",
        "activation_level",
        "coordination_role",
        "last_interaction",
    }


async def test_a_conversation_that_turns_in_circles_is_shaken_and_brought_back(company: Company) -> None:
    def repeats_itself(_request: Request) -> Iterator[str | Call]:
        yield "The report is due on Friday, so finish the report until Friday."

    company.upstream.answer = repeats_itself
    session = ""
    spoke = []
    for _ in range(7):
        before = len(company.upstream.requests)
        session, _ = await company.chat("voice:auto", SAME, session=session)
        prompts = [request["messages"][0]["content"] for request in company.upstream.requests[before:]]
        spoke += [found[1] for prompt in prompts if (found := re.match(r"You speak as (\w+)", prompt))][:1]
    assert spoke[0] == "Iskra"
    assert "Hundun" in spoke
    assert spoke[spoke.index("Hundun") + 1] == "Sam"
    assert (await company.metrics(session))["metrics"]["staleness"]["value"] > 0.55


async def test_a_session_can_be_named_by_header(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    body = {"voice_type": "искра", "interaction_purpose": "synthesis_integration", "context": {}}
    response = await company.client.post(ACTIVATE, json=body, headers={"X-Session-ID": session})
    assert response.json()["voice_type"] == "iskra"
    named = await company.client.post(ACTIVATE, json={**body, "session_id": session})
    assert named.json()["session_id"] == session
    nowhere = await company.client.post(ACTIVATE, json=body)
    assert nowhere.status_code == 400
    assert "session" in nowhere.json()["detail"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"voice_type": "nobody"}, 400),
        ({"interaction_purpose": "world_domination"}, 422),
        ({"turns": 0}, 422),
        ({"context": {"session_id": "ses_none"}}, 404),
        ({"context": {"urgency_level": 7}}, 422),
        ({"voice_type": "x" * 100}, 422),
    ],
)
async def test_bad_wishes_are_refused(company: Company, change: dict[str, object], status: int) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    await company.post(ACTIVATE, {**wanted("kain", session), **change}, status=status)


async def test_a_voice_that_must_not_speak_is_not_activated(company: Company) -> None:
    session, text = await company.chat("voice:auto", "I want to kill myself, I do not want to live.")
    assert "988" in text
    refused = await company.post(ACTIVATE, wanted("pino", session), status=409)
    assert refused["voice"] == "pino"
    assert "anhantha" in refused["mend"]


async def test_a_crisis_that_an_agent_was_told_of_counts_too(company: Company) -> None:
    session, _ = await company.chat("agent:ask", "I want to kill myself, I do not want to live.")
    await company.post(ACTIVATE, wanted("hundun", session), status=409)
    body = {
        "primary_voice": "kain",
        "collaborating_voices": ["sam"],
        "collaborative_task": {"content": "Let us plan the trip."},
        "session_id": session,
    }
    await company.post("/api/v1/voices/collaborate", body, status=409)
    await company.chat("agent:ask", "I am safe, I talked to a friend. Let us plan the trip.", session=session)
    await company.post("/api/v1/voices/collaborate", body)


async def test_an_activated_voice_is_told_what_it_is_wanted_for(company: Company) -> None:
    session, _ = await company.chat("voice:auto", "We plan the yearly report together with the whole team.")
    asked = wanted("sam", session, turns=1)
    asked["context"] = {"session_id": session, "chaos_intent": "встряхнуть план"}
    await company.post(ACTIVATE, asked)
    prompts = []
    for _ in range(2):
        company.upstream.requests.clear()
        await company.chat("voice:auto", "What do we do about the tables of the report?", session=session)
        prompts.append(company.upstream.requests[0]["messages"][0]["content"])
    assert ["встряхнуть план" in prompt for prompt in prompts] == [True, False]


async def test_one_voice_at_a_time_is_the_primary_one(company: Company) -> None:
    session, _ = await company.chat("voice:auto", "We plan the yearly report together with the whole team.")
    for voice in ("kain", "anhantha", "sam"):
        await company.post(ACTIVATE, wanted(voice, session))
    coordination = await company.get(f"/api/v1/voices/coordination/{session}")
    roles = {voice["voice_type"]: voice["coordination_role"] for voice in coordination["active_voices"]}
    assert [voice for voice, role in roles.items() if role == "primary"] == ["sam"]


@pytest.mark.parametrize(
    ("name", "detail"),
    [("maki", "switched off"), ("Сибилла", "switched off"), ("nobody", "There is no voice")],
)
async def test_a_voice_that_is_off_says_how_it_is_switched_on(company: Company, name: str, detail: str) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    refused = await company.post(ACTIVATE, wanted(name, session), status=400)
    assert detail in refused["detail"]
    assert ("optional_voices" in refused["mend"]) is (detail == "switched off")


@pytest.mark.parametrize("name", ["\u200bsam\u200b", " СЭМ ", "[сэм]", "Сэ\u0301м"])
async def test_names_may_hold_what_nobody_sees(company: Company, name: str) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    assert (await company.post(ACTIVATE, wanted(name, session)))["voice_type"] == "sam"


async def test_others_cannot_ask_voices_into_a_session(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    response = await company.other.post(ACTIVATE, json=wanted("kain", session))
    assert response.status_code in (403, 404)


async def test_levels_follow_urgency_and_sensitivity(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", "We plan the yearly report together with the whole team.")
    urgent = await company.post(
        ACTIVATE, {**wanted("kain", session), "context": {"session_id": session, "urgency_level": 0.9}}
    )
    assert urgent["activation_level"] == pytest.approx(0.9)
    context = {"session_id": session, "urgency_level": 0.9, "sensitivity_level": 0.6}
    damped = await company.post(ACTIVATE, {**wanted("hundun", session), "context": context})
    assert damped["activation_level"] == pytest.approx(0.63)


async def test_what_is_remembered_survives_a_reload(company: Company) -> None:
    session, _ = await company.chat("voice:auto", "We plan the yearly report together with the whole team.")
    await company.post(ACTIVATE, wanted("sam", session))
    before = await company.metrics(session)
    assert (await company.client.post("/api/v1/admin/plugins/voices/reload")).status_code == 200
    assert await company.metrics(session) == before
    _, text = await company.chat("voice:auto", "What do we do about the tables of the report?", session=session)
    assert text.startswith("Goal: ")


async def test_every_session_is_measured_where_an_admin_wants_it(company: Company) -> None:
    settings = "/api/v1/admin/plugins/voices/settings"
    assert (await company.client.put(settings, json={"all_sessions": True})).status_code == 200
    try:
        session, _ = await company.chat("agent:ask", SAME)
        await company.until_remembered(session, 1)
    finally:
        assert (await company.client.put(settings, json={"all_sessions": None})).status_code == 200


async def test_other_plugins_read_metrics_as_a_service(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", SAME)
    assert company.server.layer is not None
    service = company.server.layer.kernel.plugins.service(ConversationMetrics)  # type: ignore[type-abstract]
    assert service is not None
    owner = Principal((await company.get(f"/api/v1/sessions/{session}"))["owner"])
    found = await service.of_session(owner, session)
    shown = await company.metrics(session)
    assert {name: reading.value for name, reading in found.items()} == {
        name: reading["value"] for name, reading in shown["metrics"].items()
    }
    with pytest.raises(SessionNotFoundError):
        await service.of_session(Principal("somebody else"), session)


async def test_the_routes_are_in_the_interface_for_programs(company: Company) -> None:
    paths = (await company.get("/openapi.json"))["paths"]
    assert {"/api/v1/voices/activate", "/api/v1/voices/collaborate"} <= set(paths)
    assert {"/api/v1/voices/coordination/{session_id}", "/api/v1/conversation_metrics/{session_id}"} <= set(paths)
    listed = await company.get("/api/v1/voices")
    assert [voice["name"] for voice in listed["data"]] == [
        "anhantha",
        "auto",
        "hundun",
        "iskra",
        "iskriv",
        "kain",
        "pino",
        "sam",
    ]
