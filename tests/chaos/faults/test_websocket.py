"""Faults of WebSockets, seen by a real client of a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chaos.faults.fault_kit import FaultKit, Parts, counters, settings_with_faults
from http_probe import TOKEN
from iskra.kernel import Kernel
from iskra.server import Server, running_server
from iskra_sdk.ids import SessionId
from iskra_sdk.interceptor import Point


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, FaultKit]]:
    parts = Parts()
    Parts.waiting.append(parts)
    settings = settings_with_faults(tmp_path_factory.mktemp("faults"), host="127.0.0.1", port=0, token=TOKEN)
    async with running_server(settings) as server:
        Parts.waiting.remove(parts)
        assert server.layer is not None
        yield server, FaultKit(kernel_of(server), parts)


def kernel_of(server: Server) -> Kernel:
    kernel = server.layer.kernel  # type: ignore[union-attr]  # the fixture looked
    assert isinstance(kernel, Kernel)
    return kernel


@pytest.fixture
async def kit(served: tuple[Server, FaultKit]) -> AsyncIterator[FaultKit]:
    yield served[1]
    await served[1].reset()


@pytest.fixture
def server(served: tuple[Server, FaultKit]) -> Server:
    return served[0]


@asynccontextmanager
async def socket_of(server: Server) -> AsyncIterator[ClientConnection]:
    url = server.url.replace("http", "ws") + "/api/v1/ws"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with connect(url, additional_headers=headers, compression=None) as socket:
        assert (await receive(socket))["type"] == "ready"
        yield socket


async def receive(socket: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def receive_all(socket: ClientConnection) -> None:
    while True:
        await receive(socket)


async def ping(socket: ClientConnection) -> Any:
    await socket.send('{"type": "ping", "id": 1}')
    return await receive(socket)


@pytest.mark.parametrize(("kind", "parameters"), [("drop", {}), ("reset_peer", {}), ("limit_data", {"bytes": 5})])
async def test_a_connection_is_lost_and_the_next_one_works(
    kit: FaultKit, server: Server, kind: str, parameters: dict[str, Any]
) -> None:
    async with socket_of(server) as socket:
        fault = await kit.inject(Point.WS_SEND, kind, strategy={"name": "single"}, parameters=parameters)
        with pytest.raises(ConnectionClosed):
            await ping(socket)
    async with socket_of(server) as socket:
        assert (await ping(socket))["type"] == "pong"
    assert counters(fault) == (3, 1, 1)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("latency", {"latency": 1000}),
        ("slow_consumer", {"delay_ms": 1000}),
        ("bandwidth", {"rate": 0.1}),
        ("timeout", {}),
    ],
)
async def test_a_slow_connection_loses_no_message(
    kit: FaultKit, server: Server, kind: str, parameters: dict[str, Any]
) -> None:
    async with socket_of(server) as socket:
        fault = await kit.inject(Point.WS_SEND, kind, strategy={"name": "single"}, parameters=parameters)
        asking = asyncio.create_task(ping(socket))
        await kit.until_waiting()
        kit.clock.advance(1)
        if kind == "timeout":
            assert not asking.done()
            kit.board.clear(fault.id)
        assert (await asking)["type"] == "pong"
    assert counters(fault) == (1, 1, 1)


@pytest.mark.parametrize(
    ("kind", "parameters", "seconds"),
    [
        ("timeout", {"timeout": 2000}, 2.0),
        ("timeout", {}, 5.0),
        ("latency", {"latency": 20_000}, 5.0),
        ("bandwidth", {"rate": 0.0001}, 5.0),
        ("reset_peer", {"timeout": 1000}, 1.0),
    ],
)
async def test_a_connection_held_for_too_long_is_closed(
    kit: FaultKit, server: Server, kind: str, parameters: dict[str, Any], seconds: float
) -> None:
    async with socket_of(server) as socket:
        fault = await kit.inject(Point.WS_SEND, kind, parameters=parameters)
        asking = asyncio.create_task(ping(socket))
        await kit.until_waiting()
        kit.clock.advance(seconds)
        with pytest.raises(ConnectionClosed):
            await asking
    assert counters(fault) == (1, 1, 1)


async def test_a_client_resumes_without_a_gap(kit: FaultKit, server: Server) -> None:
    """Connections are lost again and again; what the client has in the end is the whole log, once."""
    session = await kit.new_session()
    await kit.inject(
        Point.WS_SEND,
        "drop",
        strategy={"name": "intermittent", "probability": 0.3},
        seed=5,
        scope={"sessions": [session]},
    )
    await kit.ask("some more words to say", session_id=session)
    seen: list[int] = []
    connections = 0
    while not seen or seen[-1] < await last_seq(kit, session):
        connections += 1
        try:
            async with socket_of(server) as socket:
                after = seen[-1] if seen else 0
                await socket.send(json.dumps({"type": "subscribe", "session_id": session, "after": after, "id": 1}))
                while not seen or seen[-1] < await last_seq(kit, session):
                    message = await receive(socket)
                    if message["type"] == "event":
                        seen.append(message["event"]["seq"])
        except ConnectionClosed:
            continue
    assert connections > 1
    stored = await kit.kernel.store.events(kit.owner, session)
    assert [seq for seq in seen if seq in {event.seq for event in stored}] == [event.seq for event in stored]
    assert seen == sorted(set(seen))


async def last_seq(kit: FaultKit, session: SessionId) -> int:
    return (await kit.kernel.store.events(kit.owner, session))[-1].seq


async def test_messages_of_other_sessions_are_left_alone(kit: FaultKit, server: Server) -> None:
    mine, other = await kit.new_session(), await kit.new_session()
    fault = await kit.inject(Point.WS_SEND, "drop", scope={"sessions": [mine]})
    async with socket_of(server) as socket:
        await socket.send(json.dumps({"type": "subscribe", "session_id": other, "id": 1}))
        assert (await receive(socket))["type"] == "subscribed"
        assert counters(fault) == (0, 0, 0)
        await socket.send(json.dumps({"type": "subscribe", "session_id": mine, "id": 2}))
        with pytest.raises(ConnectionClosed):
            await receive_all(socket)
    assert counters(fault) == (1, 1, 1)
