"""An integrator's program streams turns over a network that cuts connections."""

import time
from collections.abc import Iterator

import pytest

from cutting_proxy import CuttingProxy, cutting_proxy
from fake_upstream import Call, Request, fake_upstream
from iskra_sdk.client import AsyncIskraClient, IskraClient, ReconnectPolicy
from running_iskra import RunningServer, running_iskra

WHOLE = "".join(f"{number} " for number in range(400))
CUTS = (700, 1_500, 2_000, 400, 3_000)  # bytes
QUICKLY = ReconnectPolicy(first_delay=0.01, max_delay=0.05)


def counts(_request: Request) -> Iterator[str | Call]:
    """Count to 400, a word at a time."""
    for number in range(400):
        time.sleep(0.002)  # so that the answer is still on its way when the network cuts it
        yield f"{number} "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a model that counts."""
    with fake_upstream(counts) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
        with running_iskra(tmp_path_factory.mktemp("network"), settings=settings) as running:
            yield running


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[CuttingProxy]:
    """A network that cuts."""
    with cutting_proxy(server.url) as cutting:
        cutting.cut_after(*CUTS)
        yield cutting


def test_the_client_reads_every_word_once(server: RunningServer, proxy: CuttingProxy) -> None:
    with IskraClient(proxy.url, server.token, reconnect=QUICKLY) as client:
        stream = client.stream("count", model="agent:ask")
        assert "".join(stream.texts()) == WHOLE
        assert proxy.cuts == len(CUTS)
        assert stream.turn is not None
        assert len(client.turns.list(stream.turn.session_id)) == 1


async def test_the_asynchronous_client_reads_every_word_once(server: RunningServer, proxy: CuttingProxy) -> None:
    client = AsyncIskraClient(proxy.url, server.token, reconnect=QUICKLY)
    stream = client.stream("count", model="agent:ask")
    assert "".join([piece async for piece in stream.texts()]) == WHOLE
    assert proxy.cuts == len(CUTS)
    await client.aclose()
