"""Where the admin asks for a second factor, the credential's claim counts and nothing that a request says."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chaos.api.conftest import token_of
from running_iskra import RunningServer, running_iskra

FAULT = {"point": "llm.request", "kind": "latency", "ttl": 1}
GUARDED: tuple[tuple[str, str, object], ...] = (
    ("POST", "/chaos/faults", FAULT),
    ("GET", "/chaos/faults", None),
    ("POST", "/chaos/calibrate", {"current_state": {"chaos_level": 0.4, "stability_level": 0.85}}),
    ("POST", "/monitor/experiments", {"title": "t", "verdict": "held"}),
    ("GET", "/monitor/plant", None),
    ("POST", "/control/emergency_stop", {"stop_scope": "all", "stabilization_mode": "immediate"}),
    ("POST", "/control/release", {}),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("factor")
    users = "".join(
        f"[[users]]\nname = {json.dumps(name)}\n"
        f"token_sha256 = {json.dumps(hashlib.sha256(token_of(name).encode()).hexdigest())}\n"
        f'permissions = ["chat", "sessions:*", "chaos:read", "chaos:admin"]\nclaims = {json.dumps(claims)}\n'
        for name, claims in (("known", []), ("certain", ["mfa"]))
    )
    (folder / "data").mkdir()
    (folder / "data" / "iskra.toml").write_text(
        '[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\nsecond_factor = true\n' + users
    )
    with running_iskra(folder) as running:
        yield running


def client(server: RunningServer, name: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token_of(name)}", "X-Claims": "mfa", "X-MFA": "true"}
    return httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30)


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
def test_what_is_guarded_needs_the_claim(server: RunningServer, method: str, path: str, body: object) -> None:
    with client(server, "known") as known, client(server, "certain") as certain:
        refused = known.request(method, path, json=body)
        assert (refused.status_code, refused.json()["claim"]) == (403, "mfa")
        allowed = certain.request(method, path, json=body)
        assert allowed.is_success, allowed.text


def test_a_sandbox_needs_the_claim_and_ones_own_session_does_not(server: RunningServer) -> None:
    with client(server, "known") as known:
        session_id = known.post("/sessions", json={"title": "t"}).json()["id"]
        assert known.put(f"/chaos/sessions/{session_id}", json={"sandbox": True}).status_code == 403
        assert known.put(f"/chaos/sessions/{session_id}", json={"opt_in": True}).status_code == 200
        assert known.post("/control/emergency_stop", json={"session_id": session_id}).status_code == 200
