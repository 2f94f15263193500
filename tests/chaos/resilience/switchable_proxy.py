"""A proxy before a server that can be switched off over HTTP, in the manner of Toxiproxy."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cutting_proxy import CuttingProxy


@dataclass
class SwitchableProxy:
    """A running proxy.

    Attributes:
        url: Where clients connect.
        switch: Takes ``{"enabled": false}``.
        refused: Connections that were closed because it was off.
        is_on: Whether connections get through.
        is_stuck: Whether the switch agrees to everything and does nothing.
    """

    url: str = ""
    switch: str = ""
    refused: int = 0
    is_on: bool = True
    is_stuck: bool = False


@contextlib.contextmanager
def switchable_proxy(target: str) -> Iterator[SwitchableProxy]:
    """Run a proxy in front of ``target`` until the block is left."""
    proxy = SwitchableProxy()

    class Switch(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            enabled = bool(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["enabled"])
            proxy.is_on = enabled or proxy.is_stuck
            body = json.dumps({"name": "primary", "enabled": enabled}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    passing = _RefusingProxy(target, proxy)
    switch = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    proxy.url, proxy.switch = passing.url, f"http://127.0.0.1:{switch.server_address[1]}/proxies/primary"
    thread = threading.Thread(target=switch.serve_forever)
    thread.start()
    try:
        yield proxy
    finally:
        switch.shutdown()
        thread.join()
        switch.server_close()
        passing.close()


class _RefusingProxy(CuttingProxy):
    """Closes connections with their first bytes while it is switched off, also those that were open before."""

    def __init__(self, target: str, state: SwitchableProxy) -> None:
        self._state = state
        super().__init__(target)

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        try:
            while data := source.recv(65_536):
                if not self._state.is_on:
                    self._state.refused += 1
                    return
                sink.sendall(data)
        except OSError:
            return
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
