"""Programs that an experiment starts; none of them outlives its time."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any

from iskra_chaos.experiments.errors import ActivityError

MAX_OUTPUT = 262_144
"""Bytes kept of each output; the rest is read and dropped, so that the program does not wait for a reader."""

_LAST_WORDS = 2.0  # seconds that a killed program's pipes may stay open, held by a child that left the group


async def run_program(path: str, arguments: Any, timeout: float) -> dict[str, Any]:
    """Run a program to its end and return ``{"status", "stdout", "stderr"}``.

    The program leads a process group of its own. When the time is over, or the caller is cancelled, the whole group
    is killed.

    Args:
        path: The program, looked up on ``PATH``.
        arguments: A list; a mapping, whose names and values follow each other; or a text for the shell, as in the
            Chaos Toolkit.
        timeout: Seconds.

    Raises:
        ActivityError: There is no such program, or it took too long.
    """
    program = shutil.which(os.path.expanduser(path))  # noqa: PTH111, ASYNC240 - reads no file
    if program is None:
        raise ActivityError(f"There is no program {path!r}.")
    process = await _started(program, arguments)
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr, _ = await asyncio.gather(_read(process.stdout), _read(process.stderr), process.wait())
    except TimeoutError as exc:
        raise ActivityError(f"{path!r} took longer than {timeout:g} s and was killed.") from exc
    finally:
        await _end(process)
    return {"status": process.returncode, "stdout": stdout, "stderr": stderr}


async def _started(program: str, arguments: Any) -> asyncio.subprocess.Process:
    pipes: dict[str, Any] = {
        "stdin": asyncio.subprocess.DEVNULL,
        "stdout": asyncio.subprocess.PIPE,
        "stderr": asyncio.subprocess.PIPE,
        "start_new_session": True,
    }
    if isinstance(arguments, str):
        return await asyncio.create_subprocess_shell(f"{program} {arguments}", **pipes)
    if isinstance(arguments, Mapping):
        arguments = [part for pair in arguments.items() for part in pair]
    words = [str(word) for word in arguments or () if word not in (None, "")]
    return await asyncio.create_subprocess_exec(program, *words, **pipes)


async def _read(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (piece := await stream.read(65_536)):
        kept += piece[: MAX_OUTPUT - len(kept)]
    return kept.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    # Children that the program left behind are in its group too.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            await process.wait()
