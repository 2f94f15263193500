"""The native API of sessions, turns, events and approvals."""

import asyncio
from typing import Any

import httpx
import pytest

from http_probe import Sent, read_events, until
from iskra.server import Server


async def new_session(client: httpx.AsyncClient, **fields: Any) -> str:
    response = await client.post("/api/v1/sessions", json=fields)
    assert response.status_code == 201, response.text
    session_id: str = response.json()["id"]
    return session_id


async def start(client: httpx.AsyncClient, session: str, text: str, model: str = "agent:echo", key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"text": text, "model": model}
    response = await client.post(f"/api/v1/sessions/{session}/turns", json=body, headers=headers)
    assert response.status_code == 202, response.text
    return response.json()


async def finished(client: httpx.AsyncClient, turn_id: str, state: str = "completed") -> Any:
    turn: Any = None

    async def is_there() -> bool:
        nonlocal turn
        turn = (await client.get(f"/api/v1/turns/{turn_id}")).json()
        return bool(turn["state"] == state)

    await until(is_there)
    return turn


async def page(client: httpx.AsyncClient, session: str, after: int = 0) -> list[dict[str, Any]]:
    response = await client.get(
        f"/api/v1/sessions/{session}/events", params={"after": after}, headers={"Accept": "application/json"}
    )
    events: list[dict[str, Any]] = response.json()["data"]
    return events


async def test_a_session_lives_from_creation_to_deletion(client: httpx.AsyncClient) -> None:
    session = await new_session(client, title="First", metadata={"a": [1]})
    changed = await client.patch(f"/api/v1/sessions/{session}", json={"title": "Second"})
    assert changed.json()["title"] == "Second"
    assert changed.json()["metadata"] == {"a": [1]}
    assert session in [item["id"] for item in (await client.get("/api/v1/sessions")).json()["data"]]
    assert [event["type"] for event in await page(client, session)] == ["session.created", "session.updated"]
    assert (await client.delete(f"/api/v1/sessions/{session}")).status_code == 204
    assert (await client.get(f"/api/v1/sessions/{session}")).status_code == 404


async def test_lists_are_paged(client: httpx.AsyncClient) -> None:
    made = [await new_session(client, title=str(number)) for number in range(3)]
    first = (await client.get("/api/v1/sessions", params={"limit": 2})).json()
    assert [item["id"] for item in first["data"]] == [made[2], made[1]]
    second = (await client.get("/api/v1/sessions", params={"limit": 2, "before": first["next"]})).json()
    assert second["data"][0]["id"] == made[0]


async def test_a_turn_is_committed_runs_and_can_be_read(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "hello there")
    done = await finished(client, turn["id"])
    assert done["agent"] == "echo"
    messages = (await client.get(f"/api/v1/sessions/{session}/messages")).json()["data"]
    assert [item["message"]["role"] for item in messages] == ["user", "assistant"]
    steps = (await client.get(f"/api/v1/turns/{turn['id']}/steps")).json()["data"]
    assert steps[0]["kind"] == "text"


async def test_the_same_key_makes_one_turn(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turns = await asyncio.gather(*(start(client, session, "once", key="k1") for _ in range(4)))
    assert len({turn["id"] for turn in turns}) == 1
    other = await client.post(
        f"/api/v1/sessions/{session}/turns",
        json={"text": "something else", "model": "agent:echo"},
        headers={"Idempotency-Key": "k1"},
    )
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"


async def test_a_turn_can_be_streamed_by_the_request_that_starts_it(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    async with client.stream(
        "POST",
        f"/api/v1/sessions/{session}/turns",
        json={"text": "a b", "model": "agent:echo"},
        headers={"Accept": "text/event-stream"},
    ) as response:
        events = [event async for event in read_events(response)]
    assert events[0].name == "turn.started"
    assert events[-1].name == "turn.completed"


async def test_events_resume_at_every_place_without_gap_or_double(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    async with client.stream("GET", f"/api/v1/sessions/{session}/events") as response:
        reading = read_events(response)
        turn = await start(client, session, "one two three four")
        live: list[Sent] = []
        async for event in reading:
            live.append(event)
            if event.name == "turn.completed":
                break
    text = "".join(event.data["data"].get("text", "") for event in live if event.name == "message.delta")
    assert text == "one two three four (1)"
    seqs = [int(event.id) for event in live]
    assert seqs == sorted(set(seqs))
    for place, event in enumerate(live[:-1]):
        headers = {"Last-Event-ID": event.id}
        seen = [seen.data["data"].get("text", "") for seen in live[: place + 1] if seen.name == "message.delta"]
        rest = []
        async with client.stream("GET", f"/api/v1/sessions/{session}/events", headers=headers) as response:
            async for later in read_events(response):
                assert int(later.id) > int(event.id)
                rest.append(later)
                if later.name == "turn.completed":
                    break
        told = "".join(later.data["data"].get("text", "") for later in rest if later.name == "message.delta")
        assert "".join(seen) + told == text
    assert turn["first_seq"] < seqs[-1]


async def test_the_wire_of_an_event_is_complete(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "hi")
    await finished(client, turn["id"])
    for event in await page(client, session):
        assert set(event) == {
            "id", "seq", "type", "session_id", "turn_id", "at", "source", "severity", "correlation_id", "data",
        }  # fmt: skip
        assert event["session_id"] == session


async def test_a_running_turn_is_cancelled(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "go", "agent:slow")
    cancelled = await client.post(f"/api/v1/turns/{turn['id']}/cancel", json={"reason": "enough"})
    assert cancelled.json()["state"] == "cancelled"
    last = (await page(client, session))[-1]
    assert (last["type"], last["data"]["reason"]) == ("turn.cancelled", "enough")
    again = await client.post(f"/api/v1/turns/{turn['id']}/cancel")
    assert again.json()["state"] == "cancelled"


async def test_deleting_a_session_cancels_what_runs_in_it(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "go", "agent:slow")
    assert (await client.delete(f"/api/v1/sessions/{session}")).status_code == 204
    assert (await client.get(f"/api/v1/turns/{turn['id']}")).status_code == 404


async def test_messages_queue_up_to_a_limit(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    await start(client, session, "go", "agent:slow")
    for _ in range(16):
        assert (await start(client, session, "next"))["state"] == "queued"
    full = await client.post(f"/api/v1/sessions/{session}/turns", json={"text": "x", "model": "agent:echo"})
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) >= 1
    await client.delete(f"/api/v1/sessions/{session}")


async def test_one_of_many_deciders_wins(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "decide", "agent:notes")
    await finished(client, turn["id"], "waiting_approval")
    requests = (await client.get("/api/v1/approvals")).json()["data"]
    mine = next(request for request in requests if request["session_id"] == session)
    path = f"/api/v1/approvals/{mine['id']}/decision"
    answers = await asyncio.gather(
        *(client.post(path, json={"decision": "approve" if number % 2 else "deny"}) for number in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"approval_closed"}
    await finished(client, turn["id"])
    decided = [event for event in await page(client, session) if event["type"] == "approval.decided"]
    assert len(decided) == 1


async def test_an_approval_with_edited_arguments_runs_those(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "original", "agent:notes")
    await finished(client, turn["id"], "waiting_approval")
    mine = next(r for r in (await client.get("/api/v1/approvals")).json()["data"] if r["session_id"] == session)
    path = f"/api/v1/approvals/{mine['id']}/decision"
    wrong = await client.post(path, json={"decision": "approve", "arguments": {"nope": 1}})
    assert wrong.status_code == 422
    right = await client.post(path, json={"decision": "approve", "arguments": {"text": "edited"}})
    assert right.status_code == 200
    assert right.json()["hash"] != mine["hash"]
    await finished(client, turn["id"])
    assert "wrote edited" in str(await page(client, session))


async def test_a_question_is_answered(client: httpx.AsyncClient) -> None:
    session = await new_session(client)
    turn = await start(client, session, "drink", "agent:asker")
    await finished(client, turn["id"], "waiting_answer")
    assert (await client.post(f"/api/v1/sessions/{session}/answer", json={"text": "beer"})).status_code == 400
    assert (await client.post(f"/api/v1/turns/{turn['id']}/answer", json={"text": "1"})).status_code == 200
    await finished(client, turn["id"])
    assert (await client.post(f"/api/v1/sessions/{session}/answer", json={"text": "1"})).status_code == 409


async def test_what_belongs_to_others_looks_as_if_it_did_not_exist(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    session = await new_session(client)
    turn = await start(client, session, "mine", "agent:notes")
    await finished(client, turn["id"], "waiting_approval")
    mine = next(r for r in (await client.get("/api/v1/approvals")).json()["data"] if r["session_id"] == session)

    def requests(session: str, turn: str, approval: str) -> list[tuple[str, str, Any]]:
        return [
            ("GET", f"/api/v1/sessions/{session}", None),
            ("PATCH", f"/api/v1/sessions/{session}", {"title": "x"}),
            ("DELETE", f"/api/v1/sessions/{session}", None),
            ("GET", f"/api/v1/sessions/{session}/messages", None),
            ("GET", f"/api/v1/sessions/{session}/events", None),
            ("GET", f"/api/v1/sessions/{session}/turns", None),
            ("POST", f"/api/v1/sessions/{session}/turns", {"text": "x", "model": "agent:echo"}),
            ("POST", f"/api/v1/sessions/{session}/answer", {"text": "x"}),
            ("GET", f"/api/v1/turns/{turn}", None),
            ("GET", f"/api/v1/turns/{turn}/steps", None),
            ("POST", f"/api/v1/turns/{turn}/cancel", {}),
            ("POST", f"/api/v1/turns/{turn}/answer", {"text": "x"}),
            ("GET", f"/api/v1/approvals/{approval}", None),
            ("POST", f"/api/v1/approvals/{approval}/decision", {"decision": "approve"}),
        ]

    foreign = requests(session, turn["id"], mine["id"])
    absent = requests("ses_no", "trn_no", "apr_no")
    for (method, path, body), (_, missing, _) in zip(foreign, absent, strict=True):
        theirs = await other.request(method, path, json=body)
        nobodys = await other.request(method, missing, json=body)
        assert theirs.status_code == nobodys.status_code == 404, path
        assert theirs.json()["code"] == nobodys.json()["code"]
    assert session not in (await other.get("/api/v1/sessions")).text
    assert mine["id"] not in (await other.get("/api/v1/approvals", params={"state": "all"})).text
    await client.delete(f"/api/v1/sessions/{session}")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"title": 5}, 422),
        ({"title": "x", "id": "ses_mine"}, 422),
        ({"principal_id": "other"}, 422),
        ({"reserved_seq": 1}, 422),
        ({"metadata": {"x": "y" * 20_000}}, 422),
        ({"agent": "agent:nobody"}, 404),
        ([], 422),
    ],
)
async def test_fields_that_do_not_fit_are_refused(client: httpx.AsyncClient, body: Any, status: int) -> None:
    response = await client.post("/api/v1/sessions", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


async def test_usage_is_counted_and_listed(client: httpx.AsyncClient, server: Server) -> None:
    await client.post(
        "/v1/chat/completions", json={"model": "llm:default", "messages": [{"role": "user", "content": "x y"}]}
    )

    async def is_counted() -> bool:
        rows = (await client.get("/api/v1/usage")).json()["data"]
        return any(row["target"] == "fake/plain" and row["prompt_tokens"] >= 2 for row in rows)

    await until(is_counted)


async def test_the_server_lists_what_it_offers(client: httpx.AsyncClient) -> None:
    agents = (await client.get("/api/v1/agents")).json()["data"]
    assert "echo" in [agent["name"] for agent in agents]
    tools = (await client.get("/api/v1/tools")).json()["data"]
    assert tools[0]["parameters"]["properties"]["text"]["description"] == "The note."
    assert (await client.get("/api/v1/voices")).json()["data"][0]["name"] == "calm"
    assert set((await client.get("/api/v1/status")).json()["plugins"]) == {"probe"}
