"""What a request meets first: bad heads, bad bodies, hosts, origins, headers, errors."""

import asyncio
import json
from urllib.parse import urlsplit

import httpx
import pytest

from http_probe import TOKEN, chat
from http_server_settings import make_settings
from iskra.http.edge import HostPolicy
from iskra.server import Server, running_server

JSON = {"content-type": "application/json"}


async def raw(server: Server, request: bytes, *, seconds: float = 5.0) -> bytes:
    """Send bytes and return what comes back until the server closes or falls silent."""
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        await writer.drain()
        answer = b""
        async with asyncio.timeout(seconds):
            while b"\r\n\r\n" not in answer:
                piece = await reader.read(65536)
                if not piece:
                    break
                answer += piece
        return answer
    except ConnectionError:
        return b"HTTP/1.1 400 reset"
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


HEADS = [
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /a%0d%0aX: 1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /..%5c..%5cx HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost:x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PROPFIND /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Pad: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
async def test_malformed_heads_get_a_4xx(server: Server, head: bytes) -> None:
    assert 400 <= status_of(await raw(server, head)) < 500


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"{'a': 1}",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": "\\ud800"}',
    b'{"a": "\\u12"}',
    b'{"a": "\x01"}',
    b'{"a"' + b":1" * 3 + b"}",
    b"[" * 5_000,
    b'{"model":"llm:default","messages":[{"role":"user","content":' + b"[" * 500 + b"]" * 500 + b"}]}",
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"model":"agent:echo","messages":[{"role":{},"content":"x"}]}',
    b'{"text":' + b"9" * 5_000 + b"}",
    b'{"text":1e400,"model":true}',
    b'{"text":["x"]}',
    b'{"title":{"$ne":null}}',
    b'{"metadata":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/responses", "/api/v1/sessions", "/api/v1/sessions/ses_x/turns", "/login"],
)
async def test_malformed_bodies_get_a_4xx(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    response = await client.post(path, content=body, headers=JSON)
    assert 400 <= response.status_code < 500, response.text
    assert response.json()


async def test_a_body_over_the_limit_is_refused_before_it_is_read(client: httpx.AsyncClient, server: Server) -> None:
    announced = await raw(
        server,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {TOKEN}\r\nContent-Length: 1000000000\r\n\r\n".encode(),
    )
    assert status_of(announced) == 413

    async def pieces() -> object:
        for _ in range(20):
            yield b" " * 10_000

    for path in ("/v1/chat/completions", "/api/v1/sessions"):
        response = await client.post(path, content=pieces(), headers=JSON)  # type: ignore[arg-type]
        assert response.status_code == 413


async def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    answer = await raw(
        server,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f'Authorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"model":'.encode(),
        seconds=6,
    )
    assert status_of(answer) == 408


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/sessions", "/login"])
async def test_writes_must_say_that_they_are_json(client: httpx.AsyncClient, path: str, content_type: str) -> None:
    body = json.dumps(chat("agent:echo", "hi")).encode()
    response = await client.post(path, content=body, headers={"content-type": content_type})
    assert response.status_code == 415


async def test_every_answer_carries_the_headers_that_protect_it(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/v1/models", "/api/v1/status", "/nowhere", "/docs", "/api/v1/probe/hello"):
        response = await client.get(path)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in response.headers


async def test_a_sane_request_id_is_kept_and_others_are_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/nowhere", headers={"X-Request-ID": "my-id_1.2"})
    assert kept.headers["x-request-id"] == kept.json()["correlation_id"] == "my-id_1.2"
    for wrong in ("a b", "x" * 200, "<script>", "a\tb"):
        replaced = await client.get("/nowhere", headers={"X-Request-ID": wrong})
        assert replaced.headers["x-request-id"].startswith("req_")


async def test_errors_are_problem_details_and_openai_errors_under_v1(client: httpx.AsyncClient) -> None:
    problem = await client.get("/api/v1/sessions/ses_none")
    assert problem.headers["content-type"] == "application/problem+json"
    assert set(problem.json()) >= {"type", "title", "status", "detail", "code", "mend", "correlation_id"}
    error = await client.get("/v1/models/none")
    assert set(error.json()["error"]) >= {"message", "type", "param", "code"}
    for path in ("/v1/nowhere", "/nowhere"):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete("/v1/models")).status_code == 405
    assert (await client.delete("/api/v1/status")).status_code == 405
    assert (await client.get("/api/v1/sessions", params={"limit": "many"})).status_code == 422


async def test_what_nobody_foresaw_shows_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/probe/crash")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_only_named_origins_may_call_and_never_with_cookies(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(tmp_path_factory.mktemp("cors"), cors_origins=("https://app.example",))
    async with running_server(settings) as server, httpx.AsyncClient(base_url=server.url) as client:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        allowed = await client.options("/v1/chat/completions", headers=preflight)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in allowed.headers
        foreign = await client.options("/v1/chat/completions", headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
        for path in ("/health", "/api/v1/status"):
            answer = await client.get(path, headers={"Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("bound", "allowed", "header", "is_ours"),
    [
        ("127.0.0.1", (), b"localhost:8700", True),
        ("127.0.0.1", (), b"[::1]:8700", True),
        ("127.0.0.1", (), b"192.168.1.5", False),
        ("127.0.0.1", (), b"evil.example", False),
        ("127.0.0.1", (), b"127.0.0.1.evil.example", False),
        ("127.0.0.1", ("box.example",), b"BOX.example:80", True),
        ("0.0.0.0", (), b"192.168.1.5:8700", True),
        ("0.0.0.0", (), b"evil.example", False),
        ("0.0.0.0", ("*",), b"anything.example", True),
        ("0.0.0.0", ("*",), b"a/b", False),
        ("::", (), b"[fe80::1]:8700", True),
        ("127.0.0.1", (), b"", False),
    ],
)
def test_hosts_are_judged_by_name(bound: str, allowed: tuple[str, ...], header: bytes, is_ours: bool) -> None:
    assert HostPolicy(bound, allowed).allows(header) is is_ours
