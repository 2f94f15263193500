"""Runs one command and ends everything that it started.

A program of its own, started by ``command_tool.py`` as ``python -I -S command_supervisor.py``; it imports the standard
library only. It reads one JSON object from its input, starts the command, keeps the beginning and the end of what the
command writes, and answers with JSON lines. When its input ends, because the call was cancelled or the server is gone,
it stops the command.

On Linux it makes itself the reaper of orphans (``PR_SET_CHILD_SUBREAPER``): whatever the command starts stays below
this process, in new sessions and as daemons too, so it can be found and killed. Elsewhere only the command's process
group is killed.
"""

import base64
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_SET_REAPER = 36  # PR_SET_CHILD_SUBREAPER
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_BLOCK = 1 << 16
_PROGRESS_EVERY = 1.0  # seconds
_LOOK_EVERY = 0.05  # seconds one wait may take, so that a deadline is seen
_COUNT_EVERY = 0.2  # seconds between counts of the processes
_KILL_FOR = 5.0  # seconds that killing what is left may take
_IS_LINUX = sys.platform == "linux"


class Tail:
    """Keeps the beginning and the end of a stream of any length.

    Args:
        most: Bytes kept in all.
    """

    def __init__(self, most: int) -> None:
        self._head_size = most // 2
        self._tail_size = most - self._head_size
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, block: bytes) -> None:
        """Take in what comes next."""
        self.total += len(block)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        self._tail += block
        if len(self._tail) > self._tail_size:
            del self._tail[: len(self._tail) - self._tail_size]

    @property
    def left_out(self) -> int:
        """Bytes between beginning and end that were dropped."""
        return self.total - len(self._head) - len(self._tail)

    @property
    def parts(self) -> tuple[bytes, bytes]:
        """The beginning and the end."""
        return bytes(self._head), bytes(self._tail)

    @property
    def last_line(self) -> bytes:
        """The last line that is not blank, cut."""
        lines = (self._tail[-2000:] or self._head[-2000:]).split(b"\n")
        return next((bytes(line[-200:]) for line in reversed(lines) if line.strip()), b"")


def children_of(process: int) -> dict[int, int]:
    """Return the living descendants of a process and their parents."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only, and pathlib is not needed here
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            parents[int(name)] = int(fields[1])
    return {child: parent for child, parent in parents.items() if _is_below(child, process, parents)}


def _is_below(child: int, process: int, parents: dict[int, int]) -> bool:
    seen = set()
    while child in parents and child not in seen:
        seen.add(child)
        child = parents[child]
        if child == process:
            return True
    return False


class Supervisor:
    """One command under supervision."""

    def __init__(self, order: dict, answers: int) -> None:  # type: ignore[type-arg]  # JSON
        self._order = order
        self._answers = answers
        self._output = Tail(order["output_bytes"])
        self._process = 0
        self._status: int | None = None
        self._reason = ""
        self._pipe = -1
        self._ended = -1  # becomes readable when the command ends, where the system offers that

    def run(self) -> None:
        """Run the command to its end and say how it went."""
        started = time.monotonic()
        error = self._start()
        if error is not None:
            self._answer({"error": error[0], "errno": error[1]})
            return
        self._watch(started)
        left_over = self._end_everything()
        self._drain()
        head, tail = self._output.parts
        self._answer(
            {
                "status": self._status,
                "reason": self._reason,
                "seconds": time.monotonic() - started,
                "left_over": left_over,
                "head": base64.b64encode(head).decode(),
                "tail": base64.b64encode(tail).decode(),
                "left_out": self._output.left_out,
                "bytes": self._output.total,
            }
        )

    def _start(self) -> tuple[str, int] | None:
        """Start the command; return what failed, if something did."""
        output, self._write_end = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        failed, failing = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                self._become_command()
            except OSError as exc:
                os.write(failing, f"{exc.errno or 0} {exc.strerror}".encode())
            finally:
                os._exit(127)
        os.close(failing)
        os.close(self._write_end)
        self._pipe = output
        os.set_blocking(output, False)
        said = os.read(failed, 1000).decode(errors="replace")
        os.close(failed)
        if not said:
            if _IS_LINUX:
                self._ended = os.pidfd_open(self._process)
            return None
        os.waitpid(self._process, 0)
        number, _, text = said.partition(" ")
        return text, int(number)

    def _become_command(self) -> None:
        os.setsid()
        if _IS_LINUX:
            _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
                file.write("500")  # when memory runs out, rather this process than the server
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            self._limit_processes()
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        # Everything else that this process has open closes on exec by itself.
        os.dup2(null, 0)
        os.dup2(self._write_end, 1)
        os.dup2(self._write_end, 2)
        os.execve(self._order["program"], self._order["argv"], self._order["environment"])  # noqa: S606 - no shell, on purpose

    def _limit_processes(self) -> None:
        """Bound what a fork bomb can do before it is noticed. The limit counts all processes of the user; it does not
        bind root."""
        own = sum(1 for name in os.listdir("/proc") if name.isdigit() and _owner(name) == os.getuid())  # noqa: PTH208
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        wanted = 4 * (own + self._order["processes"])  # threads count too, so leave room
        if hard == resource.RLIM_INFINITY or wanted < hard:
            resource.setrlimit(resource.RLIMIT_NPROC, (wanted, wanted))

    def _watch(self, started: float) -> None:
        deadline = started + self._order["seconds"]
        next_look, next_progress = started + _COUNT_EVERY, started + _PROGRESS_EVERY
        said = 0
        is_open = True
        while self._status is None and not self._reason:
            now = time.monotonic()
            wait = min(_LOOK_EVERY, max(deadline - now, 0.0))
            watched = [0, *([self._pipe] if is_open else []), *([self._ended] if self._ended >= 0 else [])]
            ready, _, _ = select.select(watched, [], [], wait)
            if 0 in ready and not os.read(0, _BLOCK):
                self._reason = "cancelled"
            if self._pipe in ready:
                is_open = self._read()
            self._reap()
            now = time.monotonic()
            if now >= deadline:
                self._reason = "timeout"
            elif self._output.total > self._order["output_limit"]:
                self._reason = "output"
            elif now >= next_look:
                next_look = now + _COUNT_EVERY
                if _IS_LINUX and len(children_of(os.getpid())) > self._order["processes"]:
                    self._reason = "processes"
            if now >= next_progress and self._output.total > said:
                next_progress, said = now + _PROGRESS_EVERY, self._output.total
                self._answer({"progress": self._output.last_line.decode(errors="replace")})
        if self._status is not None:
            self._reason = ""  # it ended by itself after all

    def _read(self) -> bool:
        """Take in one block; return whether more may come."""
        try:
            block = os.read(self._pipe, _BLOCK)
        except BlockingIOError:
            return True
        self._output.add(block)
        return bool(block)

    def _drain(self) -> None:
        """Take in what is left in the pipe. Everybody who could write is dead, so this ends."""
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._pipe, _BLOCK):
                self._output.add(block)
                if self._output.total > 2 * self._order["output_limit"]:
                    return

    def _reap(self) -> bool:
        """Bury dead children, adopted ones too; return whether any are left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == self._process:
                self._status = os.waitstatus_to_exitcode(status)

    def _end_everything(self) -> int:
        """Stop what still runs: politely if the command itself does, at once if it only left others behind.

        Returns the number of processes that were still there.
        """
        left_over = len(children_of(os.getpid())) if _IS_LINUX else 0
        if self._status is None:
            self._signal_all(signal.SIGTERM)
            end = time.monotonic() + _GRACE
            while self._reap() and time.monotonic() < end:
                select.select([], [], [], 0.01)
                with contextlib.suppress(BlockingIOError):
                    self._read()  # a full pipe must not keep the command from ending
        end = time.monotonic() + _KILL_FOR
        while self._reap() and time.monotonic() < end:
            # Again and again: a process may have forked between the look and the signal.
            self._signal_all(signal.SIGKILL)
            select.select([], [], [], 0.005)
        return left_over

    def _signal_all(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process, number)
        if not _IS_LINUX:
            return
        for process in children_of(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)

    def _answer(self, answer: dict[str, object]) -> None:
        data = json.dumps(answer).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # the server is gone; the command still has to be ended
            while data:
                data = data[os.write(self._answers, data) :]


def _owner(name: str) -> int:
    try:
        return os.stat(f"/proc/{name}").st_uid  # noqa: PTH116 - pathlib is not needed here
    except OSError:
        return -1


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Read the order, run it."""
    order = b""
    while not order.endswith(b"\n"):
        block = os.read(0, _BLOCK)
        if not block:
            return
        order += block
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the server ends it by closing its input
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if _IS_LINUX:
        _prctl(_SET_REAPER, 1)
    Supervisor(json.loads(order), answers=os.dup(1)).run()


if __name__ == "__main__":
    main()
