"""A real server in a process of its own, and real terminals to talk to it."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LISTENING = re.compile(r"Iskra listens on (http://\S+)")
_PATIENCE = 60.0  # seconds; a deadline, not a wait


@dataclass(frozen=True)
class RunningServer:
    process: "subprocess.Popen[str]"
    url: str
    data_dir: Path
    workspace: Path
    environment: Mapping[str, str]

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        self.process.kill()
        self.process.wait()

    @property
    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    def iskra(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run the program in a process of its own, its input not a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "iskra", *arguments],
            env=dict(self.environment),
            cwd=self.workspace,
            input=text,
            capture_output=True,
            encoding="utf-8",
            timeout=_PATIENCE,
            check=False,
        )

    def terminal(self, *arguments: str) -> "contextlib.AbstractContextManager[Terminal]":
        return terminal([sys.executable, "-m", "iskra", *arguments], self.environment, self.workspace)


@contextlib.contextmanager
def running_iskra(folder: Path, port: int = 0, settings: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """Run ``iskra serve`` until the block is left, then stop it and look at its exit status; 0 takes a free port.

    ``settings`` are environment variables, e.g. ``ISKRA_MODEL_URL``.
    """
    data_dir, workspace = folder / "data", folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISKRA_")}
    environment |= {"ISKRA_DATA_DIR": str(data_dir), "TERM": "dumb", "PYTHONUNBUFFERED": "1", **(settings or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "iskra", "serve", "--port", str(port), "--workspace", str(workspace)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert process.stdout is not None
    lines: list[str] = []
    listening = threading.Event()

    def read(stream: Iterator[str]) -> None:
        for line in stream:
            lines.append(line)
            if _LISTENING.search(line):
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, args=(process.stdout,))
    reader.start()
    try:
        listening.wait(_PATIENCE)
        found = _LISTENING.search("".join(lines))
        assert found is not None, "".join(lines)
        yield RunningServer(process, found[1], data_dir, workspace, {**environment, "ISKRA_URL": found[1]})
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(_PATIENCE) == 0, "".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()


class Terminal:
    """A program that runs in a terminal of its own."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.output = ""
        self._descriptor = descriptor
        self._raw = b""
        self._position = 0

    def expect(self, text: str) -> str:
        """Read until ``text`` appears behind what was expected before, and return what came up to it."""
        deadline = time.monotonic() + _PATIENCE
        while (found := self.output.find(text, self._position)) < 0:
            left = max(0.0, deadline - time.monotonic())
            assert self._read(left), f"{text!r} did not come; the terminal shows:\n{self.output}"
        before = self.output[self._position : found]
        self._position = found + len(text)
        return before

    def send(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit status."""
        while self._read(_PATIENCE):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        try:
            piece = os.read(self._descriptor, 65_536) if ready else b""
        except OSError:  # Linux tells the end of a terminal so
            piece = b""
        self._raw += piece
        self.output = self._raw.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)


@contextlib.contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[Terminal]:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        # The terminal must be the controlling one, or Ctrl-C reaches nobody.
        preexec_fn=_take_terminal,
    )
    os.close(follower)
    opened = Terminal(process.pid, leader)
    try:
        yield opened
    finally:
        if opened.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(leader)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background inherits that it is ignored
