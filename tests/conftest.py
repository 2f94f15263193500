"""What every test gets: one event loop kind, no network beyond this machine, and no deadline for an example."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from network_guard import NetworkGuard

_guard = NetworkGuard()


def pytest_configure() -> None:
    """Refuse foreign connections from before the first test module is imported; a busy machine fails no property."""
    _guard.install()
    settings.register_profile("iskra", deadline=None)
    settings.load_profile("iskra")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio only; a session-wide value allows async fixtures of any scope."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_foreign_network() -> Iterator[None]:
    """Fail the test even when the code under test caught the refusal, as it would a failed connection."""
    _guard.refused.clear()
    yield
    assert not _guard.refused, f"the test tried to reach another machine: {', '.join(_guard.refused)}"
