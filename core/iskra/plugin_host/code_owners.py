"""Knows which plugin a piece of running code belongs to."""

import asyncio
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from iskra_sdk.errors import PluginError

_KERNEL = "iskra"
_FRAMES_TO_CREATOR = 8
_MOST_REMEMBERED = 4096
_ASYNCIO = frozenset(name for name in sys.modules if name.partition(".")[0] == "asyncio")


class CodeOwners:
    """Maps modules to plugins and watches which plugin starts which task.

    Tasks that plugin code starts by itself are contained: ``SystemExit`` and ``KeyboardInterrupt`` would otherwise
    stop the whole event loop.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, str] = {}  # module prefix → plugin
        self._counts: Counter[str] = Counter()
        self._found: dict[str, str | None] = {}  # module → plugin, as looked up before
        self._tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._former: Any = None

    def add(self, prefix: str, plugin: str) -> None:
        """Know the modules at and below ``prefix`` as a plugin's."""
        self._plugins[prefix] = plugin
        self._counts[prefix] += 1
        self._found.clear()

    def discard(self, prefix: str) -> None:
        """Forget a prefix, unless another generation has it too."""
        self._counts[prefix] -= 1
        if self._counts[prefix] > 0:
            return
        del self._counts[prefix]
        self._plugins.pop(prefix, None)
        self._found.clear()

    def of_module(self, module: object) -> str | None:
        """Return the plugin a module name belongs to."""
        if not isinstance(module, str):
            return None
        try:
            return self._found[module]
        except KeyError:
            plugin = self._find(module)
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
        self._found[module] = plugin
        return plugin

    def _find(self, module: str) -> str | None:
        while module:
            if (plugin := self._plugins.get(module)) is not None:
                return plugin
            module = module.rpartition(".")[0]
        return None

    def of_frame(self, frame: FrameType | None) -> tuple[str, FrameType] | None:
        """Return the plugin that is responsible for what runs in ``frame``, and its innermost frame.

        Going outwards, libraries are passed over; where the kernel's own code comes first, nobody is responsible.
        """
        while frame is not None:
            module = frame.f_globals.get("__name__")
            if (plugin := self.of_module(module)) is not None:
                return plugin, frame
            if isinstance(module, str) and module.partition(".")[0] == _KERNEL:
                return None
            frame = frame.f_back
        return None

    def tasks_of(self, namespaces: frozenset[int]) -> list[asyncio.Task[Any]]:
        """Return the unfinished tasks started by code in the modules whose dictionaries have these identities."""
        return [task for task, owner in list(self._tasks.items()) if owner in namespaces and not task.done()]

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Contain the tasks that plugin code starts on ``loop``."""
        self._loop, self._former = loop, loop.get_task_factory()
        loop.set_task_factory(self._make_task)  # type: ignore[arg-type]  # typeshed wants a protocol of its own

    def unwatch(self) -> None:
        """Put the loop's own way of making tasks back."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.set_task_factory(self._former)
        self._loop = None

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        namespace = self._creator(coro) if self._plugins else None
        if namespace is not None:
            plugin = self.of_module(namespace.get("__name__")) or ""
            coro = Contained(coro, plugin)
        task: asyncio.Task[Any]
        if self._former is not None:
            task = self._former(loop, coro, **options)
        else:
            task = asyncio.Task(coro, loop=loop, **options)
        if namespace is not None:
            self._tasks[task] = id(namespace)
        return task

    def _creator(self, coro: object) -> dict[str, Any] | None:
        """Return the namespace of the plugin module that starts a task, if one does."""
        frame: FrameType | None = getattr(coro, "cr_frame", None)
        if frame is not None and self.of_module(frame.f_globals.get("__name__")) is not None:
            return frame.f_globals
        frame = sys._getframe(2)  # who called the task factory
        for _ in range(_FRAMES_TO_CREATOR):
            if frame is None:
                return None
            module = frame.f_globals.get("__name__")
            if module not in _ASYNCIO:
                return frame.f_globals if self.of_module(module) is not None else None
            frame = frame.f_back
        return None


class Contained(Coroutine[Any, Any, Any]):
    """A plugin's coroutine that turns what would stop the event loop into an ordinary error."""

    __slots__ = ("_coro", "_plugin")

    def __init__(self, coro: Coroutine[Any, Any, Any], plugin: str) -> None:
        self._coro = coro
        self._plugin = plugin

    def send(self, value: object, /) -> Any:
        try:
            return self._coro.send(value)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise _stopped(self._plugin, exc) from exc

    def throw(self, *error: Any) -> Any:
        try:
            return self._coro.throw(*error)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise _stopped(self._plugin, exc) from exc

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Any:
        return (yield from self._coro.__await__())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)


def contained(call: Callable[[], Any], plugin: str) -> Any:
    """Call plugin code and turn what would stop the event loop into an ordinary error."""
    try:
        return call()
    except (SystemExit, KeyboardInterrupt) as exc:
        raise _stopped(plugin, exc) from exc


def _stopped(plugin: str, exc: BaseException) -> PluginError:
    return PluginError(plugin, f"its code raised {type(exc).__name__}.", mend="Raise an ordinary exception.")
