"""A private Redis for tests, which can be killed, started again, and held up."""

import signal
import socket
import subprocess
import threading
from pathlib import Path

from programs import require_program

_PATIENCE = 30.0
_READY = "Ready to accept connections"


class RedisServer:
    """A ``redis-server`` on a port of its own, without files; it runs from :meth:`start` to :meth:`stop`.

    Args:
        folder: Where it runs.
    """

    def __init__(self, folder: Path) -> None:
        self._program = require_program("redis-server", "apt-get install redis-server")
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port: int = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        command = [self._program, *(part for name, value in options.items() for part in (f"--{name}", value))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        is_ready = threading.Event()

        def watch() -> None:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    if _READY in line:
                        is_ready.set()

        self._process, self._reader = process, threading.Thread(target=watch)
        self._reader.start()
        if not is_ready.wait(_PATIENCE):
            self.stop()
            raise AssertionError("Redis did not start")

    def stop(self) -> None:
        """End it at once, as a power cut would; what it held is gone."""
        if self._process is None or self._reader is None:
            return
        self._process.kill()
        self._process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        self._process = self._reader = None

    def hold(self) -> None:
        """Keep it from doing anything: connections are accepted, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on; it answers what has waited."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
