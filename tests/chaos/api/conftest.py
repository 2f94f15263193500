"""A real server with the chaos plugin in a test environment, and people of different levels."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra

ANSWER = "As I said, the plan comes first. Make a list of what is needed, and of who does it."

PEOPLE: dict[str, tuple[list[str], list[str]]] = {
    "reader": (["chat", "sessions:*", "chaos:read"], []),
    "beginner": (["chat", "sessions:*", "chaos:read", "chaos:basic"], []),
    "user": (["chat", "sessions:*", "chaos:read", "chaos:intermediate"], []),
    "operator": (["chat", "sessions:*", "chaos:read", "chaos:advanced"], []),
    "stranger": (["chat", "sessions:*"], []),
}
"""Name → permissions and claims."""


def model(request: Request) -> Iterator[str | Call]:
    yield ANSWER


@dataclass
class House:
    """A server and the clients of its people."""

    server: RunningServer
    upstream: Upstream

    def _token(self, name: str) -> str:
        return self.server.token if name == "owner" else token_of(name)

    def client(self, name: str = "owner") -> httpx.Client:
        """Return a plain client of somebody."""
        headers = {"Authorization": f"Bearer {self._token(name)}"}
        return httpx.Client(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=30)

    def session(self, name: str = "owner", turns: int = 3) -> str:
        """Return a session of somebody with a stale conversation in it."""
        with IskraClient(self.server.url, self._token(name)) as client:
            session = client.sessions.create("fair", agent="agent:ask")
            for number in range(turns):
                client.ask(f"What about part {number} of the fair?", session)
        return session.id

    def say(self, text: str, session_id: str, name: str = "owner", model: str | None = None) -> None:
        """Send a message and wait for the end of its turn."""
        with IskraClient(self.server.url, self._token(name)) as client:
            client.ask(text, client.sessions.get(session_id), model)


def token_of(name: str) -> str:
    return f"token-of-{name}-{'x' * 20}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    users = "".join(
        f"[[users]]\nname = {json.dumps(name)}\n"
        f"token_sha256 = {json.dumps(hashlib.sha256(token_of(name).encode()).hexdigest())}\n"
        f"permissions = {json.dumps(permissions)}\nclaims = {json.dumps(claims)}\n"
        for name, (permissions, claims) in PEOPLE.items()
    )
    (folder / "data").mkdir()
    (folder / "data" / "iskra.toml").write_text(
        '[plugins.settings.chaos]\nenvironment = "test"\nfaults = true\nautomatic = true\n' + users
    )
    with fake_upstream(model) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(folder, settings=settings) as server:
            yield House(server, upstream)
