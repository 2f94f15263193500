"""Keeps the child process of one model: starts it on first use, stops it when idle, replaces it after a crash."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from iskra_plugins.local.settings import LocalModel, LocalSettings
from iskra_sdk import Clock
from iskra_sdk.errors import (
    LLMError,
    ProviderRateLimitError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StreamInterruptedError,
)

_CHILD = Path(__file__).with_name("model_child.py")
_LONGEST_LINE = 16 << 20
_CANCEL_SECONDS = 0.5  # then a child that does not stop is killed
_END_SECONDS = 2.0
_MOST_CRASHES = 5  # within the time below; one more, and the model counts as failed
_CRASH_WINDOW = 60.0
# Of the server's environment the child gets what libraries and drivers need, and no secrets.
_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "VK_", "GGML_", "LLAMA_", "OMP_")


class ModelState(StrEnum):
    """What a model's process does."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"


class _Child:
    """A running child; one request at a time."""

    def __init__(self, process: asyncio.subprocess.Process, logger: logging.Logger) -> None:
        self.process = process
        self._number = 0
        self.was_killed = False
        self._log = asyncio.create_task(_log_output(process, logger))

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and not self.was_killed

    def send(self, order: Mapping[str, object]) -> None:
        """Write an order; the child always reads, so nothing piles up."""
        if self.process.stdin is not None:
            self.process.stdin.write(orjson.dumps(order) + b"\n")

    async def receive(self) -> dict[str, Any] | None:
        """Return the next answer; ``None`` when the child is gone."""
        if self.process.stdout is None:
            return None
        line = await self.process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def generate(self, arguments: Mapping[str, object]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answers to one request, the last one included; ends early when the child dies."""
        self._number += 1
        number = self._number
        ended = False
        self.send({"id": number, "generate": arguments})
        try:
            while (answer := await self.receive()) is not None:
                if answer.get("id") != number:
                    continue
                ended = "chunk" not in answer
                yield answer
                if ended:
                    return
            ended = True
        finally:
            if not ended:
                await self._cancel(number)

    async def _cancel(self, number: int) -> None:
        """Have the request stopped; a child that does not obey in time is killed."""
        obeyed = False
        try:
            self.send({"cancel": number})
            async with asyncio.timeout(_CANCEL_SECONDS):
                while (answer := await self.receive()) is not None:
                    if answer.get("id") == number and "chunk" not in answer:
                        obeyed = True
                        return
        except TimeoutError:
            pass
        finally:
            if not obeyed:
                self.kill()

    def kill(self) -> None:
        """End it at once; such a death is no crash."""
        self.was_killed = True
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def aclose(self) -> None:
        """End it and wait for its end."""
        self.kill()
        async with asyncio.timeout(_END_SECONDS):
            await self.process.wait()
            await self._log


class ModelProcess:
    """One model, in a child process of its own.

    Args:
        name: Its name in targets and messages.
        model: The file and how to run it.
        settings: Limits.
        clock: Measures idle time and the restart budget.
        logger: Gets what the child prints.
        environment: The server's environment; the child gets a part of it.
    """

    def __init__(
        self,
        name: str,
        model: LocalModel,
        settings: LocalSettings,
        *,
        clock: Clock,
        logger: logging.Logger,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self._model = model
        self._settings = settings
        self._clock = clock
        self._logger = logger
        self._environment = {
            key: value for key, value in environment.items() if key in _VARIABLES or key.startswith(_PREFIXES)
        }
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._child: _Child | None = None
        self._loading: asyncio.Task[_Child] | None = None
        self._crashes: deque[float] = deque()
        self._failure = ""
        self._last_used = clock.monotonic()

    @property
    def state(self) -> ModelState:
        """What it does now."""
        if self._failure:
            return ModelState.FAILED
        if self._loading is not None:
            return ModelState.LOADING
        if self._child is None or not self._child.is_alive:
            return ModelState.UNLOADED
        return ModelState.BUSY if self._turn.locked() else ModelState.READY

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is one."""
        return self._child.process.pid if self._child is not None and self._child.is_alive else None

    @property
    def crashes(self) -> int:
        """How often its process died of late without being told to."""
        return len(self._crashes)

    async def generate(self, arguments: Mapping[str, object]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield ``{"chunk": …}`` and at last ``{"done": usage}``.

        Raises:
            ProviderRateLimitError: Too many calls wait for this model.
            ProviderRejectedError: The model refuses the request.
            ProviderUnavailableError: The model cannot be loaded, or its process died before the first piece.
            StreamInterruptedError: Its process died, or failed, after the first piece.
        """
        if self._waiting > self._settings.queue:
            raise ProviderRateLimitError(
                f"The local model {self.name!r} is busy, and {self._settings.queue} calls wait for it already.",
                mend="Try again later, or raise the setting `queue`.",
                retry_after=5.0,
            )
        self._waiting += 1
        try:
            async with self._turn:
                child = await self._ready_child()
                try:
                    async with aclosing(self._answers(child, arguments)) as answers:
                        async for answer in answers:
                            yield answer
                finally:
                    self._last_used = self._clock.monotonic()
        finally:
            self._waiting -= 1

    async def check(self) -> str:
        """Return a sentence on its health.

        Raises:
            ProviderUnavailableError: It cannot be used.
        """
        if self._failure:
            raise self._unavailable(self._failure)
        if not await asyncio.to_thread(self._model.path.is_file):
            raise self._unavailable(f"there is no file {self._model.path}")
        return f"{self.name}: {self.state}"

    async def unload_when_idle(self) -> None:
        """Watch, without end, and unload the model when nobody has used it for a while."""
        while True:
            idle = self._clock.monotonic() - self._last_used
            await self._clock.sleep(max(self._settings.idle_seconds - idle, 1.0))
            if self._clock.monotonic() - self._last_used >= self._settings.idle_seconds and not self._turn.locked():
                async with self._turn:
                    await self._drop_child()

    async def aclose(self) -> None:
        """End the child, and what loads one."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        await self._drop_child()

    async def _answers(self, child: _Child, arguments: Mapping[str, object]) -> AsyncGenerator[dict[str, Any], None]:
        has_begun = False
        async with aclosing(child.generate(arguments)) as answers:
            async for answer in answers:
                if "error" in answer:
                    raise self._error(answer, has_begun=has_begun)
                has_begun = True
                yield answer
                if "done" in answer:
                    return
        how = await self._bury(child)
        if has_begun:
            raise StreamInterruptedError(f"The process of the local model {self.name!r} {how} while it answered.")
        raise self._unavailable(f"its process {how}")

    def _error(self, answer: Mapping[str, Any], *, has_begun: bool) -> LLMError:
        message = f"The local model {self.name!r} failed: {answer['error']}"
        if has_begun:
            return StreamInterruptedError(message)
        if answer["kind"] == "rejected":
            return ProviderRejectedError(message, upstream_status=400)
        return ProviderUnavailableError(message)

    async def _ready_child(self) -> _Child:
        if self._failure:
            raise self._unavailable(self._failure)
        if self._child is not None:
            if self._child.is_alive:
                return self._child
            await self._bury(self._child)
            if self._failure:
                raise self._unavailable(self._failure)
        if self._loading is None:
            # A task of its own: a caller who gives up must not throw away what took a minute to load.
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._loaded)
        return await asyncio.shield(self._loading)

    def _loaded(self, loading: "asyncio.Task[_Child]") -> None:
        self._loading = None
        self._last_used = self._clock.monotonic()
        if not loading.cancelled() and loading.exception() is None:
            self._child = loading.result()

    async def _load(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(_CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        child = _Child(process, self._logger)
        is_ready = False
        try:
            child.send(self._model.model_dump(mode="json"))
            async with asyncio.timeout(self._settings.load_seconds):
                answer = await child.receive()
            is_ready = answer is not None and "ready" in answer
        except TimeoutError:
            child.kill()
            answer = {"error": f"it took longer than {self._settings.load_seconds:g} s"}
        except asyncio.CancelledError:
            await child.aclose()
            raise
        if is_ready:
            self._logger.info("local model loaded", extra={"model": self.name, "pid": process.pid})
            return child
        how = await self._bury(child)
        raise self._unavailable(f"it was not loaded: {answer['error']}" if answer else f"its process {how}")

    async def _bury(self, child: _Child) -> str:
        """Count a death that nobody asked for, and say how it came."""
        if child is self._child:
            self._child = None
        is_crash = not child.was_killed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await child.process.wait()  # before anything is sent to it, so that its own status is seen
        await child.aclose()
        if not is_crash:
            return "was stopped"
        status = child.process.returncode or 0
        how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        self._logger.warning("local model process died", extra={"model": self.name, "status": status})
        now = self._clock.monotonic()
        self._crashes.append(now)
        while self._crashes and now - self._crashes[0] > _CRASH_WINDOW:
            self._crashes.popleft()
        if len(self._crashes) > _MOST_CRASHES:
            self._failure = (
                f"its process died {len(self._crashes)} times within {_CRASH_WINDOW:g} s and is not started again"
            )
        return how

    async def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.aclose()

    def _unavailable(self, reason: str) -> ProviderUnavailableError:
        return ProviderUnavailableError(
            f"The local model {self.name!r} cannot be used: {reason}.",
            mend="Look at the file and the server's log; changing the plugin's settings or reloading it starts afresh.",
        )


async def _log_output(process: asyncio.subprocess.Process, logger: logging.Logger) -> None:
    """Pass what the child prints to the log, in pieces of bounded length."""
    if process.stderr is None:
        return
    while block := await process.stderr.read(4096):
        for line in block.decode(errors="replace").splitlines():
            logger.debug("local model says", extra={"text": line})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
