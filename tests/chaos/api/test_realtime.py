"""The specification's WebSocket messages, on a real server."""

import asyncio
import json
from typing import Any

import pytest
import websockets

from chaos.api.conftest import House, token_of


def address(house: House) -> str:
    return house.server.url.replace("http", "ws", 1) + "/api/v1/realtime"


def headers(house: House, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.server.token if name == 'owner' else token_of(name)}"}


async def received(socket: Any, message_type: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["message_type"] == message_type:
                return message


def asking(session_id: str, **data: object) -> str:
    return json.dumps(
        {
            "session_id": session_id,
            "message_type": "chaos_event",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"event_type": "micro_disturbance", "intensity": 0.2, **data},
            "priority": "high",
            "encryption_level": "enhanced",
        }
    )


async def test_a_message_starts_an_operation_and_events_come_back(house: House) -> None:
    session_id = await asyncio.to_thread(house.session, "user")
    async with (
        websockets.connect(address(house), additional_headers=headers(house, "user")) as socket,
        websockets.connect(address(house), additional_headers=headers(house, "beginner")) as other,
    ):
        await socket.send(asking(session_id))
        message = await received(socket, "chaos_event")
        assert message["session_id"] == session_id
        assert message["priority"] == "normal"
        assert {"session_id", "message_type", "timestamp", "data", "priority", "encryption_level"} == set(message)
        await asyncio.to_thread(house.say, "I want to kill myself", session_id, "user")
        alert = await received(socket, "ethical_alert")
        assert alert["priority"] == "critical"
        assert alert["session_id"] == session_id
        assert "kill" not in json.dumps(alert)
        await other.send("not json")
        error = await received(other, "error")  # and nothing of the other's session before it
        assert error["data"]["code"] == "bad_input"
        await other.send(asking(session_id))
        assert (await received(other, "error"))["data"]["code"] == "session_not_found"


async def test_a_release_is_told_as_the_stop_was(house: House) -> None:
    def post(path: str, body: dict[str, str]) -> None:
        with house.client() as client:
            client.post(path, json=body).raise_for_status()

    async def told(socket: Any, state: str) -> None:
        while (await received(socket, "system_state"))["data"]["data"]["state"] != state:
            pass  # alerts come between

    async with websockets.connect(address(house), additional_headers=headers(house, "owner")) as socket:
        await asyncio.to_thread(post, "/control/emergency_stop", {"stop_scope": "all"})
        await told(socket, "stopped")
        await asyncio.to_thread(post, "/control/release", {})
        await told(socket, "released")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "1", asking("x", intensity=7), asking("x", event_type="nothing"), '{"message_type": "chaos_event"}'],
)
async def test_bad_messages_are_answered_and_the_connection_stays(house: House, text: str) -> None:
    async with websockets.connect(address(house), additional_headers=headers(house, "user")) as socket:
        for _ in range(2):
            await socket.send(text)
            assert (await received(socket, "error"))["data"]["message"]


async def test_a_message_that_is_too_big_ends_the_connection(house: House) -> None:
    async with websockets.connect(address(house), additional_headers=headers(house, "user")) as socket:
        await socket.send("x" * 200_000)
        with pytest.raises(websockets.ConnectionClosed):
            async with asyncio.timeout(10):
                await socket.recv()


async def test_nobody_listens_without_the_permission(house: House) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(address(house), additional_headers=headers(house, "stranger"))
    assert refused.value.response.status_code == 403
