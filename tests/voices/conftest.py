"""A server with the voices and a model that does what its prompt demands."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from http_probe import OTHER_TOKEN, TOKEN
from http_server_settings import BUILT_IN, make_settings
from iskra.server import Server, running_server
from iskra.settings import LLMSettings, PluginSettings
from voices.company import Company
from voices.stub_model import answer


def follows_its_prompt(request: Request) -> Iterator[str | Call]:
    """Answer as the prompt demands."""
    system = "\n".join(message["content"] for message in request["messages"] if message["role"] == "system")
    users = [message["content"] for message in request["messages"] if message["role"] == "user"]
    yield answer(system, users[-1])


@pytest.fixture(scope="package")
def shared_upstream() -> Iterator[Upstream]:
    with fake_upstream(follows_its_prompt) as running:
        yield running


@pytest.fixture(scope="package")
async def server(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that the tests of this folder share."""
    folder = tmp_path_factory.mktemp("voices")
    disabled = tuple(name for name in BUILT_IN if name not in ("agents", "openai_compatible", "voices"))
    settings = make_settings(
        folder,
        model_url=shared_upstream.url,
        model="fake",
        llm=LLMSettings(retries=0),
        plugins=PluginSettings(disabled=disabled, settings={"agents": {"asks_when_unsure": False}}),
    )
    (folder / "plugins" / "probe.py").unlink()
    async with running_server(settings) as running:
        yield running


@pytest.fixture
async def company(server: Server, shared_upstream: Upstream) -> AsyncIterator[Company]:
    """The server with two users, and a model that has forgotten the tests before."""
    shared_upstream.requests.clear()
    shared_upstream.answer = follows_its_prompt
    clients = [
        httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
        )
        for token in (TOKEN, OTHER_TOKEN)
    ]
    try:
        yield Company(server, shared_upstream, *clients)
    finally:
        for client in clients:
            await client.aclose()
