"""Notices plugin code that holds the event loop, names it, and interrupts it.

A thread looks at the clock that the loop winds up. When the loop is late, the frames of its thread tell whose code
runs. On the main thread that code is interrupted by a signal, whose handler looks again at what runs at that very
moment: a kernel function that has come to its turn in between is never hit.

What counts is the time that code takes, and not the time that passes: on a busy machine, code that waits for a
processor is as innocent as it is on an idle one.
"""

import asyncio
import contextlib
import ctypes
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from iskra.thread_interruption import may_interrupt
from iskra_sdk.errors import PluginBlockedLoopError

logger = logging.getLogger(__name__)

_TICK = 0.2  # seconds between two signs of life
_LIMIT = 0.75  # seconds of calculating or of sleeping without one that are too many
_LOOK = 0.1  # seconds between two looks at a loop that is late
_LOOKS = 3
"""Times in a row that one plugin has to be seen: what held the loop before it is not its fault."""
_ASLEEP = 0.02
"""Share of the time up to which a thread that calculates so little is asleep in a blocking call."""
_PATIENT_ATTEMPTS = 2
"""Interruptions by an ordinary error before one that ``except Exception`` does not catch."""

_SIGNAL = getattr(signal, "SIGURG", None)
"""Ignored by every program unless it asks for it, so a stray one does no harm."""

Owner = Callable[[FrameType | None], tuple[str, FrameType] | None]


class LoopHeldInterruptError(BaseException):
    """Interrupts plugin code that swallows ordinary errors."""


@dataclass(frozen=True, slots=True)
class BlockedLoop:
    """A time during which plugin code held the loop.

    Attributes:
        place: File and line of the plugin's innermost frame.
        was_interrupted: Whether the code was interrupted; a call into C code can only be waited for.
    """

    plugin: str
    place: str
    seconds: float
    was_interrupted: bool

    @property
    def facts(self) -> dict[str, object]:
        """The facts for an event."""
        return {"place": self.place, "seconds": round(self.seconds, 3), "interrupted": self.was_interrupted}


class _HeldTime:
    """Measures how long a thread calculates, or sleeps in a blocking call, after a sign of life.

    Args:
        cpu_clock: The thread's own clock; ``None`` where the system has none.
        ticked_at: When it gave the sign.
    """

    def __init__(self, cpu_clock: int | None, ticked_at: float) -> None:
        self.ticked_at = ticked_at
        self._cpu_clock = cpu_clock
        self._began = time.monotonic()
        self._cpu = self._cpu_seconds()

    @property
    def seconds(self) -> float:
        """How long so far; all the time that passed where the system does not tell what a thread calculates."""
        passed, cpu = time.monotonic() - self._began, self._cpu_seconds()
        if cpu is None or self._cpu is None:
            return passed
        calculated = cpu - self._cpu
        return passed if calculated < passed * _ASLEEP else calculated

    def _cpu_seconds(self) -> float | None:
        if self._cpu_clock is None:
            return None
        try:
            return time.clock_gettime(self._cpu_clock)
        except OSError:  # the thread has ended
            return None


class LoopGuard:
    """Watches one event loop.

    Args:
        owner: Tells which plugin is responsible for what runs in a frame.
        on_blocked: Called on the loop after plugin code has held it.
        limit: Seconds the loop may stand still because its thread calculates or sleeps.
    """

    def __init__(self, owner: Owner, on_blocked: Callable[[BlockedLoop], None], *, limit: float = _LIMIT) -> None:
        self._owner = owner
        self._on_blocked = on_blocked
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._ticked_at = 0.0
        self._loop_thread = 0
        self._cpu_clock: int | None = None
        self._uses_signal = False
        self._former_handler: Any = None
        self._attempts = 0
        self._culprit: tuple[str, str] | None = None
        self._interrupted = False
        self._seen = ("", 0)  # plugin, looks in a row

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch ``loop``; called on its thread."""
        self._loop = loop
        self._loop_thread = threading.get_ident()
        if hasattr(time, "pthread_getcpuclockid"):
            self._cpu_clock = time.pthread_getcpuclockid(self._loop_thread)
        if _SIGNAL is not None and threading.current_thread() is threading.main_thread():
            self._former_handler = signal.signal(_SIGNAL, self._interrupt)
            signal.siginterrupt(_SIGNAL, False)
            self._uses_signal = True
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="loop guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; called on the loop's thread."""
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._uses_signal and _SIGNAL is not None:
            signal.signal(_SIGNAL, self._former_handler or signal.SIG_DFL)
            self._uses_signal = False

    def _tick(self) -> None:
        now = time.monotonic()
        culprit, self._culprit = self._culprit, None
        if culprit is not None:
            plugin, place = culprit
            blocked = BlockedLoop(plugin, place, now - self._ticked_at, self._interrupted)
            self._interrupted = False
            self._attempts = 0
            try:
                self._on_blocked(blocked)
            except Exception:
                logger.exception("reporting a held event loop failed")
        self._ticked_at = now
        if self._loop is not None and not self._stopped.is_set():
            self._handle = self._loop.call_later(_TICK, self._tick)

    def _watch(self) -> None:
        held = _HeldTime(self._cpu_clock, self._ticked_at)
        while not self._stopped.wait(_LOOK):
            if held.ticked_at != self._ticked_at:
                held = _HeldTime(self._cpu_clock, self._ticked_at)
                self._seen = ("", 0)
                continue
            late = held.seconds
            if late < self._limit - _LOOKS * _LOOK:
                self._seen = ("", 0)
                continue
            found = self._owner(sys._current_frames().get(self._loop_thread))
            if found is None:
                self._seen = ("", 0)
                continue
            plugin, frame = found
            self._seen = (plugin, self._seen[1] + 1 if self._seen[0] == plugin else 1)
            if late < self._limit or self._seen[1] < _LOOKS:
                continue
            if self._culprit is None:
                logger.warning("plugin code holds the event loop", extra={"plugin": plugin, "place": _place(frame)})
            self._culprit = (plugin, _place(frame))
            del frame, found
            if self._uses_signal and _SIGNAL is not None:
                with contextlib.suppress(OSError, ValueError):
                    signal.pthread_kill(self._loop_thread, _SIGNAL)
            else:
                self._interrupt_from_outside()

    def _interrupt(self, _number: int, frame: FrameType | None) -> None:
        """Raise into what runs on the main thread now, if it is a plugin's and the loop is late."""
        if self._culprit is None or time.monotonic() - self._ticked_at < self._limit:
            return
        found = self._owner(frame)
        if found is None or not may_interrupt(frame):
            return
        plugin, innermost = found
        if plugin != self._culprit[0]:
            return
        self._interrupted = True
        self._attempts += 1
        self._seen = ("", 0)
        text = f"its code held the event loop for more than {self._limit:g} s at {_place(innermost)}."
        if self._attempts > _PATIENT_ATTEMPTS:
            raise LoopHeldInterruptError(f"Plugin {plugin!r}: {text}")
        raise PluginBlockedLoopError(
            plugin, text, mend="Await what waits, and put long calculations into `asyncio.to_thread`."
        )

    def _interrupt_from_outside(self) -> None:
        """Raise into the loop's thread where it is not the main one, at its next Python instruction."""
        if not may_interrupt(sys._current_frames().get(self._loop_thread)):
            return  # the next look comes soon
        self._interrupted = True
        exception: Any = ctypes.py_object(LoopHeldInterruptError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._loop_thread), exception)


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"
