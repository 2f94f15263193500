"""Chat completions: turns for agents, the gateway for models."""

import json
import re
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from http_probe import TOKEN, Sent, chat, read_events, say, until
from iskra.server import Server


async def stream(client: httpx.AsyncClient, body: dict[str, Any]) -> list[Sent]:
    async with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        return [event async for event in read_events(response)]


def content_of(events: list[Sent]) -> str:
    return "".join(
        event.data["choices"][0]["delta"].get("content") or ""
        for event in events
        if event.data != "[DONE]" and event.data["choices"]
    )


def code_in(text: str) -> str:
    found = re.search(r"approve ([A-Z0-9]{4})", text)
    assert found is not None, text
    return found[1]


@pytest.mark.parametrize("model", ["agent:echo", "llm:default", "llm:default/wire"])
async def test_every_chunk_has_a_finish_reason_and_one_is_terminal(client: httpx.AsyncClient, model: str) -> None:
    events = await stream(client, chat(model, "one two three", stream_options={"include_usage": True}))
    assert events[-1].data == "[DONE]"
    assert events[-2].data["choices"] == []
    assert events[-2].data["usage"]["total_tokens"] >= 0
    chunks = [event.data for event in events[:-2]]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert [reason for reason in reasons if reason is not None] == ["stop"]
    assert reasons[-1] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["model"] for chunk in chunks} == {model}
    assert content_of(events).startswith("one two three")


async def test_usage_is_sent_only_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    for model in ("agent:echo", "llm:default", "llm:default/wire"):
        events = await stream(client, chat(model, "hi"))
        assert all(event.data == "[DONE]" or event.data["choices"] for event in events)


async def test_the_whole_answer_has_the_same_text_as_the_stream(client: httpx.AsyncClient) -> None:
    for model in ("agent:echo", "llm:default"):
        whole = await say(client, model, f"same text {model}")
        assert whole == content_of(await stream(client, chat(model, f"same text {model}")))


async def test_a_conversation_without_a_session_id_stays_in_one_session(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/chat/completions", json=chat("agent:echo", "where am I"))
    answer = first.json()["choices"][0]["message"]["content"]
    second = await client.post("/v1/chat/completions", json=chat("agent:echo", "where am I", f"{answer}\n", "and now"))
    assert second.headers["x-iskra-session"] == first.headers["x-iskra-session"]
    assert second.json()["choices"][0]["message"]["content"] == "and now (2)"


async def test_an_edited_or_regenerated_message_begins_a_new_session_with_its_history(
    client: httpx.AsyncClient,
) -> None:
    first = await client.post("/v1/chat/completions", json=chat("agent:echo", "first message"))
    answer = first.json()["choices"][0]["message"]["content"]
    second = await client.post("/v1/chat/completions", json=chat("agent:echo", "first message", answer, "second"))
    again = await client.post("/v1/chat/completions", json=chat("agent:echo", "first message", answer, "second"))
    edited = await client.post("/v1/chat/completions", json=chat("agent:echo", "first, edited", answer, "second"))
    sessions = [response.headers["x-iskra-session"] for response in (first, second, again, edited)]
    assert sessions[0] == sessions[1]
    assert len(set(sessions)) == 3
    assert edited.json()["choices"][0]["message"]["content"] == "second (2)"


async def test_another_user_with_the_same_history_gets_another_session(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    first = await client.post("/v1/chat/completions", json=chat("agent:echo", "shared words"))
    answer = first.json()["choices"][0]["message"]["content"]
    theirs = await other.post("/v1/chat/completions", json=chat("agent:echo", "shared words", answer, "next"))
    assert theirs.headers["x-iskra-session"] != first.headers["x-iskra-session"]


@pytest.mark.parametrize("where", ["header", "metadata"])
async def test_a_named_session_is_used(client: httpx.AsyncClient, other: httpx.AsyncClient, where: str) -> None:
    session = (await client.post("/api/v1/sessions", json={"title": "named"})).json()["id"]
    headers = {"X-Iskra-Session": session} if where == "header" else {}
    body = chat("agent:echo", "hi", **({"metadata": {"session_id": session}} if where == "metadata" else {}))
    mine = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert mine.headers["x-iskra-session"] == session
    foreign = await other.post("/v1/chat/completions", json=body, headers=headers)
    assert foreign.status_code == 404
    assert foreign.json()["error"]["code"] == "session_not_found"


async def test_an_approval_is_given_in_the_chat_and_the_same_turn_goes_on(
    client: httpx.AsyncClient, server: Server
) -> None:
    events = await stream(client, chat("agent:notes", "buy milk"))
    shown = content_of(events)
    assert "write_note" in shown
    assert "buy milk" in shown
    assert events[-2].data["choices"][0]["finish_reason"] == "stop"
    reply = f"approve {code_in(shown)}"
    answer = content_of(await stream(client, chat("agent:notes", "buy milk", shown, reply)))
    assert answer == "Result: wrote buy milk"
    again = await say(client, "agent:notes", "buy milk", shown, reply)
    assert "closed" in again
    sessions = (await client.get("/api/v1/approvals", params={"state": "approved"})).json()["data"]
    turns = (await client.get(f"/api/v1/sessions/{sessions[0]['session_id']}/turns")).json()["data"]
    assert [turn["state"] for turn in turns] == ["completed"]


async def test_a_denial_in_russian_reaches_the_agent_and_no_model(client: httpx.AsyncClient) -> None:
    shown = await say(client, "agent:notes", "купи хлеб")
    found = re.search(r"`нет ([A-Z0-9]{4})`", shown)
    assert found is not None, shown
    answer = await say(client, "agent:notes", "купи хлеб", shown, f"нет {found[1]} не надо")
    assert "denied" in answer
    assert "не надо" in answer


async def test_an_unknown_code_is_answered_without_a_turn(client: httpx.AsyncClient) -> None:
    before = len((await client.get("/api/v1/sessions", params={"limit": 200})).json()["data"])
    answer = await say(client, "agent:echo", "approve Q7Q7")
    assert "Q7Q7" in answer
    assert len((await client.get("/api/v1/sessions", params={"limit": 200})).json()["data"]) == before


async def test_a_russian_reply_that_decides_nothing_is_answered_in_russian(client: httpx.AsyncClient) -> None:
    assert "нет запроса с кодом Q7Q7" in await say(client, "agent:echo", "да Q7Q7")
    shown = await say(client, "agent:notes", "запомни это")
    code = re.findall("да ([A-Z0-9]{4})", shown)[0]
    done = await say(client, "agent:notes", "запомни это", shown, f"да {code}")
    assert "он разрешён" in await say(client, "agent:notes", "запомни это", shown, f"да {code}", done, f"нет {code}")


async def test_a_foreign_code_is_as_unknown_as_any(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    shown = await say(client, "agent:notes", "mine alone")
    answer = await say(other, "agent:notes", "mine alone", shown, f"approve {code_in(shown)}")
    assert "No approval request of yours" in answer
    request = (await client.get("/api/v1/approvals")).json()["data"][0]
    assert request["state"] == "open"
    await client.post(f"/api/v1/approvals/{request['id']}/decision", json={"decision": "deny"})


async def test_a_new_message_while_an_approval_is_open_gets_a_reminder(client: httpx.AsyncClient) -> None:
    shown = await say(client, "agent:notes", "remember me")
    reminder = await say(client, "agent:notes", "remember me", shown, "hurry up")
    assert code_in(reminder) == code_in(shown)
    answer = await say(client, "agent:notes", "remember me", shown, "hurry up", reminder, f"approve {code_in(shown)}")
    assert answer == "Result: wrote remember me"


@pytest.mark.parametrize(
    ("wrong", "told", "drop", "dropped"),
    [("beer", 'write "cancel"', "Cancel.", "dropped"), ("пиво", "напишите «отмена»", "отмена", "снят")],
)
async def test_a_question_that_nobody_wants_to_answer_is_dropped(
    client: httpx.AsyncClient, wrong: str, told: str, drop: str, dropped: str
) -> None:
    turns = ["a drink please", await say(client, "agent:asker", "a drink please")]
    turns += [wrong, await say(client, "agent:asker", *turns, wrong)]
    assert told in turns[-1]
    turns += [drop, await say(client, "agent:asker", *turns, drop)]
    assert dropped in turns[-1]
    assert "Tea or coffee?" in await say(client, "agent:asker", *turns, "another drink")


async def test_a_question_is_answered_by_the_next_message(client: httpx.AsyncClient) -> None:
    question = await say(client, "agent:asker", "a drink please")
    assert question == "Tea or coffee?\n\n1. tea\n2. coffee"
    wrong = await say(client, "agent:asker", "a drink please", question, "beer")
    assert "none of the options" in wrong
    answer = await say(client, "agent:asker", "a drink please", question, "beer", wrong, "2")
    assert answer == "You get coffee."


async def test_side_calls_of_user_interfaces_make_no_session(client: httpx.AsyncClient) -> None:
    before = len((await client.get("/api/v1/sessions", params={"limit": 200})).json()["data"])
    for text in (
        "### Task:\nGenerate a concise title.\n### Guidelines:\n- short\n<chat_history>\nhi\n</chat_history>",
        "Please generate a concise, 5-word-or-less title for the conversation",
    ):
        response = await client.post("/v1/chat/completions", json=chat("agent:notes", text, tools=[{"type": "x"}]))
        assert response.status_code == 200
        assert "x-iskra-session" not in response.headers
    assert len((await client.get("/api/v1/sessions", params={"limit": 200})).json()["data"]) == before


async def test_a_client_that_leaves_cancels_its_turn(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=chat("agent:slow", "go", stream=True)) as response:
        session = response.headers["x-iskra-session"]
        async for event in read_events(response):
            if event.data["choices"][0]["delta"].get("content"):
                break

    async def is_cancelled() -> bool:
        turns = (await client.get(f"/api/v1/sessions/{session}/turns")).json()["data"]
        return bool(turns[0]["state"] == "cancelled")

    await until(is_cancelled, 3)


async def test_a_client_that_leaves_does_not_cancel_a_turn_that_waits_for_approval(client: httpx.AsyncClient) -> None:
    shown = await say(client, "agent:notes", "wait for me")
    turn_id = (await client.get("/api/v1/approvals")).json()["data"][0]["turn_id"]
    assert (await client.get(f"/api/v1/turns/{turn_id}")).json()["state"] == "waiting_approval"
    assert await say(client, "agent:notes", "wait for me", shown, f"approve {code_in(shown)}")


async def test_errors_before_the_first_token_are_real_statuses(client: httpx.AsyncClient) -> None:
    for model, status, code in (
        ("agent:nobody", 404, "model_not_found"),
        ("llm:nobody", 404, "model_not_found"),
        ("llm:default/reject", 400, "provider_rejected"),
        ("llm:default/down", 502, "provider_unavailable"),
        ("agent:broken", 500, "agent_failed"),
    ):
        for is_stream in (False, True):
            response = await client.post("/v1/chat/completions", json=chat(model, "hi", stream=is_stream))
            assert response.status_code == status, (model, response.text)
            assert response.json()["error"]["code"] == code
            assert "/root/secret" not in response.text


async def test_an_answer_that_breaks_off_is_no_finished_answer(client: httpx.AsyncClient) -> None:
    events = await stream(client, chat("llm:default/cut", "one two"))
    assert "error" in events[-1].data
    assert events[-1].data["error"]["code"] == "stream_interrupted"
    assert all(event.data["choices"][0]["finish_reason"] is None for event in events[:-1])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "agent:echo"}, 400),
        ({"model": "agent:echo", "messages": []}, 400),
        ({"model": "agent:echo", "messages": "hi"}, 400),
        ({"model": "agent:echo", "messages": [1]}, 400),
        ({"model": 5, "messages": [{"role": "user", "content": "hi"}]}, 400),
        ({"model": "agent:echo", "messages": [{"role": "user"}]}, 400),
        ({"model": "agent:echo", "messages": [{"role": "assistant", "content": "hi"}]}, 400),
        ({"model": "agent:echo", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400),
        ({"model": "agent:echo", "messages": [{"role": "user", "content": "hi"}], "stream": "yes"}, 400),
        ({"model": "agent:echo", "messages": [{"role": "user", "content": "hi"}], "n": 3}, 400),
        ({"model": "agent:echo", "messages": [{"role": "user", "content": "x" * 3000}]}, 413),
    ],
)
async def test_bad_requests_say_what_is_wrong(client: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) >= {"message", "type", "param", "code"}


async def test_unknown_fields_are_accepted(client: httpx.AsyncClient) -> None:
    assert await say(client, "agent:echo", "hi", some_field={"a": 1}, tools=[], tool_choice="auto", logprobs=False)


async def test_nul_and_surrogates_do_no_harm(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat/completions", json=chat("agent:echo", "a\0b"))
    assert response.status_code == 200
    raw = b'{"model":"agent:echo","messages":[{"role":"user","content":"\\ud800"}]}'
    response = await client.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_the_official_client_streams_and_sees_errors(server: Server) -> None:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0) as openai:
        for model in ("agent:echo", "llm:default/wire"):
            chunks = await openai.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "one two"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            text, usage = "", None
            async for chunk in chunks:
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                usage = chunk.usage or usage
            assert text.startswith("one two")
            assert usage is not None
        with pytest.raises(NotFoundError):
            await openai.chat.completions.create(model="agent:no", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(BadRequestError):
            await openai.chat.completions.create(model="agent:echo", messages=[])
        models = [model.id async for model in openai.models.list()]
        assert {"agent:echo", "llm:default", "llm:default/wire"} <= set(models)
        assert (await openai.models.retrieve("llm:default/wire")).id == "llm:default/wire"


async def test_models_list_needs_the_permission(server: Server, stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/v1/models")).status_code == 401
    refused = await stranger.get("/v1/models", headers={"Authorization": "Bearer reader-token-for-tests-4713"})
    assert refused.status_code == 403
    assert json.loads(refused.text)["error"]["code"] == "permission_denied"
