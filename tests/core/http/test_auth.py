"""Tokens, the console's cookie, one-time codes, limits on failures."""

import stat
from pathlib import Path

import httpx
import pytest

from http_probe import TOKEN
from http_server_settings import make_settings
from iskra.http.auth import FailureLimit, RequestLimit, TooManyAttemptsError, owner_token
from iskra.server import Server, running_server
from iskra.settings import LimitSettings
from iskra_sdk.errors import ConfigurationError, DataDirectoryError
from iskra_sdk.testing.manual_clock import ManualClock

COOKIE = "iskra_session"


async def login(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> str:
    minted = (await client.post("/api/v1/login-codes")).json()
    response = await stranger.get(minted["path"])
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    secret: str = response.cookies[COOKIE]
    stranger.cookies.clear()
    return secret


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
async def test_anything_but_a_token_is_refused(server: Server, header: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/v1/models", "/api/v1/sessions", "/api/v1/probe/hello"):
            response = await http.get(path, headers={"Authorization": header} if header else {})
            assert response.status_code in (401, 429)
            if response.status_code == 401:
                assert response.headers["www-authenticate"] == "Bearer"


async def test_two_credentials_are_none(stranger: httpx.AsyncClient) -> None:
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]
    assert (await stranger.get("/v1/models", headers=headers)).status_code in (401, 429)


async def test_a_credential_is_asked_for_before_the_body_is_looked_at(stranger: httpx.AsyncClient) -> None:
    for path in ("/v1/chat/completions", "/api/v1/sessions"):
        response = await stranger.post(path, content=b"{", headers={"content-type": "application/json"})
        assert response.status_code == 401


async def test_a_code_works_once(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    minted = (await client.post("/api/v1/login-codes")).json()
    assert (await stranger.get(minted["path"])).status_code == 303
    stranger.cookies.clear()
    again = await stranger.get(minted["path"])
    assert again.status_code in (401, 429)
    assert "set-cookie" not in again.headers


async def test_a_code_ages(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = ManualClock()
    settings = make_settings(tmp_path_factory.mktemp("codes"))
    async with running_server(settings, clock=clock) as server, httpx.AsyncClient(base_url=server.url) as http:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        path = (await http.post("/api/v1/login-codes", headers=headers)).json()["path"]
        clock.advance(601)
        assert (await http.get(path)).status_code == 401


async def test_only_an_admin_makes_codes(other: httpx.AsyncClient) -> None:
    assert (await other.post("/api/v1/login-codes")).status_code == 403


async def test_the_cookie_works_and_needs_the_same_origin_for_writes(
    server: Server, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    secret = await login(client, stranger)
    cookie = {"Cookie": f"{COOKIE}={secret}"}
    assert (await stranger.get("/api/v1/status", headers=cookie)).json()["principal"]["id"] == "owner"
    for origin in (None, "https://evil.example", "null", server.url + ".evil.example"):
        headers = {**cookie, **({"Origin": origin} if origin else {})}
        assert (await stranger.post("/api/v1/sessions", json={}, headers=headers)).status_code == 403, origin
    same = {**cookie, "Origin": server.url}
    assert (await stranger.post("/api/v1/sessions", json={}, headers=same)).status_code == 201


async def test_logging_out_ends_the_login_at_once(
    server: Server, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    secret = await login(client, stranger)
    headers = {"Cookie": f"{COOKIE}={secret}", "Origin": server.url}
    assert (await stranger.get("/api/v1/status", headers=headers)).status_code == 200
    assert (await stranger.post("/logout", headers=headers)).status_code == 200
    assert (await stranger.get("/api/v1/status", headers=headers)).status_code in (401, 429)


async def test_a_login_with_the_token_sets_the_cookie(server: Server, stranger: httpx.AsyncClient) -> None:
    wrong = await stranger.post("/login", json={"token": "wrong"})
    assert wrong.status_code in (401, 429)
    foreign = await stranger.post("/login", json={"token": TOKEN}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    right = await stranger.post("/login", json={"token": TOKEN}, headers={"Origin": server.url})
    assert right.status_code == 200
    assert (await stranger.get("/api/v1/status")).status_code == 200


async def test_a_login_survives_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(tmp_path_factory.mktemp("login"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running_server(settings) as first, httpx.AsyncClient(base_url=first.url) as http:
        path = (await http.post("/api/v1/login-codes", headers=headers)).json()["path"]
        secret = (await http.get(path)).cookies[COOKIE]
    assert secret.encode() not in b"".join(file.read_bytes() for file in settings.data_dir.glob("iskra.db*")), (
        "the secret itself is not kept"
    )
    async with running_server(settings) as second, httpx.AsyncClient(base_url=second.url) as http:
        response = await http.get("/api/v1/status", headers={"Cookie": f"{COOKIE}={secret}"})
        assert response.status_code == 200


async def test_failures_are_limited_and_audited_but_the_owner_gets_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(tmp_path_factory.mktemp("limit"))
    async with running_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        wrong = [
            (await http.get("/v1/models", headers={"Authorization": f"Bearer {n}"})).status_code for n in range(25)
        ]
        assert wrong == [401] * 20 + [429] * 5
        tricky = {"Authorization": "Bearer x", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4"}
        assert (await http.get("/v1/models", headers=tricky)).status_code == 429
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/v1/models", headers=headers)).status_code == 200
        audit = (await http.get("/api/v1/admin/audit", params={"action": "login.*"}, headers=headers)).json()["data"]
        assert len(audit) == 20
        assert "Bearer" not in str(audit)


async def test_requests_of_one_user_can_be_limited(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = make_settings(tmp_path_factory.mktemp("rate"), limits=LimitSettings(requests_per_minute=3))
    async with running_server(settings) as server, httpx.AsyncClient(base_url=server.url) as http:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        statuses = [(await http.get("/api/v1/status", headers=headers)).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert (await http.get("/health")).status_code == 200


def test_the_failure_window_runs_on_the_monotonic_clock() -> None:
    clock = ManualClock()
    limit = FailureLimit(clock, per_minute=2)
    limit.record("a")
    limit.record("a")
    assert limit.is_over("a")
    assert not limit.is_over("b")
    clock.advance(61)
    assert not limit.is_over("a")


def test_the_request_bucket_refills() -> None:
    clock = ManualClock()
    limit = RequestLimit(clock, 60)
    for _ in range(60):
        limit.take("a")
    with pytest.raises(TooManyAttemptsError) as refused:
        limit.take("a")
    assert refused.value.retry_after == pytest.approx(1.0)
    limit.take("b")
    clock.advance(1.0)
    limit.take("a")


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data", token=None)
    token = owner_token(settings)
    assert len(token) > 40
    assert owner_token(settings) == token
    file = settings.data_dir / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    owner_token(settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "token", ["", "short", "changeme", "password12345678", "aaaaaaaaaaaaaaaaaaaaaaaa", "secret-2024-12-31!"]
)
def test_a_token_that_is_easy_to_guess_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigurationError, match="easy to guess") as refused:
        owner_token(make_settings(tmp_path / "data", token=token))
    assert not token or token not in str(refused.value)


def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    settings = make_settings(tmp_path / "data", token=None).model_copy(update={"data_dir": tmp_path / "file" / "data"})
    with pytest.raises(DataDirectoryError, match="cannot be used"):
        owner_token(settings)
