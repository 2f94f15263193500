"""What is said to who asks for a voice that is switched off, or misspells a name."""

from typing import Any

import httpx
import pytest

from voices.company import Company


@pytest.fixture
def client(company: Company) -> httpx.AsyncClient:
    return company.client


async def refusals(client: httpx.AsyncClient, model: str) -> list[str]:
    """Ask for a model on each wire and return what the errors say."""
    session_id = (await client.post("/api/v1/sessions", json={})).json()["id"]
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
        "/v1/responses": {"input": "hi"},
        f"/api/v1/sessions/{session_id}/turns": {"text": "hi"},
    }
    said = []
    for path, body in bodies.items():
        response = await client.post(path, json={"model": model, **body})
        assert response.status_code == 404, response.text
        said.append(str(response.json()))
    return said


@pytest.mark.parametrize("name", ["maki", "Маки", "маки", "sibyl", "SIBYL"])
async def test_a_voice_that_is_switched_off_says_how_to_switch_it_on(client: httpx.AsyncClient, name: str) -> None:
    for said in await refusals(client, f"voice:{name}"):
        assert "is switched off" in said
        assert "`optional_voices` of the plugin `voices`" in said
        assert "Did you mean" not in said


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("voice:pinno", "voice:pino"),
        ("voice:искривв", "voice:Искрив"),
        ("agent:codr", "agent:coder"),
        ("coder", "agent:coder"),
        ("Agent:Coder", "agent:coder"),
    ],
)
async def test_a_misspelled_name_is_answered_with_the_nearest(
    client: httpx.AsyncClient, wrong: str, meant: str
) -> None:
    for said in await refusals(client, wrong):
        assert f"Did you mean {meant!r}?" in said.replace('\\"', "'").replace("\\'", "'")


@pytest.mark.parametrize("model", ["agent:" + "x" * 190, "zzzzzz"])
async def test_what_is_like_no_name_gets_the_list_alone(client: httpx.AsyncClient, model: str) -> None:
    for said in await refusals(client, model):
        assert "Did you mean" not in said
        assert "voice:kain" in said


async def test_a_voice_that_is_switched_off_is_in_no_list(client: httpx.AsyncClient) -> None:
    models = {each["id"] for each in (await client.get("/v1/models")).json()["data"]}
    voices = {each["name"] for each in (await client.get("/api/v1/voices")).json()["data"]}
    assert "voice:maki" not in models
    assert "voice:kain" in models
    assert not {"maki", "sibyl"} & voices
