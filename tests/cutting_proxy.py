"""A TCP proxy that cuts connections: the client's network on a bad day."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes bytes on, and resets the connection after so many bytes of an answer.

    Attributes:
        url: Where clients connect.
        cuts: Connections that were cut.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self._after: list[int] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut_after(self, *sizes: int) -> None:
        """Cut the next connections after so many bytes of their answers, one after the other."""
        self._after.extend(sizes)

    def close(self) -> None:
        """Stop listening; connections that are open end with their peers."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            limit = self._after.pop(0) if self._after else None
            self._start(self._pass, client, server, None)
            self._start(self._pass, server, client, limit)

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(65_536):
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    self.cuts += 1
                    return
                sink.sendall(data)
                passed += len(data)
        except OSError:
            return
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


@contextlib.contextmanager
def cutting_proxy(target: str) -> Iterator[CuttingProxy]:
    """Run a proxy in front of ``target`` until the block is left."""
    proxy = CuttingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
