"""An admin stops the server while people listen, politely or not, and starts it again."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fake_upstream import Call, Request, fake_upstream
from iskra_sdk.client import IskraClient
from running_iskra import RunningServer, running_iskra


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set when the model may go on."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def server(tmp_path: Path, released: threading.Event) -> Iterator[RunningServer]:
    """A server whose model begins to answer and then waits."""

    def begins(_request: Request) -> Iterator[str | Call]:
        yield "I begin"
        released.wait(30)
        yield " and end."

    with fake_upstream(begins) as upstream:
        settings = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake", "ISKRA_SHUTDOWN_GRACE": "0.5"}
        with running_iskra(tmp_path, settings=settings) as running:
            yield running
            released.set()


def test_every_listener_is_told_that_the_server_stops(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    told: dict[str, str] = {}
    listening = threading.Barrier(4)

    def chat() -> None:
        body = {"model": "agent:ask", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with httpx.stream(
            "POST", f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=30, trust_env=False
        ) as answer:
            lines = answer.iter_lines()
            for line in lines:
                if "I begin" in line:
                    listening.wait(30)
                    break
            told["chat"] = "\n".join(lines)

    def events(session: str) -> None:
        with httpx.stream(
            "GET", f"{server.url}/api/v1/sessions/{session}/events", headers=headers, timeout=30, trust_env=False
        ) as answer:
            lines = answer.iter_lines()
            next(lines)
            listening.wait(30)
            told["events"] = "\n".join(lines)

    def socket(session: str) -> None:
        url = f"{server.url.replace('http', 'ws')}/api/v1/ws"
        with connect(url, additional_headers=headers, proxy=None) as opened:
            opened.send(json.dumps({"type": "subscribe", "id": "1", "session_id": session}))
            opened.recv(30)
            listening.wait(30)
            try:
                while True:
                    opened.recv(30)
            except ConnectionClosed as exc:
                told["socket"] = str(exc.rcvd.code if exc.rcvd is not None else None)

    with IskraClient(server.url, server.token) as client:
        session = client.sessions.create("a day").id
    threads = [
        threading.Thread(target=chat),
        threading.Thread(target=events, args=(session,)),
        threading.Thread(target=socket, args=(session,)),
    ]
    for thread in threads:
        thread.start()
    listening.wait(30)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    for thread in threads:
        thread.join(30)
    assert "server.stopping" in told["events"]
    assert told["socket"] in ("1001", "1012")
    assert "error" in told["chat"], told["chat"]


def test_a_storm_of_signals_ends_the_server_and_the_next_start_is_clean(server: RunningServer, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGTERM) * 3:
        if server.process.poll() is None:
            server.process.send_signal(number)
    server.process.wait(30)
    with running_iskra(tmp_path) as again, IskraClient(again.url, again.token) as client:
        assert client.health().status == "ok"


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.7, 1.0])
def test_a_signal_during_the_start_ends_it_cleanly(tmp_path: Path, delay: float) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISKRA_")}
    environment |= {"ISKRA_DATA_DIR": str(tmp_path / "data"), "ISKRA_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "iskra", "serve"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        threading.Event().wait(delay)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM), output
        assert "Traceback" not in output
    with running_iskra(tmp_path) as again, IskraClient(again.url, again.token) as client:
        assert client.health().status == "ok"
