"""Plugins reach the Internet, and neither this machine nor its network, unless the admin lists a host."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iskra.outgoing_http import OutgoingHTTP, is_public
from iskra_sdk.errors import PermissionDeniedError, ToolError

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            requests.append(request)
            await answer(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], requests
    finally:
        listening.close()
        await listening.wait_closed()


def answering(body: bytes, status: str = "200 OK", headers: str = "") -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        writer.write(head.encode() + body)

    return answer


# fmt: off
PRIVATE = [
    "127.0.0.1", "127.1", "127.0.1", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "2130706433",
    "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "LOCALHOST", "localhost.", "[::1]",
    "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]",
    "[fe80::1]", "[fc00::1]", "[fd12::1]", "[ff02::1]", "[2002:7f00:1::]", "[2002:0a00:1::1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]", "[fec0::1]", "[2001:0:7f00:1::1]", "[100::1]",
    "localhost", "app.localhost", "printer.local", "metadata.google.internal",
]
# fmt: on


@pytest.mark.parametrize("host", PRIVATE)
async def test_a_private_address_is_refused_in_every_spelling(host: str) -> None:
    client = OutgoingHTTP()
    try:
        with pytest.raises((PermissionDeniedError, ToolError)) as caught:
            await client.request("GET", f"http://{host}:9/", timeout=5)
        assert isinstance(caught.value, PermissionDeniedError)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://example.org/",
        "//example.org/",
        "http://",
        "http://user:secret@example.org/",
        "http://example.org:99999/",
        "http://[::1%25eth0]/",
        "x" * 9000,
        "",
    ],
)
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(PermissionDeniedError):
        await OutgoingHTTP().request("GET", url)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        # One good and one bad address: each of them could be the one that is connected to.
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("93.184.216.34", "127.0.0.1")
        ]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    client = OutgoingHTTP()
    try:
        with pytest.raises(PermissionDeniedError, match="private network"):
            await client.request("GET", "http://rebinding.example/")
    finally:
        await client.close()


async def test_an_allowed_host_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(answering(b"hello", headers="X-Thing: yes\r\n")) as (port, requests):
        client = OutgoingHTTP(["127.0.0.1"])
        try:
            answer = await client.request(
                "post", f"http://127.0.0.1:{port}/path", headers={"X-Mine": "1", "Host": "evil"}, body=b"data"
            )
        finally:
            assert await client.close()
        assert (answer.status, answer.text, answer.headers["x-thing"]) == (200, "hello", "yes")
        assert b"POST /path HTTP/1.1" in requests[0]
        assert b"X-Mine: 1" in requests[0]
        assert b"evil" not in requests[0]
        assert b"Accept-Encoding: identity" in requests[0]


async def test_a_redirect_to_a_private_address_is_refused() -> None:
    async with server(answering(b"secret")) as (inner, seen):
        location = f"Location: http://localhost:{inner}/\r\n"
        async with server(answering(b"", "302 Found", location)) as (port, _):
            client = OutgoingHTTP(["127.0.0.1"])
            try:
                with pytest.raises(PermissionDeniedError):
                    await client.request("GET", f"http://127.0.0.1:{port}/")
            finally:
                await client.close()
            assert not seen


async def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    async with server(answering(b"there")) as (inner, seen):
        location = f"Location: http://127.0.0.1:{inner}/next\r\n"
        async with server(answering(b"", "307 Temporary Redirect", location)) as (port, _):
            client = OutgoingHTTP(["127.0.0.1"])
            try:
                answer = await client.request(
                    "GET", f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer secret", "X-Other": "kept"}
                )
            finally:
                await client.close()
            assert answer.text == "there"
            assert b"secret" not in seen[0]
            assert b"X-Other: kept" in seen[0]


async def test_redirects_in_a_circle_end() -> None:
    async with server(answering(b"", "302 Found", "Location: /again\r\n")) as (port, seen):
        client = OutgoingHTTP(["127.0.0.1"])
        try:
            with pytest.raises(ToolError, match="redirects more than"):
                await client.request("GET", f"http://127.0.0.1:{port}/")
        finally:
            await client.close()
        assert len(seen) == 6


async def test_size_and_time_are_capped() -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 100)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(drip) as (port, _), server(answering(b"y" * 5000)) as (big, _):
        client = OutgoingHTTP(["127.0.0.1"])
        try:
            with pytest.raises(ToolError, match=r"within 0\.3 s"):
                await client.request("GET", f"http://127.0.0.1:{port}/", timeout=0.3)
            with pytest.raises(ToolError, match="more than 1000 bytes"):
                await client.request("GET", f"http://127.0.0.1:{port}/", max_bytes=1000)
            with pytest.raises(ToolError, match="more than 1000 bytes"):
                await client.request("GET", f"http://127.0.0.1:{big}/", max_bytes=1000)
        finally:
            await client.close()


async def test_a_server_that_is_not_there_is_a_tool_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        client = OutgoingHTTP(["127.0.0.1"])
        try:
            with pytest.raises(ToolError, match="cannot be reached"):
                await client.request("GET", f"http://127.0.0.1:{port}/")
        finally:
            await client.close()
