"""Messages in which a person sees nothing: every wire refuses them as it refuses an empty one."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from http_probe import TOKEN
from iskra.server import Server

ZERO_WIDTH = "\u200b\ufeff\u2060"
BIDI = "\u200e\u202e \u2067\u2069"
FILLER = "\u3164\n\u2800"
UNSEEN = pytest.mark.parametrize("text", ["", " \n", ZERO_WIDTH, BIDI, FILLER], ids=repr)


def refusal(response: httpx.Response) -> str:
    assert response.status_code == 400
    document: dict[str, Any] = response.json()
    return str(document.get("error", document))


@UNSEEN
async def test_native_turns_refuse_it_and_make_no_session(client: httpx.AsyncClient, text: str) -> None:
    session_id = (await client.post("/api/v1/sessions", json={})).json()["id"]
    response = await client.post(f"/api/v1/sessions/{session_id}/turns", json={"text": text, "model": "agent:echo"})
    assert "empty" in refusal(response)
    assert (await client.get(f"/api/v1/sessions/{session_id}/turns")).json()["data"] == []


@UNSEEN
async def test_chat_completions_refuse_it(client: httpx.AsyncClient, text: str) -> None:
    for content in (text, [{"type": "text", "text": text}]):
        body = {"model": "agent:echo", "messages": [{"role": "user", "content": content}]}
        assert "empty" in refusal(await client.post("/v1/chat/completions", json=body))


@UNSEEN
async def test_responses_refuse_it(client: httpx.AsyncClient, text: str) -> None:
    for given in (text, [{"role": "user", "content": [{"type": "input_text", "text": text}]}]):
        body = {"model": "agent:echo", "input": given}
        assert "empty" in refusal(await client.post("/v1/responses", json=body))


@UNSEEN
async def test_the_web_socket_refuses_it(server: Server, client: httpx.AsyncClient, text: str) -> None:
    session_id = (await client.post("/api/v1/sessions", json={})).json()["id"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    address = server.url.replace("http", "ws") + "/api/v1/ws"
    command = {"id": "q", "type": "turn", "session_id": session_id, "text": text, "model": "agent:echo"}
    async with connect(address, additional_headers=headers, compression=None) as socket, asyncio.timeout(10):
        await socket.send(json.dumps(command))
        answer = json.loads(await socket.recv())
        while answer.get("id") != "q":
            answer = json.loads(await socket.recv())
    assert "empty" in str(answer["error"])


@pytest.mark.parametrize("text", ["👩\u200d💻", "\u200bда", "\u202eabc", "❤\ufe0f", "."], ids=repr)
async def test_what_has_something_to_see_is_a_message(client: httpx.AsyncClient, text: str) -> None:
    body = {"model": "agent:echo", "messages": [{"role": "user", "content": text}]}
    answer = (await client.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["message"]["content"].startswith(text.strip())
