"""The Responses protocol, with the official client and over the bare wire."""

from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from http_probe import TOKEN, Sent, read_events
from http_server_settings import make_settings
from iskra.http.response_events import SegmentId
from iskra.server import Server, running_server


@pytest.fixture
def openai(server: Server) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)


async def stream(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> list[Sent]:
    async with client.stream(method, path, **options) as response:
        assert response.status_code == 200
        return [event async for event in read_events(response)]


def ask(text: object, model: str = "agent:echo", **more: Any) -> dict[str, Any]:
    return {"json": {"model": model, "input": text, **more}}


async def test_a_stream_has_the_events_clients_need_in_order(client: httpx.AsyncClient) -> None:
    events = await stream(client, "POST", "/v1/responses", **ask("one two", stream=True))
    names = [event.name for event in events]
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    numbers = [event.data["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    text = "".join(event.data["delta"] for event in events if event.name == "response.output_text.delta")
    final = events[-1].data["response"]
    assert final["output"][0]["content"][0]["text"] == text == "one two (1)"


async def test_a_resumed_stream_is_the_rest_of_the_first_one_at_every_place(client: httpx.AsyncClient) -> None:
    events = await stream(client, "POST", "/v1/responses", **ask("a b c d", stream=True))
    response_id = events[0].data["response"]["id"]
    for cut, event in enumerate(events):
        after = event.data["sequence_number"]
        query = {"stream": "true", "starting_after": str(after)}
        rest = await stream(client, "GET", f"/v1/responses/{response_id}", params=query)
        assert [event.data for event in rest] == [event.data for event in events[cut + 1 :]]


async def test_a_resumed_stream_is_exact_after_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(tmp_path_factory.mktemp("restart"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running_server(settings) as first, httpx.AsyncClient(base_url=first.url, headers=headers) as client:
        events = await stream(client, "POST", "/v1/responses", **ask("a b c", stream=True))
    response_id = events[0].data["response"]["id"]
    async with running_server(settings) as second, httpx.AsyncClient(base_url=second.url, headers=headers) as client:
        for cut in range(0, len(events), 3):
            query = {"stream": "true", "starting_after": events[cut].data["sequence_number"]}
            rest = await stream(client, "GET", f"/v1/responses/{response_id}", params=query)
            assert [event.data for event in rest] == [event.data for event in events[cut + 1 :]]


async def test_the_official_client_streams_and_resumes(openai: AsyncOpenAI) -> None:
    async with openai:
        seen = []
        response_id = ""
        async for event in await openai.responses.create(model="agent:echo", input="x y z", stream=True):
            seen.append(event)
            if event.type == "response.created":
                response_id = event.response.id
        rest = [
            event
            async for event in await openai.responses.retrieve(
                response_id, stream=True, starting_after=seen[4].sequence_number
            )
        ]
        assert [event.to_dict() for event in rest] == [event.to_dict() for event in seen[5:]]
        whole = await openai.responses.retrieve(response_id)
        assert whole.output_text == "x y z (1)"
        assert whole.status == "completed"


async def test_previous_response_goes_on_in_its_session(openai: AsyncOpenAI) -> None:
    async with openai:
        first = await openai.responses.create(model="agent:echo", input="first")
        second = await openai.responses.create(model="agent:echo", input="second", previous_response_id=first.id)
        assert second.output_text == "second (2)"
        assert second.previous_response_id == first.id


async def test_items_before_the_last_message_become_history(openai: AsyncOpenAI) -> None:
    async with openai:
        answer = await openai.responses.create(
            model="agent:echo",
            input=[
                {"role": "user", "content": "before"},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": [{"type": "input_text", "text": "now"}]},
            ],
        )
        assert answer.output_text == "now (2)"


@pytest.mark.parametrize("approve", [True, False])
async def test_an_approval_item_decides_and_the_next_response_goes_on(openai: AsyncOpenAI, approve: bool) -> None:
    async with openai:
        first = await openai.responses.create(model="agent:notes", input="note it")
        request = first.output[-1]
        assert request.type == "mcp_approval_request"
        assert request.name == "write_note"
        assert request.arguments == '{"text":"note it"}'
        second = await openai.responses.create(
            model="agent:notes",
            previous_response_id=first.id,
            input=[{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}],
        )
        assert ("wrote note it" if approve else "denied") in second.output_text
        assert (await openai.responses.retrieve(first.id)).output[-1].to_dict() == request.to_dict()
        assert (await openai.responses.retrieve(second.id)).output_text == second.output_text


async def test_a_conversation_that_waits_for_a_decision_says_so(client: httpx.AsyncClient, openai: AsyncOpenAI) -> None:
    async with openai:
        first = await openai.responses.create(model="agent:notes", input="wait")
    body = {"model": "agent:notes", "input": "hurry", "previous_response_id": first.id}
    response = await client.post("/v1/responses", json=body)
    assert response.status_code == 409
    assert "mcp_approval_response" in response.json()["error"]["message"]


async def test_a_question_is_answered_by_the_next_response(openai: AsyncOpenAI) -> None:
    async with openai:
        first = await openai.responses.create(model="agent:asker", input="drink")
        assert "Tea or coffee?" in first.output_text
        second = await openai.responses.create(model="agent:asker", input="tea", previous_response_id=first.id)
        assert second.output_text == "You get tea."


async def test_a_background_response_can_be_cancelled(openai: AsyncOpenAI) -> None:
    async with openai:
        started = await openai.responses.create(model="agent:slow", input="go", background=True)
        assert started.status in ("queued", "in_progress")
        cancelled = await openai.responses.cancel(started.id)
        assert cancelled.status == "cancelled"


async def test_a_failed_turn_is_a_failed_response(openai: AsyncOpenAI) -> None:
    async with openai:
        answer = await openai.responses.create(model="agent:broken", input="go")
        assert answer.status == "failed"
        assert answer.error is not None
        assert "secret" not in answer.error.message


async def test_a_foreign_response_does_not_exist(openai: AsyncOpenAI, other: httpx.AsyncClient) -> None:
    async with openai:
        mine = await openai.responses.create(model="agent:echo", input="mine")
    for method, path in (("GET", f"/v1/responses/{mine.id}"), ("POST", f"/v1/responses/{mine.id}/cancel")):
        assert (await other.request(method, path)).status_code == 404
    assert (await other.post("/v1/responses", **ask("x", previous_response_id=mine.id))).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"model": "agent:echo"},
        {"model": "agent:echo", "input": ""},
        {"model": "agent:echo", "input": []},
        {"model": "agent:echo", "input": [5]},
        {"model": "agent:echo", "input": [{"type": "function_call_output"}]},
        {"model": "agent:echo", "input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        {"model": "agent:echo", "input": [{"type": "mcp_approval_response", "approve": "yes"}]},
        {"model": "agent:echo", "input": "hi", "tools": [{"type": "function"}]},
        {"input": "hi"},
    ],
)
async def test_bad_requests_are_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/v1/responses", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("text", ["resp_x", "trn_1", "resp_trn_1_x", "resp_trn_1_2_3", "resp_trn_1_" + "9" * 30])
def test_what_is_no_response_id_is_none(text: str) -> None:
    assert SegmentId.parse(text) is None


def test_response_ids_survive_the_way_there_and_back() -> None:
    for segment in (SegmentId("trn_abc"), SegmentId("trn_abc", 12)):
        assert SegmentId.parse(str(segment)) == segment
