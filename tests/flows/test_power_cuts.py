"""The server is killed by SIGKILL at bad moments and started again on the same data."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from fake_upstream import Call, Request, Upstream, fake_upstream
from iskra_sdk.client import IskraClient, ReconnectPolicy
from iskra_sdk.errors import IskraError
from running_iskra import RunningServer, running_iskra

ROUNDS = int(os.environ.get("ISKRA_TEST_KILLS", "4"))
WRITERS = 16


class Model:
    """Answers by the last message; waits where the test wants to do something meanwhile."""

    def __init__(self) -> None:
        self.is_streaming = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, request: Request) -> Iterator[str | Call]:
        last = request["messages"][-1]
        if last["role"] == "tool":
            yield "Done."
        elif last["content"].startswith("note"):
            yield "Noted."
        elif last["content"].startswith("append"):
            yield Call("append_line", {"line": last["content"]})
        else:
            yield from ("one ", "two ")
            self.is_streaming.set()
            self.may_go_on.wait(30)
            yield "three"


LEDGER = '''
"""A tool whose effect can be counted."""
# /// iskra-plugin
# name = "ledger"
# permissions = ["files"]
# ///
from pathlib import Path
from iskra_sdk import Agent, hookimpl, tool

class Keeper(Agent):
    name = "keeper"
    description = "Keeps the ledger."
    tools = ("append_line",)

@hookimpl
def register_agents():
    return [Keeper()]

@hookimpl
def register_tools(context):
    @tool(risk="write")
    async def append_line(line: str) -> str:
        """Append a line to the ledger."""
        with (context.workspace / "ledger.txt").open("a") as file:
            file.write(line + "\\n")
        return "appended"
    return [append_line]
'''


@pytest.fixture
def model() -> Model:
    """A model of the test's own."""
    return Model()


@pytest.fixture
def upstream(model: Model) -> Iterator[Upstream]:
    """Its server."""
    with fake_upstream(model) as running:
        yield running
        model.may_go_on.set()


@pytest.fixture
def settings(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    """Settings of a server with the model and the ledger."""
    plugins = tmp_path / "data" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "ledger.py").write_text(LEDGER)
    return {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}


def client_of(server: RunningServer) -> IskraClient:
    return IskraClient(server.url, server.token, retries=0, reconnect=ReconnectPolicy(give_up_after=0.5))


def test_an_approval_outlives_the_server_and_its_effect_comes_once(settings: dict[str, str], tmp_path: Path) -> None:
    with running_iskra(tmp_path, settings=settings) as server, client_of(server) as client:
        stream = client.stream("append this", model="agent:keeper")
        for event in stream:
            if event.type == "approval.requested":
                break
        server.kill()
    with running_iskra(tmp_path, settings=settings) as server, client_of(server) as client:
        (request,) = client.approvals.list()
        assert request.arguments == '{"line":"append this"}'
        client.approvals.approve(request.id)
        assert stream.turn is not None
        assert client.attach(stream.turn.id).result() == "Done."
        with pytest.raises(IskraError, match="closed"):
            client.approvals.approve(request.id)
        assert (server.workspace / "ledger.txt").read_text() == "append this\n"


def test_a_stream_goes_on_after_the_server_came_back(
    settings: dict[str, str], tmp_path: Path, model: Model, upstream: Upstream
) -> None:
    port = free_port()
    patient = ReconnectPolicy(first_delay=0.05)
    with (
        running_iskra(tmp_path, port, settings=settings) as server,
        IskraClient(server.url, server.token, reconnect=patient) as client,
    ):
        stream = client.stream("hello", model="agent:ask")
        pieces = iter(stream.texts())
        assert next(pieces)
        assert model.is_streaming.wait(30)
        server.kill()
        model.may_go_on.set()
        with running_iskra(tmp_path, port, settings=settings):
            for _ in pieces:
                pass
            assert stream.text == "one two three"
            assert len(upstream.requests) == 2


class Writer:
    """Sends one message after the other, each until it is acknowledged, whatever becomes of the server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session = ""
        self.acknowledged: list[str] = []

    def write(self, server: RunningServer, stop: threading.Event) -> None:
        """Write until told to stop."""
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=10, trust_env=False) as http:
            while not stop.is_set():
                try:
                    self._write_once(http)
                except httpx.HTTPError:
                    stop.wait(0.01)

    def _write_once(self, http: httpx.Client) -> None:
        if not self.session:
            answer = http.post("/api/v1/sessions", json={"title": self.name})
            self.session = answer.json()["id"] if answer.is_success else ""
            return
        text = f"note {len(self.acknowledged)} of {self.name}"
        path, key = f"/api/v1/sessions/{self.session}/turns", {"Idempotency-Key": text}
        answer = http.post(path, json={"text": text, "model": "agent:ask"}, headers=key)
        if answer.is_success:
            self.acknowledged.append(text)
        else:
            assert answer.status_code in (429, 503), answer.text


def test_acknowledged_messages_are_there_once_after_every_kill(settings: dict[str, str], tmp_path: Path) -> None:
    dice = random.Random(4711)
    port = free_port()
    writers = [Writer(f"writer {number}") for number in range(WRITERS)]
    for number in range(ROUNDS):
        with running_iskra(tmp_path, port, settings=settings) as server, ThreadPoolExecutor(WRITERS) as pool:
            stop = threading.Event()
            try:
                jobs = [pool.submit(writer.write, server, stop) for writer in writers]
                wait_until(lambda: all(writer.session for writer in writers))
                wait_until(partial(have_more_than, WRITERS * number, writers))
                stop.wait(dice.uniform(0.0, 0.3))
                server.kill()
            finally:
                stop.set()  # or the pool would wait for its writers for ever
            for job in jobs:
                job.result()
    with running_iskra(tmp_path, port, settings=settings) as server, client_of(server) as client:
        for writer in writers:
            messages = client.sessions.messages(writer.session)
            sent = [item.message["content"] for item in messages if item.message["role"] == "user"]
            assert [text for text in sent if text in writer.acknowledged] == writer.acknowledged
            assert len(sent) - len(writer.acknowledged) in (0, 1)  # one may have been committed and not acknowledged


def have_more_than(count: int, writers: Sequence[Writer]) -> bool:
    """Return whether more messages than that were acknowledged."""
    return sum(len(writer.acknowledged) for writer in writers) > count


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
