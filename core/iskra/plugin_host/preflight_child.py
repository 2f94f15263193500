"""Tries plugins out: a small process that forks a child per plugin, imports it there and calls its hooks.

Run as ``python -m iskra.plugin_host.preflight_child``; reads a JSON document a line from its standard input, writes one
a line to its standard output, and ends when its input does or when there was nothing to do for a while.
"""

import contextlib
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pydantic_core import to_json

from iskra.plugin_host.contributions import Hooks, describe_failure
from iskra.plugin_host.discovery import PluginSource, SourceKind
from iskra.plugin_host.importing import import_plugin
from iskra_sdk.errors import PluginError
from iskra_sdk.manifest import PluginManifest
from iskra_sdk.plugin_context import PluginContext

IDLE_SECONDS = 60.0
MEMORY = 1_536 * 1024 * 1024  # bytes a plugin may claim on top of what the process has when it begins
_FILE_SIZE = 256 * 1024 * 1024
_OPEN_FILES = 256
_PR_SET_PDEATHSIG = 1

# Bound before any plugin runs: it may replace what it finds in the standard library.
_encode, _write, _exit = to_json, os.write, os._exit


class StandIn:
    """Stands in for every facility of the kernel: takes any call and returns another stand-in."""

    def __getattr__(self, name: str) -> "StandIn":
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn()

    def __call__(self, *args: object, **kwargs: object) -> "StandIn":
        return StandIn()

    def __iter__(self) -> Iterator[object]:
        return iter(())


def main() -> None:
    """Serve until the input ends."""
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], IDLE_SECONDS)
        if not ready:
            return
        piece = os.read(0, 65_536)
        if not piece:
            return
        buffer += piece
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            answer = try_out(json.loads(line))
            os.write(1, json.dumps(answer).encode() + b"\n")


def try_out(job: dict[str, Any]) -> dict[str, Any]:
    """Fork, run the job in the child, and say how it went.

    Returns:
        ``outcome``: ``ok``, ``raised`` (with ``text``), ``hook`` (it raised, or the hooks do not fit), ``died`` (with
        ``text``) or ``timeout``.
    """
    folder = tempfile.mkdtemp(prefix="iskra-try-")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(job, writing, Path(folder))
    os.close(writing)
    try:
        answer = _read_answer(reading, float(job["seconds"]))
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        shutil.rmtree(folder, ignore_errors=True)
    if answer is not None:
        return answer
    if os.WIFEXITED(status):
        return {"outcome": "died", "text": f"it ended the process with status {os.WEXITSTATUS(status)}"}
    number = os.WTERMSIG(status)
    if number == signal.SIGKILL:
        return {"outcome": "timeout"}
    return {"outcome": "died", "text": f"it crashed the process ({signal.Signals(number).name})"}


def _read_answer(descriptor: int, seconds: float) -> dict[str, Any] | None:
    deadline = time.monotonic() + seconds
    received = b""
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return {"outcome": "timeout"}
        piece = os.read(descriptor, 65_536)
        if not piece:
            return None
        received += piece
    return cast("dict[str, Any]", json.loads(received))


def _child(job: dict[str, Any], writing: int, folder: Path) -> None:
    """Run one job and end the process; nothing of it returns to the caller."""
    try:
        os.setsid()
        _die_with_parent()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.chdir(folder)
        sys.path[:] = job["path"]
        sys.dont_write_bytecode = True
        _limit(float(job["seconds"]))
        before = _process_wide()
        answer = _run(job, folder)
        changed = [name for name, value in _process_wide().items() if value != before[name]]
        if changed and answer["outcome"] != "raised":
            answer = {
                "outcome": "raised",
                "text": f"it changes {' and '.join(changed)}, which the whole server depends on.",
            }
    except BaseException as exc:
        answer = {"outcome": "raised", "text": type(exc).__name__}
    _write(writing, _encode(answer) + b"\n")
    _exit(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(seconds: float) -> None:
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
    _lower(resource.RLIMIT_CPU, int(seconds) + 2)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _FILE_SIZE)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (most, most))


def _process_wide() -> dict[str, object]:
    """Return what a plugin could change for the whole process with no way back."""
    mask = os.umask(0o077)
    os.umask(mask)
    limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {
        "the standard input, output or error": [_identity(descriptor) for descriptor in (0, 1, 2)],
        "the limits of the process": {name: resource.getrlimit(number) for name, number in limits.items()},
        "the umask": mask,
        "the garbage collector": gc.isenabled(),
    }


def _identity(descriptor: int) -> object:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _run(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    given = job["source"]
    manifest = PluginManifest.model_validate(given["manifest"])
    path = Path(given["path"])
    source = PluginSource(
        manifest.name,
        SourceKind(given["kind"]),
        path,
        manifest,
        module=given["module"],
        attribute=given["attribute"],
        prefix=given["prefix"],
    )
    try:
        imported = import_plugin(source)
        hooks = Hooks(imported.plugin, manifest)
        settings = hooks.settings([manifest.defaults, *job["settings"]])
    except PluginError:
        return {"outcome": "hook"}  # harmless, and better told by the real load
    except BaseException as exc:
        text = describe_failure(exc, lambda file: file.startswith(str(path)))
        hint = f"A plugin may claim {MEMORY >> 20} MiB while it is loaded." if isinstance(exc, MemoryError) else ""
        return {"outcome": "raised", "text": f"its import failed: {text}.", "mend": hint}
    context = StandIn()
    vars(context).update(
        name=manifest.name, manifest=manifest, settings=settings, data_dir=folder, workspace=folder, services={}
    )
    try:
        hooks.lifespan(cast("PluginContext", context))
        hooks.contributions(cast("PluginContext", context))
    except BaseException:
        # A stand-in is not the kernel: what a hook makes of it says little. The real load decides.
        return {"outcome": "hook"}
    return {"outcome": "ok"}


if __name__ == "__main__":
    main()
