"""Every route has a permission, stands in the docs and in the OpenAPI document; plugins' routes come and go."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from http_probe import READER_TOKEN
from iskra.http.routing import PERMISSION, PUBLIC, RawRoute, permitted_route
from iskra.http.websocket import WebSocketRoute
from iskra.server import Server

PUBLIC_PATHS = {"/health", "/ready", "/login", "/logout", "/docs", "/openapi.json"}
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"


def routes_of(server: Server) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and permission of every route of the kernel."""
    assert server.layer is not None
    for route in server.layer.framework.routes:
        if isinstance(route, APIRoute):
            permission = (route.openapi_extra or {}).get(PERMISSION, "")
            yield from ((method, route.path, permission) for method in sorted(route.methods or ()))
        elif isinstance(route, RawRoute):
            yield from ((method, route.path_format, route.permission) for method in sorted(route.methods))
        elif isinstance(route, WebSocketRoute):
            yield "WebSocket", route.path, route.permission
        else:
            pytest.fail(f"a route of an unknown kind: {route!r}")


async def test_every_route_has_a_permission_and_the_public_ones_are_meant(server: Server) -> None:
    routes = list(routes_of(server))
    assert len(routes) > 40
    assert all(permission for _, _, permission in routes)
    assert {path for _, path, permission in routes if permission == PUBLIC} == PUBLIC_PATHS


async def test_no_route_lets_anybody_in_without_a_credential(server: Server, stranger: httpx.AsyncClient) -> None:
    for method, path, permission in routes_of(server):
        if permission == PUBLIC or method == "WebSocket":
            continue
        concrete = re.sub(r"{[^}]*}", "x", path)
        for spelling in (concrete, concrete + "?x=/health", concrete.replace("/v1/", "/v1/", 1)):
            response = await stranger.request(method, spelling, json={} if method in ("POST", "PUT", "PATCH") else None)
            assert response.status_code in (401, 429), (method, spelling, response.text)


@pytest.mark.parametrize(
    "spelling", ["//v1/models", "/v1//models", "/V1/models", "/v1/models/", "/./v1/models", "/%76%31/models"]
)
async def test_other_spellings_of_a_path_open_nothing(
    stranger: httpx.AsyncClient, server: Server, spelling: str
) -> None:
    response = await stranger.get(httpx.URL(server.url).copy_with(raw_path=spelling.encode()))
    assert response.status_code in (401, 404, 429)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Original-URL": "/health"},
        {"X-Rewrite-URL": "/health"},
        {"X-HTTP-Method-Override": "GET"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-User": "owner"},
        {"Host": "localhost/health?"},
        {"Host": "127.0.0.1:8700/health"},
    ],
)
async def test_header_tricks_open_nothing(stranger: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/v1/models", "/api/v1/admin/plugins"):
        response = await stranger.get(path, headers=headers)
        assert 400 <= response.status_code < 500


async def test_a_user_gets_in_only_where_permissions_allow_it(server: Server) -> None:
    allowed = {"sessions:read"}
    headers = {"Authorization": f"Bearer {READER_TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as reader:
        for method, path, permission in routes_of(server):
            if permission in (PUBLIC, *allowed) or method == "WebSocket":
                continue
            body: object = {} if method in ("POST", "PUT", "PATCH") else None
            response = await reader.request(method, re.sub(r"{[^}]*}", "x", path), json=body)
            assert response.status_code == 403, (method, path, response.text)


def test_a_route_without_a_permission_cannot_be_made(server: Server) -> None:
    assert server.layer is not None
    router = APIRouter(route_class=permitted_route(server.layer.authenticator))
    with pytest.raises(TypeError, match="needs a permission"):
        router.get("/x")(lambda: None)


async def test_the_reference_page_lists_exactly_these_routes(server: Server) -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = {
        (method, path, permission)
        for method, path, permission in re.findall(r"^\| `(\w+)` \| `(/[^`]*)` \| `([^`]+)` \|", text, re.MULTILINE)
    }
    assert listed == set(routes_of(server))


async def test_the_openapi_document_has_every_route_with_its_permission(
    client: httpx.AsyncClient, server: Server
) -> None:
    document = (await client.get("/openapi.json")).json()
    for method, path, permission in routes_of(server):
        if method == "WebSocket" or permission == PUBLIC:
            continue
        operation = document["paths"][path][method.lower()]
        assert operation[PERMISSION] == permission
        assert operation.get("summary") or operation.get("description"), path
    assert "owner-token" not in str(document)


async def test_plugin_routes_come_and_go_with_their_plugin(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    path = "/api/v1/probe/hello"
    assert (await stranger.get(path)).status_code in (401, 429)
    assert (await client.get(path)).json() == {"hello": "world"}
    assert (await client.get("/openapi.json")).json()["paths"][path]["get"]["summary"] == "Hello"
    assert path in (await client.get("/docs")).text
    try:
        assert (await client.post("/api/v1/admin/plugins/probe/disable")).json()["state"] == "disabled"
        assert (await client.get(path)).status_code == 404
        assert path not in (await client.get("/openapi.json")).json()["paths"]
    finally:
        assert (await client.post("/api/v1/admin/plugins/probe/enable")).json()["state"] == "running"
    assert (await client.get(path)).status_code == 200
    assert path in (await client.get("/openapi.json")).json()["paths"]


async def test_an_application_is_made_at_its_first_request_and_answers_like_the_kernel(
    client: httpx.AsyncClient,
) -> None:
    await client.post("/api/v1/admin/plugins/probe/reload")
    assert (await client.get("/api/v1/probe/made")).json() == []
    for _ in range(2):
        answered = await client.get("/api/v1/late/number", params={"value": 3})
        assert answered.json() == {"value": 3}
        assert (await client.get("/api/v1/probe/made")).json() == ["late"]
    refused = await client.get("/api/v1/late/number", params={"value": -3})
    assert (refused.status_code, refused.json()["code"]) == (400, "provider_rejected")
    wrong = await client.get("/api/v1/late/number", params={"value": "secret"})
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (422, "query.value")
    assert "secret" not in wrong.text
    assert "/api/v1/late/number" in (await client.get("/openapi.json")).json()["paths"]
    assert (await client.get("/api/v1/probe/made")).json() == ["late"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "nothing", b"", 404, "not_found"),
        ("DELETE", "number", b"", 405, "method_not_allowed"),
        ("POST", "body", b"{oops", 400, "bad_input"),
        ("POST", "body", b"[" * 100_000, 400, "bad_input"),
        ("POST", "body", b'{"number": "\xff"}', 400, "bad_input"),
        ("POST", "body", b'{"number": "many"}', 422, "invalid_input"),
    ],
    ids=["path", "method", "json", "depth", "utf-8", "field"],
)
async def test_what_a_framework_refuses_is_a_problem_with_a_way_out(
    client: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, code: str
) -> None:
    headers = {"content-type": "application/json"} if content else {}
    refused = await client.request(method, f"/api/v1/late/{path}", content=content, headers=headers)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == code
    assert refused.json()["mend"]


async def test_what_a_plugin_refuses_in_its_frameworks_words_keeps_them(client: httpx.AsyncClient) -> None:
    refused = await client.get("/api/v1/late/teapot")
    assert (refused.status_code, refused.json()["detail"], refused.headers["x-pot"]) == (418, "No coffee here.", "tea")


async def test_the_openapi_document_says_that_errors_are_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert not [name for name in document["components"]["schemas"] if "ValidationError" in name]
    assert "HTTPValidationError" not in str(document)
    problem = document["components"]["schemas"]["Problem"]
    missing = (await client.get("/api/v1/sessions/ses_none")).json()
    assert set(problem["required"]) <= set(missing)
    assert "Problem" in str(document["paths"]["/api/v1/late/body"]["post"]["responses"]["default"])


async def test_readiness_tells_what_is_missing(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/health")).json() == {"status": "ok"}
    assert (await stranger.get("/ready")).json()["checks"] == {"server": "ok", "store": "ok"}
