"""Raises an exception in another thread, but never where that would leave a lock of the whole process taken.

An exception that arrives from outside can hit the moment between taking a lock and the ``try`` that releases it. For a
lock of the plugin's own that is the plugin's loss. The locks of the import system, of logging and of threading belong
to everybody: one of these left behind, and no thread can import, log or wait any more.
"""

import ctypes
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_LOCKED_PLACES = ("<frozen importlib", logging.__file__, threading.__file__)
"""Beginnings of the files whose code is never interrupted."""
_LOOK = 0.01  # seconds between two looks at a thread in such a place
_PATIENCE = 60.0  # seconds after which it is left alone


def may_interrupt(frame: FrameType | None) -> bool:
    """Return whether an exception may be raised in what a thread runs, given its innermost frame."""
    return frame is None or not frame.f_code.co_filename.startswith(_LOCKED_PLACES)


def interrupt(
    thread: threading.Thread,
    error: type[BaseException] = SystemExit,
    *,
    wanted: Callable[[FrameType | None], bool] = lambda _frame: True,
) -> None:
    """Have ``error`` raised in a thread at its next instruction that may be interrupted.

    It does not wait for that. A thread that is held up in C code hears it when it comes back.

    Args:
        thread: Which one; nothing happens if it has ended.
        error: What is raised.
        wanted: Told the innermost frame; once it returns false, the thread is left alone.
    """
    threading.Thread(target=_interrupt, args=(thread, error, wanted), name="interruption", daemon=True).start()


def _interrupt(
    thread: threading.Thread, error: type[BaseException], wanted: Callable[[FrameType | None], bool]
) -> None:
    exception: Any = ctypes.py_object(error)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        # Who has just been given the interpreter keeps it for the switch interval (5 ms): after the sleep nothing else
        # runs between the look at the thread and the request.
        time.sleep(_LOOK)
        if thread.ident is None or not thread.is_alive():
            return
        frame = sys._current_frames().get(thread.ident)
        if not wanted(frame):
            return
        if may_interrupt(frame):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), exception)
            return
