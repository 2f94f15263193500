"""What a plugin can change for the whole process: noticed, reported, and put back when it goes."""

import asyncio
import atexit
import builtins
import io
import json
import logging
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import iskra_sdk
import iskra_sdk.agent
import iskra_sdk.errors
from iskra_sdk.tool import Tool

_WATCHED: tuple[Any, ...] = (
    asyncio,
    asyncio.BaseEventLoop,
    asyncio.events,
    asyncio.tasks,
    builtins,
    io,
    json,
    json.JSONDecoder,
    json.JSONEncoder,
    logging,
    logging.Logger,
    os,
    os.path,
    Path,
    random,
    socket,
    socket.socket,
    ssl,
    subprocess,
    subprocess.Popen,
    sys,
    threading,
    threading.Thread,
    time,
    urllib.request,
    iskra_sdk,
    iskra_sdk.agent.Agent,
    iskra_sdk.errors.IskraError,
    Tool,
)
"""Modules and classes whose attributes plugins have been seen to replace."""

_VOLATILE = frozenset(
    {"__warningregistry__", "_", "exc_info", "last_exc", "last_traceback", "last_type", "last_value", "ps1", "ps2"}
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV)
_ABSENT: Any = object()


@dataclass(slots=True)
class Changes:
    """What one plugin changed.

    Attributes:
        attributes: ``(object, name)`` → ``(before, after)``.
        environment: Variable → ``(before, after)``.
        lists: List of the interpreter, e.g. ``sys.path``, and an entry added to it.
        handlers: Log handlers added to loggers.
        settings: Names of process-wide settings → how to put them back.
        atexit_callbacks: Number of exit callbacks registered; they cannot be listed or taken back.
    """

    attributes: dict[tuple[int, str], tuple[Any, Any, Any]] = field(default_factory=dict)
    environment: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    lists: list[tuple[str, Any]] = field(default_factory=list)
    handlers: list[tuple[logging.Logger, logging.Handler]] = field(default_factory=list)
    settings: dict[str, tuple[Any, Any, Callable[[Any], object]]] = field(default_factory=dict)
    atexit_callbacks: int = 0

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Kind → what was changed, for receipts."""
        listed = {
            "monkeypatches": tuple(f"{_name(owner)}.{name}" for (_, name), (owner, _, _) in self.attributes.items()),
            "environment": tuple(self.environment),
            "interpreter": tuple(name for name, _ in self.lists) + tuple(self.settings),
            "log_handlers": tuple(f"{logger.name}: {type(handler).__name__}" for logger, handler in self.handlers),
            "atexit": (f"{self.atexit_callbacks} callbacks",) if self.atexit_callbacks else (),
        }
        return {kind: names for kind, names in listed.items() if names}

    def add(self, later: "Changes") -> None:
        """Take in changes noticed later."""
        for key, (owner, before, after) in later.attributes.items():
            earlier = self.attributes.get(key)
            self.attributes[key] = (owner, earlier[1] if earlier else before, after)
        for variable, (value, new) in later.environment.items():
            self.environment[variable] = (self.environment.get(variable, (value, None))[0], new)
        self.lists += later.lists
        self.handlers += later.handlers
        for name, setting in later.settings.items():
            self.settings.setdefault(name, setting)
        self.atexit_callbacks += later.atexit_callbacks

    def undo(self) -> None:
        """Put everything back that still is as the plugin left it, and forget what is gone from a list by itself.

        The lists belong to all threads: an entry may be the passing one of another's ``warnings.catch_warnings()``.
        """
        for (_, name), (owner, before, after) in self.attributes.items():
            if vars(owner).get(name, _ABSENT) is not after:
                continue  # somebody else changed it since
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        for variable, (value, new) in self.environment.items():
            if os.environ.get(variable) != new:
                continue
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        lists = _lists()
        self.lists = [(name, entry) for name, entry in self.lists if any(other is entry for other in lists[name])]
        for name, entry in self.lists:
            lists[name][:] = [other for other in lists[name] if other is not entry]
        for logger, handler in self.handlers:
            logger.removeHandler(handler)
            handler.close()
        for setting, after, put in self.settings.values():
            if setting != after:
                put(setting)


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of the process at one moment, as far as it is watched."""

    attributes: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, str]
    lists: Mapping[str, tuple[Any, ...]]
    handlers: Mapping[str, tuple[logging.Handler, ...]]
    settings: Mapping[str, Any]
    atexit_callbacks: int

    @classmethod
    def take(cls) -> "ProcessState":
        """Look at the process."""
        return cls(
            attributes=tuple(dict(vars(owner)) for owner in _WATCHED),
            environment=dict(os.environ),
            lists={name: tuple(entries) for name, entries in _lists().items()},
            handlers={logger.name: tuple(logger.handlers) for logger in _loggers()},
            settings={name: read() for name, (read, _) in _settings().items()},
            atexit_callbacks=atexit._ncallbacks(),
        )

    def changes(self, *, by: Callable[[object], bool] | None = None) -> Changes:
        """Return what is different now.

        Args:
            by: Counts only replaced attributes for which this returns true: used when other code ran meanwhile too.
                Without it everything counts.
        """
        found = Changes()
        for owner, before in zip(_WATCHED, self.attributes, strict=True):
            now = vars(owner)
            for name in before.keys() | now.keys():
                old, new = before.get(name, _ABSENT), now.get(name, _ABSENT)
                if old is new or name in _VOLATILE or _is_harmless(old, new) or (by is not None and not by(new)):
                    continue
                found.attributes[id(owner), name] = (owner, old, new)
        if by is not None:
            return found
        environment = dict(os.environ)
        for variable in self.environment.keys() | environment.keys():
            value, new_value = self.environment.get(variable), environment.get(variable)
            if value != new_value:
                found.environment[variable] = (value, new_value)
        for list_name, entries in _lists().items():
            known = {id(entry) for entry in self.lists[list_name]}
            found.lists += [(list_name, entry) for entry in entries if id(entry) not in known]
        for logger in _loggers():
            added = [handler for handler in logger.handlers if handler not in self.handlers.get(logger.name, ())]
            found.handlers += [(logger, handler) for handler in added]
        for setting, (read, put) in _settings().items():
            earlier, present = self.settings[setting], read()
            if earlier != present:
                found.settings[setting] = (earlier, present, put)
        found.atexit_callbacks = max(0, atexit._ncallbacks() - self.atexit_callbacks)
        return found


def _is_harmless(old: object, new: object) -> bool:
    """Tell apart what an import makes visible and what counts from a replaced function.

    An import adds submodules, and modules in C keep what they share with others in a capsule: they stay, so must it.
    """
    if isinstance(new, ModuleType) and (old is _ABSENT or old is None):
        return True
    if old is _ABSENT and type(new).__name__ == "PyCapsule":
        return True
    return isinstance(old, int | float) and isinstance(new, int | float)


def _lists() -> dict[str, list[Any]]:
    return {
        "sys.path": sys.path,
        "sys.meta_path": sys.meta_path,
        "sys.path_hooks": sys.path_hooks,
        "warnings.filters": warnings.filters,  # type: ignore[dict-item]  # typed as a sequence, is a list
    }


def _loggers() -> list[logging.Logger]:
    known = [logger for logger in list(logging.root.manager.loggerDict.values()) if isinstance(logger, logging.Logger)]
    return [logging.root, *known]


def _settings() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    settings: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
        "recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
        "switch interval": (sys.getswitchinterval, sys.setswitchinterval),
        "default socket timeout": (socket.getdefaulttimeout, socket.setdefaulttimeout),
        "working directory": (_working_directory, os.chdir),
    }
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            settings[f"handler of {number.name}"] = (
                lambda number=number: signal.getsignal(number),  # type: ignore[misc]  # the default binds it
                lambda handler, number=number: signal.signal(number, handler),  # type: ignore[misc]
            )
    return settings


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "/"


def _name(owner: object) -> str:
    module = getattr(owner, "__module__", None)
    name = str(getattr(owner, "__qualname__", None) or getattr(owner, "__name__", "?"))
    return f"{module}.{name}" if module else name


def module_of(value: object) -> str:
    """Return the name of the module a function, class or object was defined in."""
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, FunctionType):
        return str(value.__globals__.get("__name__", ""))
    if isinstance(value, type):
        return str(value.__module__)
    return str(getattr(type(value), "__module__", ""))
