"""Finds what an old generation left behind: tasks, threads, open files, listening sockets, child processes."""

import asyncio
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from iskra.thread_interruption import interrupt

_MOST_OBJECTS = 20_000
_CONTAINERS = (list, tuple, set, frozenset)


def reachable(modules: Mapping[str, ModuleType]) -> Iterator[object]:
    """Yield objects a plugin's modules hold: in globals, in containers, in its own objects and closures."""
    names = frozenset(modules)
    seen: set[int] = set()
    waiting: list[object] = [value for module in modules.values() for value in list(vars(module).values())]
    while waiting and len(seen) < _MOST_OBJECTS:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, ModuleType):
            continue
        seen.add(id(value))
        yield value
        waiting.extend(_inside(value, names))


def _inside(value: object, modules: frozenset[str]) -> Iterable[object]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, _CONTAINERS):
        return list(value)
    if isinstance(value, MethodType):
        return (value.__self__, value.__func__)
    if isinstance(value, FunctionType):
        if value.__module__ not in modules:
            return ()
        return [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    owner = value if isinstance(value, type) else type(value)
    if getattr(owner, "__module__", None) in modules:
        return list(getattr(value, "__dict__", {}).values())
    return ()


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def close_handles(modules: Mapping[str, ModuleType]) -> list[str]:
    """Close the files, sockets and programs a plugin's modules still hold; return their names."""
    closed: list[str] = []
    for value in reachable(modules):
        try:
            if isinstance(value, io.IOBase) and not value.closed and _owns_descriptor(value):
                closed.append(f"file {getattr(value, 'name', '?')}")
                value.close()
            elif isinstance(value, socket.socket) and value.fileno() >= 0:
                closed.append(f"socket {value.fileno()}")
                value.close()
            elif isinstance(value, subprocess.Popen) and value.poll() is None:
                closed.append(f"process {value.pid}")
                value.kill()
            elif isinstance(value, ThreadPoolExecutor):
                value.shutdown(wait=False, cancel_futures=True)
        except Exception as exc:  # a plugin's own subclass may do anything
            closed.append(f"{type(value).__name__}, which could not be closed: {type(exc).__name__}")
    return closed


def _owns_descriptor(file: io.IOBase) -> bool:
    try:
        return file.fileno() > 2  # not the standard streams
    except (OSError, ValueError):
        return False  # in memory only


def stop_threads(modules: Mapping[str, ModuleType]) -> list[threading.Thread]:
    """Interrupt live threads that run a plugin's code, or that its modules hold, and return them.

    A worker of somebody else's pool is interrupted only as long as it runs the plugin's code.
    """
    namespaces = {id(vars(module)) for module in modules.values()}
    own: set[int] = set()
    for value in reachable(modules):
        if isinstance(value, threading.Thread):
            own.add(id(value))
        elif isinstance(value, ThreadPoolExecutor):
            own.update(id(thread) for thread in value._threads)
    frames = sys._current_frames()
    runs = partial(_runs, namespaces=namespaces)
    stopped = []
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread is threading.main_thread():
            continue
        if id(thread) in own or _target_namespace(thread) in namespaces:
            interrupt(thread)
        elif runs(frames.get(thread.ident or 0)):
            interrupt(thread, wanted=runs)
        else:
            continue
        stopped.append(thread)
    return stopped


def _target_namespace(thread: threading.Thread) -> int:
    target = getattr(thread, "_target", None)
    if isinstance(target, MethodType):
        target = target.__func__
    return id(getattr(target, "__globals__", None))


def _runs(frame: FrameType | None, namespaces: set[int]) -> bool:
    while frame is not None:
        if id(frame.f_globals) in namespaces:
            return True
        frame = frame.f_back
    return False


def stop_timers(loop: asyncio.AbstractEventLoop, modules: Mapping[str, ModuleType]) -> list[str]:
    """Cancel the loop's timers that call a plugin's functions; loops written in C do not show theirs."""
    namespaces = {id(vars(module)) for module in modules.values()}
    stopped = []
    for handle in list(getattr(loop, "_scheduled", ())):
        callback = getattr(handle, "_callback", None)
        if isinstance(callback, MethodType):
            callback = callback.__func__
        if id(getattr(callback, "__globals__", None)) in namespaces and not handle.cancelled():
            handle.cancel()
            stopped.append(f"timer {getattr(callback, '__qualname__', '?')}")
    return stopped


def open_files() -> dict[int, str]:
    """Return descriptor → path of the regular files and devices this process has open."""
    opened: dict[int, str] = {}
    try:
        descriptors = os.listdir("/proc/self/fd")  # noqa: PTH208 - plain numbers, not paths
    except OSError:
        return opened
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        except OSError:
            continue
        if target.startswith("/") and not target.startswith("/proc/"):
            opened[int(descriptor)] = target
    return opened
