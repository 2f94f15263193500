from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from iskra_sdk.client import IskraClient, ReconnectPolicy
from sdk.client.fake_server import FakeServer, running

Connect = Callable[..., IskraClient]

AT_ONCE = ReconnectPolicy(first_delay=0.0, max_delay=0.0, attempt_timeout=5.0, silence_timeout=5.0, give_up_after=5.0)


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISKRA_URL", "ISKRA_TOKEN", "ISKRA_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with running() as fake:
        yield fake


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make clients that are closed after the test."""
    with ExitStack() as stack:

        def make(url: str | None = None, **options: Any) -> IskraClient:
            return stack.enter_context(IskraClient(url, **{"reconnect": AT_ONCE, **options}))

        yield make


@pytest.fixture
def client(server: FakeServer, connect: Connect) -> IskraClient:
    return connect(server.url, token="t0ken")
