"""The server as a process: ports, signals, streams at the end, what it prints."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from http_probe import TOKEN, chat
from http_server_settings import BUILT_IN, PROBE, make_settings
from iskra.server import PortInUseError, bind, running_server

AUTH = {"Authorization": f"Bearer {TOKEN}"}
LINE = re.compile(r"http://127\.0\.0\.1:\d+")


class Process:
    """A server in a process of its own."""

    def __init__(self, data_dir: Path, **environment: str | None) -> None:
        self.data_dir = data_dir
        plugins = data_dir / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        (plugins / "probe.py").write_text(PROBE.read_text())
        disabled = ", ".join(f'"{name}"' for name in BUILT_IN)
        given = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ISKRA_")},
            "ISKRA_DATA_DIR": str(data_dir),
            "ISKRA_PORT": "0",
            "ISKRA_TOKEN": TOKEN,
            "ISKRA_SHUTDOWN_GRACE": "1",
            "ISKRA_PLUGINS__DISABLED": f"[{disabled}]",
            "ISKRA_LLM__ALIASES__DEFAULT__TARGETS": '["fake/plain"]',
            "ISKRA_LLM__ALIASES__DEFAULT__PASS_THROUGH": "true",
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "iskra", "serve"],
            env={name: value for name, value in given.items() if value is not None},
            cwd=data_dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed = ""

    def wait_until_it_listens(self) -> str:
        """Read what it prints up to its address, and return that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            found = LINE.search(line)
            if found is not None and "url=" not in line and "Iskra listens" in line:
                return found[0]
        pytest.fail(f"the server ended: {self.printed}")

    def end(self) -> int:
        """Wait for the end and return the exit status."""
        out, _ = self.process.communicate(timeout=20)
        self.printed += out
        return self.process.returncode

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.end()


@contextmanager
def started(data_dir: Path, **environment: str | None) -> Iterator[Process]:
    server = Process(data_dir, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_it_prints_where_it_is_and_three_commands_that_work(data_dir: Path) -> None:
    embedded = {"ISKRA_TOKEN": None, "ISKRA_LLM__ALIASES__DEFAULT__TARGETS": None, "ISKRA_PLUGINS__DISABLED": None}
    with started(data_dir, ISKRA_LLM__ALIASES__DEFAULT__PASS_THROUGH=None, **embedded) as server:
        url = server.wait_until_it_listens()
        assert server.process.stdout is not None
        while "iskra chat" not in server.printed:
            server.printed += server.process.stdout.readline()
        token = (data_dir / "token").read_text().strip()
        assert token in server.printed
        login = re.search(r"http\S+/login\?code=\S+", server.printed)
        assert login is not None
        with httpx.Client(base_url=url) as http:
            assert http.get(login[0]).status_code == 303
            assert http.get("/api/v1/status").status_code == 200, "the cookie of the login works"
            assert http.get(login[0]).status_code == 401
        models, answer = (
            subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True).stdout
            for command in re.findall(r"^    (curl .*)$", server.printed, re.MULTILINE)
        )
        assert '"id":"iskra"' in models
        assert answer.endswith("data: [DONE]\n\n")
        assert server.stop() == 0


def test_an_empty_token_is_a_mistake_and_no_reason_to_make_one_up(data_dir: Path) -> None:
    with started(data_dir, ISKRA_TOKEN="") as server:
        assert server.end() == 2
    assert "easy to guess" in server.printed


def test_the_secrets_are_taken_out_of_the_environment(data_dir: Path) -> None:
    with started(data_dir) as server:
        server.wait_until_it_listens()
        children = subprocess.run(
            ["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        for child in children:
            try:
                environment = Path(f"/proc/{child}/environ").read_bytes()
            except FileNotFoundError:
                continue
            assert TOKEN.encode() not in environment
        assert server.stop() == 0
        assert TOKEN not in server.printed


def test_a_port_in_use_is_said_at_once(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(data_dir, ISKRA_PORT=str(port)) as server:
            assert server.end() == 2
        assert f"Port {port}" in server.printed
        assert "--port" in server.printed
        assert "Traceback" not in server.printed
        with pytest.raises(PortInUseError):
            bind(make_settings(data_dir, port=port))


def test_a_data_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with started(tmp_path, ISKRA_DATA_DIR=str(tmp_path / "file")) as server:
        assert server.end() == 2
    assert "file" in server.printed
    assert "Traceback" not in server.printed


def test_a_second_server_on_the_same_data_is_refused(data_dir: Path) -> None:
    with started(data_dir) as first:
        first.wait_until_it_listens()
        with started(data_dir) as second:
            assert second.end() == 2
        assert "Traceback" not in second.printed
        assert first.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_with_an_event_and_sockets_with_1012(data_dir: Path, number: signal.Signals) -> None:
    with started(data_dir) as server:
        url = server.wait_until_it_listens()
        with httpx.Client(base_url=url, headers=AUTH, timeout=10) as http:
            session = http.post("/api/v1/sessions", json={}).json()["id"]
            body = {"text": "go", "model": "agent:slow"}
            turn = http.post(f"/api/v1/sessions/{session}/turns", json=body).json()
            body = chat("llm:default/hang", "x", stream=True)
            with (
                http.stream("GET", f"/api/v1/sessions/{session}/events") as events,
                http.stream("POST", "/v1/chat/completions", json=body) as answer,
                connect(url.replace("http", "ws") + "/api/v1/ws", additional_headers=AUTH) as web_socket,
            ):
                lines = answer.iter_lines()
                assert "one" in next(lines)
                server.process.send_signal(number)
                told = events.read().decode()
                assert "event: server.stopping" in told.split("\n\n")[-2]
                assert "shutting_down" in "".join(lines)
                web_socket.recv(timeout=5)  # ready
                with pytest.raises(ConnectionClosed) as closed:
                    web_socket.recv(timeout=5)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
        assert server.end() == 0
    with started(data_dir) as again:
        with httpx.Client(base_url=again.wait_until_it_listens(), headers=AUTH, timeout=10) as http:
            assert http.get(f"/api/v1/turns/{turn['id']}").json()["state"] == "running", "it goes on"
        assert again.stop() == 0


def test_the_api_stops_the_server_as_a_signal_does(data_dir: Path) -> None:
    with started(data_dir) as server:
        url = server.wait_until_it_listens()
        assert httpx.post(f"{url}/api/v1/admin/shutdown", headers=AUTH).status_code == 202
        assert server.end() == 0


def test_a_storm_of_signals_ends_it_and_the_next_start_is_clean(data_dir: Path) -> None:
    with started(data_dir) as server:
        server.wait_until_it_listens()
        for _ in range(30):
            for number in (signal.SIGTERM, signal.SIGINT):
                if server.process.poll() is None:
                    server.process.send_signal(number)
        status = server.end()
        # Once the loop is closed, the last signals meet a process that is past handling them.
        assert status in (0, -signal.SIGTERM, -signal.SIGINT, 130)
        assert "Traceback" not in server.printed
    with started(data_dir) as again:
        again.wait_until_it_listens()
        assert again.stop() == 0


@pytest.mark.parametrize("milliseconds", [0, 300, 800])
def test_a_signal_during_start_up_ends_it(data_dir: Path, milliseconds: int) -> None:
    with started(data_dir) as server:
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(milliseconds / 1000)
        status = server.stop()
        assert status in (0, -signal.SIGTERM)
        assert "Traceback" not in server.printed
    with started(data_dir) as again:
        again.wait_until_it_listens()
        assert again.stop() == 0


def test_logs_hold_no_secret_and_no_forged_line(data_dir: Path) -> None:
    with started(data_dir, ISKRA_LOG_LEVEL="info") as server:
        url = server.wait_until_it_listens()
        for path in ("/api/v1/probe/crash?x=%0aforged", f"/{TOKEN}%1b"):
            httpx.get(url + path, headers={**AUTH, "X-Request-ID": "id%1b[31m"})
        httpx.get(url, headers={"Authorization": "Bearer a-wrong-token-4714"})
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as raw:
            raw.sendall(b"GET /\x1b[31m\nforged HTTP/1.1\r\n\r\n")
            raw.recv(1000)
        assert server.stop() == 0
    assert TOKEN not in server.printed
    assert "a-wrong-token-4714" not in server.printed
    assert "\x1b" not in server.printed
    assert "\nforged" not in server.printed
    assert "plugin route failed" in server.printed


def test_a_server_in_this_process_leaves_nothing_running(tmp_path: Path) -> None:
    async def serve() -> set[str]:
        async with running_server(make_settings(tmp_path)) as server, httpx.AsyncClient(base_url=server.url) as http:
            assert (await http.get("/ready")).status_code == 200
        return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert asyncio.run(serve()) == set()
