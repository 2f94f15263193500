"""A real server on a free port, with a plugin that does what the tests need."""

from collections.abc import AsyncIterator

import httpx
import pytest

from http_probe import OTHER_TOKEN, TOKEN
from http_server_settings import make_settings
from iskra.server import Server, running_server


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
