"""What the plugins chaos and voices tell in sessions, on a real server: kept in order, and on each wire once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

from chaos.api.conftest import House
from chaos.api.test_operations_over_http import local, trigger
from chaos.api.test_realtime import address, headers
from iskra_sdk.client import IskraClient


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with house.client() as client:
        yield client


def log_of(client: httpx.Client, session_id: str) -> list[dict[str, Any]]:
    page = client.get(f"/sessions/{session_id}/events", headers={"Accept": "application/json"}).json()
    assert page["next"] is None
    events: list[dict[str, Any]] = page["data"]
    return events


def wait_until_told(house: House, session_id: str, process_id: str, status: str) -> None:
    """Follow a session until it is told of an operation: what follows a turn comes a moment after its end."""
    with IskraClient(house.server.url, house.server.token) as iskra:
        for event in iskra.events(session_id):
            facts = event.data.get("data")
            if isinstance(facts, dict) and (facts.get("process_id"), facts.get("status")) == (process_id, status):
                return


def told(events: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"].startswith(prefix)]


def test_the_life_of_an_operation_stands_among_the_turns_of_its_session(house: House, client: httpx.Client) -> None:
    session_id = house.session()
    started = trigger(client, session_id, "micro_disturbance", 0.2, seed=7)
    house.say("And the food?", session_id)
    wait_until_told(house, session_id, started.json()["process"]["id"], "completed")
    house.say("And the music?", session_id)
    again = trigger(client, session_id, "micro_disturbance", 0.2, seed=7, accept_modifications=True)
    for question in ("And the tents?", "And the weather?", "And the mayor?"):
        house.say(question, session_id)
    wait_until_told(house, session_id, again.json()["process"]["id"], "completed")
    events = log_of(client, session_id)
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(set(numbers))
    course = [
        event["data"]["data"]["status"] if event["source"] == "chaos" else event["type"]
        for event in events
        if event["source"] == "chaos" or event["type"] == "turn.started"
    ]
    first, second = ["active", "turn.started", "completed", "turn.started"], ["initiated", "active", "completed"]
    assert course[3:7] == first
    assert [each for each in course[7:] if each != "turn.started"] == second
    assert {event["type"] for event in told(events, "chaos.")} == {"chaos.chaos_initiated", "chaos.chaos_completed"}


def test_a_refusal_and_an_alert_are_kept_where_they_happened(house: House, client: httpx.Client) -> None:
    session_id = house.session()
    assert trigger(client, session_id, "pattern_break", 0.9).status_code != 200
    (refused,) = told(log_of(client, session_id), "chaos.")
    assert (refused["type"], refused["severity"]) == ("chaos.ethical_concern", "warning")
    assert refused["data"]["data"]["rules"]


def test_a_change_of_voice_stands_in_its_turn(house: House, client: httpx.Client) -> None:
    with IskraClient(house.server.url, house.server.token) as iskra:
        session = iskra.sessions.create("fair", agent="agent:ask")
        for voice in ("voice:kain", "voice:kain", "voice:sam"):
            iskra.ask("What does the fair need most?", session, model=voice)
        live = []
        for event in iskra.events(session):
            live.append(event)
            if sum(each.type == "turn.completed" for each in live) == 3:
                break
    events = log_of(client, session.id)
    changes = told(events, "voices.")
    assert [event["data"]["data"]["voice_type"] for event in changes] == ["kain", "sam"]
    for change in changes:
        turn = [event["type"] for event in events if event["turn_id"] == change["turn_id"]]
        assert turn.index("turn.started") < turn.index("voices.voice_activated") < turn.index("message.completed")
    assert [event.seq for event in live if event.source == "voices"] == [change["seq"] for change in changes]


async def test_each_event_arrives_once_over_the_realtime_socket(house: House) -> None:
    session_id = await asyncio.to_thread(house.session)
    async with websockets.connect(address(house), additional_headers=headers(house, "owner")) as socket:
        await asyncio.to_thread(run_one, house, session_id)
        arrived = []
        async with asyncio.timeout(10):
            while True:
                message = json.loads(await socket.recv())
                if message["session_id"] == session_id:
                    arrived.append(message["data"])
                if message["data"].get("data", {}).get("state") == "stopped":  # the last that was asked for
                    break
    ids = [data["event_id"] for data in arrived if "event_id" in data]
    assert len(ids) == len(set(ids))
    kinds = [data["event_type"] for data in arrived if data.get("source") == "chaos_engine"]
    assert kinds == ["chaos_initiated", "chaos_completed"]


def run_one(house: House, session_id: str) -> None:
    """Run an operation to its end, and tell the whole server something afterwards."""
    with house.client() as client:
        started = trigger(client, session_id, "micro_disturbance", 0.2)
        assert started.status_code == 200, started.text
        client.post(local(started.json()["revert_endpoint"]))
        client.post("/control/emergency_stop", json={"stop_scope": "all", "stabilization_mode": "immediate"})
        client.post("/control/release")
