"""A real server on a free port, with a plugin that does what the tests need."""

import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from iskra.server import Server, running_server
from iskra.settings import AliasSettings, LimitSettings, LLMSettings, PluginSettings, Settings, UserSettings

from http_probe import OTHER_TOKEN, READER_TOKEN, TOKEN

BUILT_IN = ("agents", "console", "local", "offline", "openai_compatible", "workspace")


def make_settings(data_dir: Path, **changes: object) -> Settings:
    """Return settings for a server with the probe plugin and nothing else."""
    plugin_dir = data_dir / "plugins"
    plugin_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("probe_plugin.py"), plugin_dir / "probe.py")
    given: dict[str, object] = {
        "host": "127.0.0.1",
        "port": 0,
        "data_dir": data_dir,
        "workspace": data_dir,
        "token": TOKEN,
        "shutdown_grace": 1.0,
        "limits": LimitSettings(message_bytes=2000, body_bytes=100_000),
        "llm": LLMSettings(
            aliases={"default": AliasSettings(targets=("fake/plain",), pass_through=True)}, retries=0, gap_timeout=60
        ),
        "plugins": PluginSettings(disabled=BUILT_IN, drain_deadline=1.0),
        "users": (
            UserSettings(name="other", token_sha256=hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()),
            UserSettings(
                name="reader",
                token_sha256=hashlib.sha256(READER_TOKEN.encode()).hexdigest(),
                permissions=("sessions:read",),
            ),
        ),
        **changes,
    }
    return Settings.model_validate(given)


@pytest.fixture(scope="package")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that all tests of this folder share."""
    async with running_server(make_settings(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the owner's token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10, trust_env=False) as http:
        yield http


@pytest.fixture
async def other(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client with another user's token."""
    headers = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10, trust_env=False) as http:
        yield http


@pytest.fixture
async def stranger(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=server.url, timeout=10, trust_env=False) as http:
        yield http
