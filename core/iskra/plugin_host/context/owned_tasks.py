"""Background tasks of a plugin, which end with it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from iskra.plugin_host.context.acquisitions import Acquisitions
from iskra.plugin_host.context.host_services import HostServices
from iskra_sdk.errors import PluginError

Job = Callable[[], Coroutine[Any, Any, None]]

_STOP_TIMEOUT = 5.0  # seconds a cancelled task may take to end; less than its release may take

logger = logging.getLogger(__name__)


class OwnedTasks:
    """Background tasks of one generation; see ``iskra_sdk.Tasks``."""

    def __init__(self, name: str, host: HostServices, acquisitions: Acquisitions) -> None:
        self._name = name
        self._host = host
        self._acquisitions = acquisitions
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[Job, str]] | None = []  # until the plugin's lifespan begins

    def start(self, job: Job, *, name: str = "") -> None:
        """Run ``job()`` in a task; before the lifespan begins it is kept for then."""
        if not callable(job):
            raise TypeError(f"tasks.start() takes a function that makes a coroutine, not {type(job).__name__}")
        if self._acquisitions.is_closed:
            raise PluginError(self._name, "it is being unloaded and can start nothing more.")
        if self._waiting is not None:
            self._waiting.append((job, name))
        elif threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._start, job, name)
        else:
            self._start(job, name)

    def open(self) -> None:
        """Start what waits, and from now on everything at once."""
        waiting, self._waiting = self._waiting or [], None
        for job, name in waiting:
            self._start(job, name)

    def _start(self, job: Job, name: str) -> None:
        if self._acquisitions.is_closed:
            return
        label = name or getattr(job, "__name__", "task")
        task = self._loop.create_task(self._run(job, label), name=f"{self._name}: {label}")
        self._tasks.add(task)
        number = self._acquisitions.add("tasks", lambda: self._stop(task))
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._acquisitions.discard(number))

    async def _run(self, job: Job, label: str) -> None:
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # a plugin's SystemExit would end the event loop
            logger.warning("background task failed", extra={"plugin": self._name, "task": label}, exc_info=exc)
            self._host.record_failure(self._name, exc)

    async def _stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=_STOP_TIMEOUT)
        if not done:
            raise TimeoutError
