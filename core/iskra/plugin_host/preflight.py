"""Tries a plugin out in another process before it is let into the server."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from iskra.plugin_host.discovery import PluginSource
from iskra_sdk.errors import PluginLoadError

_MODULE = "iskra.plugin_host.preflight_child"
_PATIENCE = 15.0  # seconds on top of the plugin's own time, for a process that has to start first


class Preflight:
    """Imports plugins and calls their hooks in a child process with limits on time, memory and files.

    The process is started when it is first needed, kept for the next plugins, and ends by itself when idle.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self.is_available = hasattr(os, "fork")

    async def check(self, source: PluginSource, settings: Sequence[Mapping[str, object]], seconds: float) -> None:
        """Raise unless the plugin can be imported without harm.

        Raises:
            PluginLoadError: Its import raises, ends or crashes the process, or takes too long or too much memory.
        """
        if not self.is_available or source.manifest is None:
            return
        job = orjson.dumps(
            {
                "source": {
                    "manifest": source.manifest.model_dump(mode="json"),
                    "kind": source.kind,
                    "path": str(source.path),
                    "module": source.module,
                    "attribute": source.attribute,
                    "prefix": source.prefix,
                },
                "settings": [dict(layer) for layer in settings],
                "path": sys.path,
                "seconds": seconds,
            },
            default=str,
        )
        async with self._lock:
            answer = await self._ask(job, seconds)
        outcome = answer.get("outcome")
        if outcome in ("ok", "hook"):
            return
        reasons = {
            "raised": str(answer.get("text", "")),
            "died": f"{answer.get('text')} when it was tried out.",
            "timeout": f"its import or a hook did not end within {seconds:g} s when it was tried out.",
        }
        raise PluginLoadError(
            source.name,
            reasons.get(str(outcome), "the process it was tried out in broke down."),
            mend=str(answer.get("mend") or "Mend the plugin and save it; it is loaded again by itself."),
        )

    async def close(self) -> None:
        """End the process."""
        async with self._lock:
            await self._stop()

    async def _ask(self, job: bytes, seconds: float) -> dict[str, Any]:
        for _ in range(2):  # it may just have ended because it was idle
            process = await self._running()
            if process.stdin is None or process.stdout is None:
                break
            try:
                async with asyncio.timeout(seconds + _PATIENCE):
                    process.stdin.write(job + b"\n")
                    await process.stdin.drain()
                    line = await process.stdout.readline()
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                line = b""
            except BaseException:
                await self._stop()  # an answer that comes late must not meet the next question
                raise
            if line.endswith(b"\n"):
                answer: dict[str, Any] = orjson.loads(line)
                return answer
            await self._stop()
        return {"outcome": "broken"}

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the current folder
            "-m",
            _MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            limit=1_000_000,
        )
        return self._process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
