"""The WebSocket: commands, resume, limits, handshakes."""

import asyncio
import json
import os
import struct
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from http_probe import READER_TOKEN, TOKEN
from iskra.http import websocket as module
from iskra.server import Server

AUTH = {"Authorization": f"Bearer {TOKEN}"}


def address(server: Server) -> str:
    return server.url.replace("http", "ws") + "/api/v1/ws"


async def opened(server: Server, headers: dict[str, str] | None = None) -> ClientConnection:
    socket = await connect(address(server), additional_headers=AUTH if headers is None else headers, compression=None)
    if headers is None:
        assert (await receive(socket))["type"] == "ready"
    return socket


async def receive(socket: ClientConnection) -> Any:
    async with asyncio.timeout(5):
        return json.loads(await socket.recv())


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def ask(socket: ClientConnection, **message: Any) -> Any:
    """Send a command and return its result, past the events that come in between."""
    await send(socket, id="q", **message)
    while True:
        answer = await receive(socket)
        if answer.get("id") == "q":
            return answer


async def session_of(client: httpx.AsyncClient) -> str:
    session_id: str = (await client.post("/api/v1/sessions", json={})).json()["id"]
    return session_id


async def events_until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        message = await receive(socket)
        if message["type"] == "event":
            events.append(message["event"])
    return events


async def test_one_socket_follows_several_sessions_and_resumes(server: Server, client: httpx.AsyncClient) -> None:
    first, second = await session_of(client), await session_of(client)
    async with await opened(server) as socket:
        for session in (first, second):
            assert (await ask(socket, type="subscribe", session_id=session))["type"] == "subscribed"
        for session in (first, second):
            await send(socket, type="turn", session_id=session, text="a b c", model="agent:echo")
        seen: dict[str, list[dict[str, Any]]] = {first: [], second: []}
        while not all(events and events[-1]["type"] == "turn.completed" for events in seen.values()):
            message = await receive(socket)
            if message["type"] == "event":
                seen[message["session_id"]].append(message["event"])
    for session, events in seen.items():
        cut = next(event for event in events if event["type"] == "message.delta")
        before = cut["data"]["text"]
        async with await opened(server) as socket:
            await send(socket, type="subscribe", session_id=session, after=cut["seq"])
            rest = await events_until(socket, "turn.completed")
        assert min(event["seq"] for event in rest) > cut["seq"]
        texts = [event["data"].get("text", "") for event in rest if event["type"] == "message.delta"]
        assert before + "".join(texts) == "a b c (1)"


async def test_every_command_works_over_the_socket(server: Server, client: httpx.AsyncClient) -> None:
    session = await session_of(client)
    async with await opened(server) as socket:
        assert (await ask(socket, type="ping"))["type"] == "pong"
        await ask(socket, type="subscribe", session_id=session)
        turn = (await ask(socket, type="turn", session_id=session, text="x", model="agent:slow"))["result"]
        assert (await ask(socket, type="cancel", turn_id=turn["id"]))["result"]["state"] == "cancelled"
        await ask(socket, type="turn", session_id=session, text="note", model="agent:notes")
        request = (await events_until(socket, "approval.requested"))[-1]["data"]
        decided = await ask(socket, type="decide", approval_id=request["approval_id"], decision="approve")
        assert decided["result"]["state"] == "approved"
        await ask(socket, type="turn", session_id=session, text="drink", model="agent:asker")
        await events_until(socket, "question.asked")
        assert (await ask(socket, type="answer", session_id=session, text="1"))["type"] == "result"
        assert (await ask(socket, type="unsubscribe", session_id=session))["type"] == "unsubscribed"


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "5",
        "{}",
        '{"type":"no"}',
        '{"type":"subscribe"}',
        '{"type":"ping","x":1}',
        '{"type":"subscribe","session_id":5}',
    ],
)
async def test_messages_without_sense_are_answered_with_an_error(server: Server, message: str) -> None:
    async with await opened(server) as socket:
        await socket.send(message)
        assert (await receive(socket))["error"]["status"] in (400, 422)
        assert (await ask(socket, type="ping"))["type"] == "pong"


async def test_too_many_mistakes_close_the_socket(server: Server) -> None:
    async with await opened(server) as socket:
        for _ in range(module.MISTAKES + 5):
            await socket.send("{")
        for _ in range(module.MISTAKES):
            assert (await receive(socket))["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            await receive(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_foreign_and_absent_things_look_alike(server: Server, client: httpx.AsyncClient) -> None:
    session = await session_of(client)
    headers = {"Authorization": "Bearer other-token-for-tests-4712"}
    async with await opened(server, headers) as socket:
        assert (await receive(socket))["principal"] == "other"
        for name in (session, "ses_none"):
            answer = await ask(socket, type="subscribe", session_id=name)
            assert answer["error"]["code"] == "session_not_found"


async def test_commands_need_their_own_permission(server: Server, client: httpx.AsyncClient) -> None:
    session = await session_of(client)
    async with await opened(server, {"Authorization": f"Bearer {READER_TOKEN}"}) as socket:
        await receive(socket)
        answer = await ask(socket, type="turn", session_id=session, text="x", model="agent:echo")
        assert answer["error"]["code"] == "permission_denied"


async def test_the_token_may_come_with_the_first_message(server: Server) -> None:
    async with await opened(server, {}) as socket:
        await send(socket, type="auth", token=TOKEN)
        assert (await receive(socket))["type"] == "ready"
    for first in ('{"type":"auth","token":"wrong"}', '{"type":"ping"}', "x"):
        async with await opened(server, {}) as socket:
            await socket.send(first)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


async def test_a_silent_socket_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AUTHENTICATE_WITHIN", 0.1)
    async with await opened(server, {}) as socket:
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionClosed):
                await socket.recv()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {**AUTH, "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
        {"Cookie": "iskra_session=wrong"},
        {**AUTH, "Host": "evil.example"},
    ],
)
async def test_handshakes_that_are_not_ours_are_refused(server: Server, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await opened(server, headers)
    assert 400 <= refused.value.response.status_code < 500


async def test_sockets_of_one_account_are_limited_and_given_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.layer is not None
    (route,) = (route for route in server.layer.framework.routes if isinstance(route, module.WebSocketRoute))
    monkeypatch.setattr(route, "limit", 3)
    sockets = [await opened(server) for _ in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        await opened(server)
    assert refused.value.response.status_code == 429
    for socket in sockets:
        await socket.close()
    async with asyncio.timeout(30):
        while True:
            try:
                last = await opened(server)
            except InvalidStatus:
                await asyncio.sleep(0.02)
                continue
            await last.close()
            return


def frame(opcode: int, payload: bytes, *, announced: int | None = None, is_final: bool = True) -> bytes:
    """Return a masked frame, with a false length if one is announced."""
    size = len(payload) if announced is None else announced
    head = bytes([(0x80 if is_final else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(1, b"x" * 2_000_000)], 1009),
        ([frame(1, b"", announced=2**62)], 1009),
        ([frame(1, b"x" * 60_000, is_final=False), *[frame(0, b"x" * 60_000, is_final=False)] * 40], 1009),
        ([frame(1, b"\xff\xfe")], 1007),
        ([frame(2, b"bytes")], 1003),
        ([frame(3, b"reserved")], 1002),
        ([frame(0, b"goes on from nothing")], 1002),
        ([b"\x81\x05hello"], 1002),
    ],
)
async def test_frames_that_break_the_protocol_close_the_socket(server: Server, frames: list[bytes], code: int) -> None:
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        b"GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        head = await reader.readexactly(2)
        await reader.readexactly(head[1])  # ready
        try:
            for piece in frames:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        answer = b""
        while b"\x88" not in answer:
            try:
                piece = await reader.read(1000)
            except ConnectionError:
                break
            if not piece:
                break
            answer += piece
    writer.close()
    # A peer that still writes may lose the close frame to a reset; the socket is closed all the same.
    if b"\x88" in answer:
        place = answer.index(b"\x88")
        assert struct.unpack("!H", answer[place + 2 : place + 4])[0] == code
    else:
        assert len(frames[0]) > 50_000


async def test_silent_sockets_take_nothing_from_those_that_speak(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGES_AT_ONCE", 4.0)
    monkeypatch.setattr(module, "MESSAGES_PER_SECOND", 0.001)
    sockets = [await opened(server) for _ in range(5)]
    for socket in sockets[1:]:
        assert (await ask(socket, type="ping"))["type"] == "pong"
    for socket in sockets:
        await socket.close()
