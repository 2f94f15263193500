"""A model server for tests: speaks OpenAI's streaming protocol, and answers what the test says."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A tool call that the model wants."""

    tool: str
    arguments: dict[str, Any]


Answer = Callable[[Request], Iterator["str | Call"]]
"""Gets the request and yields pieces of text and tool calls; may wait between them."""


@dataclass
class Upstream:
    """A running model server.

    Attributes:
        url: Its base address.
        answer: What it answers; may be replaced between requests.
        requests: What it was asked, oldest first.
        gone: How many clients left before the end of their answer.
    """

    url: str
    answer: Answer
    requests: list[Request] = field(default_factory=list)
    gone: int = 0


@contextlib.contextmanager
def fake_upstream(answer: Answer) -> Iterator[Upstream]:
    """Run a model server until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send_whole({"object": "list", "data": [{"id": "fake", "object": "model"}]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            upstream.requests.append(request)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for delta, finish in _deltas(upstream.answer(request)):
                    self._send_chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
                self._write(b"data: [DONE]\n\n")
                self._write(b"")
            except OSError:
                upstream.gone += 1
                self.close_connection = True

        def _send_chunk(self, chunk: dict[str, Any]) -> None:
            whole = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "fake", **chunk}
            self._write(f"data: {json.dumps(whole)}\n\n".encode())

        def _write(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def _send_whole(self, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that leave."""

    server = Server(("127.0.0.1", 0), Handler)
    upstream = Upstream(f"http://127.0.0.1:{server.server_address[1]}/v1", answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _deltas(pieces: Iterator["str | Call"]) -> Iterator[tuple[dict[str, Any], str | None]]:
    calls = 0
    for piece in pieces:
        if isinstance(piece, str):
            yield {"content": piece}, None
            continue
        function = {"name": piece.tool, "arguments": json.dumps(piece.arguments)}
        yield {"tool_calls": [{"index": calls, "id": f"call_{calls}", "type": "function", "function": function}]}, None
        calls += 1
    yield {}, "tool_calls" if calls else "stop"
