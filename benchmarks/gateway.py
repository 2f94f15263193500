"""``/v1/chat/completions`` straight to ``llm:default``: goals 1 to 7."""

import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from servers import MESSAGES, Harness, Running, build, floor, iskra, upstream
from table import Row

SECONDS = 2.5
HELD = 300

Measured = Mapping[str, list[dict[str, Any]]]


def body(server: Running, model: str, *, stream: bool) -> dict[str, object]:
    """Return a request; our gateway is asked for a pass-through model."""
    name = f"llm:default/{model}" if server.name == "iskra" else model
    return {"model": name, "messages": MESSAGES, "stream": stream}


def alternate(harness: Harness, servers: list[Running], runs: int, *, mode: str, model: str, **flags: Any) -> Measured:
    """Load the servers in turn, in rotating order."""
    figures: dict[str, list[dict[str, Any]]] = {server.name: [] for server in servers}
    for number in range(runs):
        for place in range(len(servers)):
            server = servers[(place + number) % len(servers)]
            request = body(server, model, stream=mode != "http")
            result = harness.load(server, mode=mode, body=request, warmup=0.7, **flags)
            if result["bad_status"] or result["errors"]:
                raise RuntimeError(f"{server.name} failed under load: {result}")
            figures[server.name].append(result)
    return figures


def median(figures: Measured, server: str, pick: Callable[[dict[str, Any]], float]) -> float:
    """Return the median of a figure over the runs."""
    return statistics.median(pick(result) for result in figures[server])


def cpu_per_token(result: dict[str, Any]) -> float:
    """Return microseconds of CPU per token."""
    return float(1e6 * result["cpu_s"] / (result["tokens_per_s"] * result["seconds"]))


def run(runs: int) -> list[Row]:
    """Measure everything about the gateway."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        harness = build(folder)
        with upstream(harness) as up, floor(up.url) as bare, iskra(folder / "data", up.url) as ours:
            servers = [bare, ours]
            rows = [*plain(harness, servers, runs), *streamed(harness, servers, runs)]
        for hold in (hold_nothing, hold_proxied, hold_events, hold_sockets):
            with upstream(harness) as up, iskra(folder / hold.__name__, up.url, model=None) as ours:
                rows.append(hold(harness, ours))
        return rows


def plain(harness: Harness, servers: list[Running], runs: int) -> list[Row]:
    """Non-streaming requests."""
    rows = []
    for connections in (16, 64):
        figures = alternate(harness, servers, runs, mode="http", model="fake-t16", conc=connections, duration=SECONDS)
        ours, bare = (median(figures, name, lambda result: float(result["per_s"])) for name in ("iskra", "floor"))
        rows.append(Row("1", f"requests, {connections} connections", ours, bare, "1/s", 0.5, 0.7, "more"))
        if connections == 16:
            ours, bare = (
                median(figures, name, lambda result: float(result["cpu_ms_per_ok"])) for name in ("iskra", "floor")
            )
            rows.append(Row("2", "CPU per request", ours, bare, "ms", 2.0, 1.4))
    return rows


def streamed(harness: Harness, servers: list[Running], runs: int) -> list[Row]:
    """Streamed requests."""
    rows = []
    one = alternate(harness, servers, runs, mode="sse", model="fake-t16-d5", conc=1, duration=SECONDS)
    hundred = alternate(harness, servers, runs, mode="sse", model="fake-t64-d20", conc=100, duration=3.5, ramp=100)
    many = alternate(harness, servers, runs, mode="sse", model="fake-t64-d20", conc=500, duration=5, ramp=400)

    def row(
        goal: str,
        what: str,
        figures: Measured,
        pick: Callable[[dict[str, Any]], float],
        unit: str,
        *bounds: float,
        more: bool = False,
    ) -> None:
        ours, bare = median(figures, "iskra", pick), median(figures, "floor", pick)
        rows.append(Row(goal, what, ours, bare, unit, bounds[0], bounds[1], "more" if more else "less"))

    row("3", "first token p50, 1 stream", one, lambda result: result["ttft_ms"]["p50"], "ms", 1.5, 1.0)
    row("3", "first token p50, 100 × 50 tokens/s", hundred, lambda result: result["ttft_ms"]["p50"], "ms", 1.5, 1.0)
    row("4", "first token p99, 100 × 50 tokens/s", hundred, lambda result: result["ttft_ms"]["p99"], "ms", 2.0, 1.2)
    row("4", "token transit p99, 100 × 50 tokens/s", hundred, lambda result: result["transit_ms"]["p99"], "ms", 2, 1.2)
    row("5", "CPU per token, 100 × 50 tokens/s", hundred, cpu_per_token, "µs", 1.5, 1.0)
    row("6", "tokens, 500 × 50 tokens/s", many, lambda result: result["tokens_per_s"], "1/s", 0.5, 0.8, more=True)
    row("", "first token p50, 500 × 50 tokens/s", many, lambda result: result["ttft_ms"]["p50"], "ms", 2.0, 1.2)
    row("", "first token p99, 500 × 50 tokens/s", many, lambda result: result["ttft_ms"]["p99"], "ms", 2.0, 1.2)
    return rows


def hold_nothing(harness: Harness, server: Running) -> Row:
    """Memory at rest, a moment after the start."""
    del harness
    time.sleep(1)
    return Row("7", "memory at rest, default plugins", resident_mb(server.pid), None, "MB", 100, 80)


def hold_proxied(harness: Harness, server: Running) -> Row:
    """Memory per stream of the gateway that is waiting for its next token."""
    harness.load(server, mode="http", body=body(server, "fake-t16", stream=False), conc=16, duration=1)  # warm up
    request = body(server, "fake-t4000-d1000-f1", stream=True)
    return per_stream("proxied stream", harness, server, mode="hold", body=request, conc=HELD)


def hold_events(harness: Harness, server: Running) -> Row:
    """Memory per follower of a session in which nothing happens."""
    path = f"/api/v1/sessions/{new_session(server)}/events"
    harness.load(server, mode="hold", body=None, path=path, method="GET", conc=20, duration=0.5, ramp=100)  # warm up
    return per_stream("idle event stream", harness, server, mode="hold", body=None, path=path, method="GET", conc=HELD)


def hold_sockets(harness: Harness, server: Running) -> Row:
    """Memory per WebSocket that follows such a session."""
    subscribe = json.dumps({"type": "subscribe", "session_id": new_session(server)})
    flags: dict[str, Any] = {"mode": "ws", "body": None, "path": "/api/v1/ws", "ws_send": subscribe}
    harness.load(server, conc=10, duration=0.5, ramp=100, **flags)  # warm up
    return per_stream("idle WebSocket", harness, server, conc=HELD, **flags)


def per_stream(what: str, harness: Harness, server: Running, **flags: Any) -> Row:
    """Hold streams open and divide what they add."""
    before = resident_mb(server.pid)
    held = harness.load(server, duration=2, ramp=300, **flags)
    if held["alive"] < flags["conc"]:
        raise RuntimeError(f"{what}: only {held['alive']} of {flags['conc']} were alive: {held}")
    kilobytes = (held["rss_max_mb"] - before) * 1024 / flags["conc"]
    commit, stretch = (60, 42) if "proxied" in what else (36, 29)
    return Row("7", f"memory per {what}, {flags['conc']} held", kilobytes, None, "KB", commit, stretch)


def new_session(server: Running) -> str:
    """Make a session."""
    headers = dict(header.split(": ", 1) for header in server.headers) | {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v1/sessions", data=b"{}", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback address
        session_id: str = json.load(answer)["id"]
        return session_id


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants."""
    import psutil

    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20
