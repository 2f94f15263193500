"""What a person pinned stays in view of the model, whatever operation acts: two plugins on a real server."""

from collections.abc import Iterator

import httpx
import pytest

from chaos.api.conftest import House
from chaos.api.test_operations_over_http import local, trigger

QUESTIONS = tuple(f"What about part {number} of the fair?" for number in range(3))


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client


@pytest.fixture
def session_id(house: House, client: httpx.Client) -> str:
    session_id = house.session()
    client.put(f"/chaos/sessions/{session_id}", json={"opt_in": True})
    return session_id


@pytest.fixture
def without_pins(client: httpx.Client) -> Iterator[None]:
    assert client.post("/admin/plugins/compaction/disable").status_code == 200
    yield
    assert client.post("/admin/plugins/compaction/enable").status_code == 200


def question_id(client: httpx.Client, session_id: str, text: str) -> str:
    messages = client.get(f"/sessions/{session_id}/messages").json()["data"]
    return str(next(each["id"] for each in messages if each["message"]["content"] == text))


def pin(client: httpx.Client, session_id: str, text: str) -> str:
    message_id = question_id(client, session_id, text)
    assert client.put(f"/pins/{session_id}/{message_id}").status_code == 200
    return message_id


def reset(client: httpx.Client, session_id: str) -> httpx.Response:
    started = trigger(client, session_id, "fire_reset", 1.0, seed=7, accept_modifications=True)
    assert started.status_code == 200, started.text
    assert started.json()["process"]["intensity"] == 1.0
    return started


def seen(house: House, session_id: str) -> list[str]:
    """Ask something, and return which of the earlier questions the model got to see besides the brief."""
    house.say("And the food?", session_id)
    asked = [each["content"] for each in house.upstream.requests[-1]["messages"] if each["role"] == "user"]
    assert asked[-1] == "And the food?"
    return asked[:-1]


def test_a_reset_leaves_pinned_messages_in_view(house: House, client: httpx.Client, session_id: str) -> None:
    pin(client, session_id, QUESTIONS[0])
    reset(client, session_id)
    assert seen(house, session_id) == [QUESTIONS[0], QUESTIONS[2]]


def test_without_pins_a_reset_leaves_the_latest_turn_only(house: House, client: httpx.Client, session_id: str) -> None:
    reset(client, session_id)
    assert seen(house, session_id) == [QUESTIONS[2]]


def test_pins_are_heeded_while_a_reset_acts(house: House, client: httpx.Client, session_id: str) -> None:
    reset(client, session_id)
    assert QUESTIONS[1] not in seen(house, session_id)
    message_id = pin(client, session_id, QUESTIONS[1])
    assert QUESTIONS[1] in seen(house, session_id)
    client.delete(f"/pins/{session_id}/{message_id}")
    assert QUESTIONS[1] not in seen(house, session_id)


@pytest.mark.usefixtures("without_pins")
def test_a_reset_works_where_nobody_keeps_pins(house: House, client: httpx.Client, session_id: str) -> None:
    assert client.get(f"/pins/{session_id}").status_code == 404
    reset(client, session_id)
    assert seen(house, session_id) == [QUESTIONS[2]]


def test_the_keeper_of_pins_may_go_and_come_back_while_a_reset_acts(
    house: House, client: httpx.Client, session_id: str
) -> None:
    pin(client, session_id, QUESTIONS[0])
    started = reset(client, session_id)
    assert client.post("/admin/plugins/compaction/disable").status_code == 200
    try:
        # What was pinned when it began is out of its reach for good.
        assert QUESTIONS[0] in seen(house, session_id)
    finally:
        assert client.post("/admin/plugins/compaction/enable").status_code == 200
    pin(client, session_id, QUESTIONS[1])
    assert {QUESTIONS[0], QUESTIONS[1]} <= set(seen(house, session_id))
    process = client.get(local(started.json()["status_endpoint"])).json()["process"]
    assert (process["status"], process["applied"]) == ("active", 2)
