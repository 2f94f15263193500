"""A small real HTTP server that keeps one session log and cuts connections where it is told to."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SESSION = "sess_1"
TURN = "turn_1"


def event(seq: int, event_type: str, turn_id: str | None = TURN, **data: object) -> dict[str, Any]:
    return {
        "id": f"{SESSION}:{seq}",
        "seq": seq,
        "type": event_type,
        "session_id": SESSION,
        "turn_id": turn_id,
        "at": "2026-01-01T00:00:00Z",
        "source": "kernel",
        "severity": "info",
        "correlation_id": "",
        "data": data,
    }


def turn_log(messages: Sequence[Sequence[str]], *, start: int = 1) -> list[dict[str, Any]]:
    """The events of a turn whose answer is these messages, each in these pieces."""
    log = [event(start, "turn.started", turn_id=TURN, model="iskra")]
    seq = start
    for number, pieces in enumerate(messages):
        text = ""
        first = seq + 1
        for piece in pieces:
            seq += 1
            log.append(event(seq, "message.delta", message_id=f"m{number}", offset=len(text), text=piece))
            text += piece
        seq += 1
        log.append(
            event(
                seq,
                "message.completed",
                message_id=f"m{number}",
                role="assistant",
                text=text,
                first_seq=first,
                lengths=[len(piece) for piece in pieces],
            )
        )
    log.append(event(seq + 1, "turn.completed", usage={"total_tokens": 7}))
    return log


def encode(entry: dict[str, Any]) -> bytes:
    return f"id: {entry['seq']}\nevent: {entry['type']}\ndata: {json.dumps(entry, ensure_ascii=False)}\n\n".encode()


class FakeServer:
    """State and behaviour of the server; a test sets the attributes.

    Attributes:
        log: The session's events.
        cuts: For each connection to the stream in turn: after how many bytes it is cut. After the last one, none is.
        refusals: Answers (status, document) given to the next requests for the stream, before any stream.
        failures: Answers (status, document, headers) given to the next other requests.
        lost_answers: How many of the next POSTs are carried out and then not answered.
    """

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.cuts: list[int] = []
        self.refusals: list[tuple[int, dict[str, Any] | None]] = []
        self.failures: list[tuple[int, dict[str, Any] | None, dict[str, str]]] = []
        self.lost_answers = 0
        self.turns: dict[str, dict[str, Any]] = {}
        self.approvals: dict[str, dict[str, Any]] = {}
        self.decisions: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[str] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.resumed_from: list[int] = []
        self.stream_type = "text/event-stream"
        self.first_seq = 0
        self.changed = threading.Condition()
        self.is_closing = False
        self.url = ""

    def add(self, *entries: dict[str, Any]) -> None:
        with self.changed:
            self.log.extend(entries)
            self.changed.notify_all()

    def after_number(self, number: int) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["seq"] > number]

    def wait_for_more(self, number: int) -> list[dict[str, Any]]:
        with self.changed:
            self.changed.wait_for(lambda: self.is_closing or self.after_number(number), timeout=30)
            return self.after_number(number)

    def turn(self, key: str) -> dict[str, Any]:
        """The turn of a key: a repeated key gives the same one."""
        if key not in self.turns:
            self.turns[key] = {
                "id": TURN if not self.turns else f"turn_{len(self.turns) + 1}",
                "session_id": SESSION,
                "state": "running",
                "first_seq": self.first_seq,
            }
        return self.turns[key]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_HTTPServer"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        fake = self.server.fake
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path = self.path.partition("?")[0]
        fake.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if path.endswith("/events"):
            self._stream()
            return
        if fake.failures:
            status, document, headers = fake.failures.pop(0)
            self._answer(status, document, headers)
            return
        self._answer(*self._result(path, body))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names are inherited

    def _result(self, path: str, body: Any) -> tuple[int, Any]:
        fake = self.server.fake
        parts = path.strip("/").split("/")
        match self.command, parts[2:]:
            case "POST", ["sessions"]:
                return 201, {"id": SESSION, "title": body.get("title", "")}
            case "GET", ["sessions"]:
                return 200, {"data": [{"id": SESSION, "new_field": 1}]}
            case "DELETE", ["sessions", _]:
                return 204, None
            case "POST", ["sessions", _, "turns"]:
                turn = fake.turn(self.headers["Idempotency-Key"])
                if fake.lost_answers:
                    fake.lost_answers -= 1
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return 0, None
                return 202, turn
            case "POST", ["sessions", _, "answer"]:
                fake.answers.append(body["text"])
                return 200, next(iter(fake.turns.values()))
            case "POST", ["turns", _, "cancel"]:
                return 200, {**next(iter(fake.turns.values())), "state": "cancelled"}
            case "GET", ["turns", turn_id]:
                return 200, next(turn for turn in fake.turns.values() if turn["id"] == turn_id)
            case "GET", ["approvals", approval_id]:
                return 200, fake.approvals[approval_id]
            case "POST", ["approvals", approval_id, "decision"]:
                fake.decisions.append((approval_id, body))
                if fake.approvals[approval_id]["state"] != "open":
                    return 409, {"code": "approval_closed", "detail": "It was decided before.", "status": 409}
                fake.approvals[approval_id]["state"] = "approved" if body["decision"] == "approve" else "denied"
                return 200, fake.approvals[approval_id]
            case _:
                return 404, {"code": "not_found", "detail": f"There is no {path}.", "status": 404}

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        if not status:
            return
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        fake = self.server.fake
        if fake.refusals:
            self._answer(*fake.refusals.pop(0))
            return
        position = int(self.headers.get("Last-Event-ID") or 0)
        fake.resumed_from.append(position)
        budget = fake.cuts.pop(0) if fake.cuts else None
        self.send_response(200)
        self.send_header("Content-Type", fake.stream_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while True:
            entries = fake.wait_for_more(position)
            if fake.is_closing and not entries:
                return
            for entry in entries:
                position = entry["seq"]
                data = encode(entry)
                if budget is not None:
                    data, rest = data[:budget], len(data) - budget
                    budget -= len(data)
                    if rest > 0:
                        self._chunk(data)
                        self.connection.shutdown(2)
                        return
                if not self._chunk(data) or entry["type"] == "server.stopping":
                    return

    def _chunk(self, data: bytes) -> bool:
        try:
            if data:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        except OSError:
            return False
        return True


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the test."""


@contextmanager
def running() -> Iterator[FakeServer]:
    fake = FakeServer()
    with _HTTPServer(fake) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield fake
        finally:
            with fake.changed:
                fake.is_closing = True
                fake.changed.notify_all()
            server.shutdown()
            thread.join()
