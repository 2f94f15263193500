"""A small real server to try experiments on: the faults API in miniature, and a service that fails when told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

FAULTS = "/api/v1/chaos/faults"


@dataclass
class Fault:
    """A lease as the server keeps it."""

    id: str
    body: dict[str, Any]
    expires_at: float
    state: str = "active"
    reason: str = ""
    requested: int = 0
    applied: int = 0
    observed: int = 0
    beats: int = 0

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "point": self.body["point"],
            "kind": self.body["kind"],
            "expires_at": self.expires_at,
            "requested": self.requested,
            "applied": self.applied,
            "observed": self.observed,
            "state": self.state,
            "reason": self.reason,
        }

    def meets(self, session: str, label: str) -> bool:
        scope = self.body.get("scope", {})
        sessions, wanted = scope.get("sessions", []), scope.get("label", "")
        return (not sessions or session in sessions) and (not wanted or wanted == label)


@dataclass
class State:
    """What tests set and look at.

    Attributes:
        values: Served at ``/value/<name>``.
        grace: Seconds a fault lives after a heartbeat.
        taken: Points that belong to another experiment.
        undeletable: Whether ending a fault fails.
        is_dull: Whether faults are granted but never do anything.
        broken_by_rollback: Sets the value ``health`` to this when a fault is ended.
        is_dead: Whether every request is met by a closed connection.
        forgetful: Messages that will be acknowledged and not kept.
        gate: Faults are granted once it is set.
        calls: Method and path of every request.
    """

    values: dict[str, Any] = field(default_factory=lambda: {"health": "good"})
    grace: float = 3.0
    taken: set[str] = field(default_factory=set)
    undeletable: bool = False
    is_dull: bool = False
    broken_by_rollback: str = ""
    is_dead: bool = False
    forgetful: int = 0
    gate: threading.Event | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    arms: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def active(self) -> list[Fault]:
        now = time.time()
        for fault in self.faults.values():
            if fault.state == "active" and now > fault.expires_at:
                fault.state, fault.reason = "ended", "no heartbeat"
        return [fault for fault in self.faults.values() if fault.state == "active"]

    def paths(self, method: str) -> list[str]:
        return [path for used, path in self.calls if used == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "TargetServer"

    def log_message(self, format: str, *args: object) -> None:
        return

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        kind = "text/plain" if isinstance(body, str) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _problem(self, status: int, code: str, text: str) -> None:
        self._answer(status, {"code": code, "detail": text, "status": status})

    def _body(self) -> Any:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(content) if content else None
        except ValueError:
            return content.decode()

    def _route(self, method: str) -> None:
        state, parts = self.server.state, urlsplit(self.path)
        if state.is_dead:
            self.close_connection = True
            return
        body = self._body()
        with state.lock:
            state.calls.append((method, self.path))
            if body is not None:
                state.bodies.append(body)
        with state.changed:
            state.changed.notify_all()
        if parts.path.startswith(FAULTS):
            if (method, parts.path) == ("POST", FAULTS) and state.gate is not None:
                state.gate.wait(30)
            self._faults(method, parts.path[len(FAULTS) :].strip("/").split("/"), body)
        elif parts.path == "/api/v1/control/emergency_stop":
            with state.lock:
                for fault in state.active():
                    fault.state, fault.reason = "ended", "emergency stop"
            self._answer(200, {})
        elif parts.path.startswith("/value/"):
            self._value(method, parts.path.removeprefix("/value/"), body)
        elif parts.path == "/redirect":
            self._answer(302, "", {"Location": parse_qs(parts.query)["to"][0]})
        elif parts.path == "/work":
            self._work(body)
        elif parts.path == "/messages":
            self._answer(200, {"messages": state.messages})
        elif parts.path in ("/health", "/ready"):
            good = state.values["health"] == "good"
            self._answer(200 if good else 503, {"status": "ok" if good else "failing"})
        else:
            self._problem(404, "not_found", f"There is nothing at {self.path}.")

    def _value(self, method: str, name: str, body: Any) -> None:
        values = self.server.state.values
        if method == "POST":
            values[name] = body
        elif method == "DELETE":
            values.pop(name, None)
        self._answer(200, {"value": values.get(name)})

    def _work(self, body: Any) -> None:
        state = self.server.state
        session, label = self.headers.get("X-Session", ""), self.headers.get("X-Iskra-Labels", "")
        status, delay = 200, 0.0
        with state.lock:
            number = len(state.arms)
            state.arms.append((session, label))
            for fault in state.active():
                if fault.body["point"] != "work" or state.is_dull or not fault.meets(session, label):
                    continue
                fault.requested += 1
                if (number * 7919 + fault.body["seed"]) % 1000 >= 1000 * fault.body["strategy"].get("probability", 1.0):
                    continue
                fault.applied += 1
                fault.observed += 1
                if fault.body["kind"] == "error":
                    status = 500
                else:
                    delay = float(fault.body["parameters"].get("seconds", 0.02))
            if status == 200 and isinstance(body, dict) and "id" in body:
                if state.forgetful:
                    state.forgetful -= 1
                else:
                    state.messages.append(body["id"])
        if delay:
            threading.Event().wait(delay)
        self._answer(status, {"done": status == 200, "echo": body})

    def _faults(self, method: str, parts: list[str], body: Any) -> None:
        state = self.server.state
        with state.lock:
            active = state.active()
            if method == "GET":
                self._answer(200, {"faults": [fault.document() for fault in state.faults.values()]})
                return
            if parts == [""]:
                self._grant(body, {fault.body["point"] for fault in active} | state.taken)
                return
            fault = state.faults.get(parts[0])
            if fault is None:
                self._problem(404, "not_found", "There is no such fault.")
            elif method == "POST" and fault not in active:
                self._problem(404, "not_found", "The fault has ended.")
            elif method == "POST":
                fault.expires_at = time.time() + state.grace
                fault.beats += 1
                self._answer(200, fault.document())
            elif state.undeletable:
                self._problem(500, "internal_error", "The fault is stuck.")
            else:
                if fault.state == "active":
                    fault.state = "cleared"
                    state.values["health"] = state.broken_by_rollback or state.values["health"]
                self._answer(200, fault.document())

    def _grant(self, body: Any, taken: set[str]) -> None:
        state = self.server.state
        if body["point"] in taken - self._own_points(body["experiment"]):
            self._problem(409, "conflict", f"The point {body['point']!r} belongs to another experiment.")
        elif body["kind"] not in ("error", "delay"):
            self._problem(422, "bad_input", f"The kind {body['kind']!r} is unknown.")
        else:
            fault = Fault(f"f{len(state.faults) + 1}", body, time.time() + body["ttl"])
            state.faults[fault.id] = fault
            self._answer(201, fault.document())

    def _own_points(self, experiment: str) -> set[str]:
        faults = self.server.state.faults.values()
        return {fault.body["point"] for fault in faults if fault.body["experiment"] == experiment}

    def do_GET(self) -> None:
        self._route("GET")

    def do_POST(self) -> None:
        self._route("POST")

    def do_DELETE(self) -> None:
        self._route("DELETE")


class TargetServer(ThreadingHTTPServer):
    """The server; ``state`` is shared with the test."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = State()
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.host}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave in the middle are part of the tests."""

    def wait_for(self, method: str, path: str, seconds: float = 30.0) -> None:
        """Wait until a request has come."""
        with self.state.changed:
            seen = self.state.changed.wait_for(
                lambda: any(m == method and p.startswith(path) for m, p in self.state.calls), seconds
            )
        assert seen, f"no {method} {path} came; there were {self.state.calls}"

    def wait_for_beats(self, fault: str, least: int, seconds: float = 30.0) -> None:
        """Wait until so many heartbeats of a fault have come."""
        wanted = ("POST", f"{FAULTS}/{fault}/heartbeat")
        with self.state.changed:
            assert self.state.changed.wait_for(lambda: self.state.calls.count(wanted) >= least, seconds)


@contextmanager
def target_server() -> Iterator[TargetServer]:
    """Run a server until the block is left."""
    server = TargetServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
