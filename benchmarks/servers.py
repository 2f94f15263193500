"""Starts and stops what benchmarks measure: the fake upstream, the floor, our server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOKEN = "bench-" + os.urandom(24).hex()
CHAT = "/v1/chat/completions"
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant. " * 4},
    {"role": "user", "content": "What is the weather in Paris today? " * 4},
]

AGENT_PLUGIN = '''
from iskra_sdk import Agent, hookimpl, tool

@tool(risk="read")
async def get_weather(city: str) -> str:
    """Return the weather.

    Args:
        city: Where.
    """
    return f"Sunny in {city}, 21 degrees."

class Bench(Agent):
    name = "bench"
    prompt = "You are a helpful weather assistant."
    tools = ("get_weather",)
    model = "default/%(model)s"

@hookimpl
def register_agents():
    return [Bench()]

@hookimpl
def register_tools():
    return [get_weather]
'''


class UnavailableError(Exception):
    """A program that the benchmark needs is missing; the text says how to get it."""


@dataclass(frozen=True)
class Running:
    """A server under measurement."""

    name: str
    url: str
    pid: int
    headers: Sequence[str] = ()


@dataclass(frozen=True)
class Harness:
    """The compiled programs."""

    upstream: Path
    loadgen: Path

    def load(
        self, server: Running, *, mode: str, body: Mapping[str, object] | None, path: str = CHAT, **flags: Any
    ) -> dict[str, Any]:
        """Load a server and return the load generator's figures."""
        command = [str(self.loadgen), "--url", server.url + path, "--mode", mode, "--pid", str(server.pid)]
        for name, value in flags.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        for header in server.headers:
            command += ["--header", header]
        if body is not None:
            command += ["--body", json.dumps(body)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures


def build(folder: Path) -> Harness:
    """Compile the harness.

    Raises:
        UnavailableError: There is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError("a C compiler is needed: apt-get install gcc libc6-dev")
    for name in ("fake_upstream", "loadgen"):
        source = HERE / "harness" / f"{name}.c"
        subprocess.run([compiler, "-O2", "-pthread", "-w", "-o", str(folder / name), str(source)], check=True)
    return Harness(folder / "fake_upstream", folder / "loadgen")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: Sequence[str], url: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a program until the block is left, and wait until ``url`` answers; yields its pid."""
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_for(url, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def wait_for(url: str, process: "subprocess.Popen[bytes]", limit: float = 30) -> None:
    """Wait until ``url`` answers with success."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = process.stderr.read().decode() if process.stderr is not None else ""
            raise RuntimeError(f"{process.args!r} ended: {said}")
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{url} did not answer within {limit:g} seconds")


@contextmanager
def upstream(harness: Harness, *, threads: int = 1) -> Iterator[Running]:
    """Run the fake upstream."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(harness.upstream), "--port", str(port), "--threads", str(threads)]
    with started(command, f"{url}/v1/models") as pid:
        yield Running("upstream", url, pid)


@contextmanager
def floor(upstream_url: str) -> Iterator[Running]:
    """Run the floor: Starlette and aiohttp."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "uvicorn", "floor_server:app", "--app-dir", str(HERE), "--loop", "uvloop", "--http",
        "httptools", "--no-access-log", "--log-level", "warning", "--port", str(port),
    ]  # fmt: skip
    with started(command, f"{url}/health", {"UPSTREAM": f"{upstream_url}/v1"}) as pid:
        yield Running("floor", url, pid)


@contextmanager
def iskra(folder: Path, upstream_url: str, *, model: str | None = "fake-t16") -> Iterator[Running]:
    """Run our server with its default plugins and the fake upstream as its model.

    Args:
        folder: The data directory.
        upstream_url: Where the upstream is.
        model: What the agent of an added plugin calls; ``None`` adds no plugin.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    plugins = folder / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    if model is not None:
        (plugins / "bench.py").write_text(AGENT_PLUGIN % {"model": model})
    command = [
        sys.executable, "-m", "iskra", "serve", "--port", str(port), "--data-dir", str(folder), "--quiet",
        "--workspace", str(folder), "--model-url", f"{upstream_url}/v1", "--model", "fake-t16",
    ]  # fmt: skip
    with started(command, f"{url}/ready", {"ISKRA_TOKEN": TOKEN}) as pid:
        yield Running("iskra", url, pid, (f"Authorization: Bearer {TOKEN}",))
