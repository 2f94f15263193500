"""The kernel as a plugin under test sees it: small, in memory, and as strict as the real one."""

import asyncio
import importlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from iskra_sdk.approval import Approvals
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    BadInputError,
    PermissionDeniedError,
    PluginConflictError,
    PluginDependencyError,
    PluginError,
    ToolError,
)
from iskra_sdk.event import Event, Severity
from iskra_sdk.event_bus import EventBus, Overflow, Subscription
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.llm import LLM, LLMAnswer, LLMChunk, LLMProvider, LLMRequest
from iskra_sdk.manifest import PluginManifest, PluginPermission
from iskra_sdk.notifier import Notification
from iskra_sdk.plugin_context import HTTPClient, HTTPResponse, Tasks, Turns
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import AppendEvent, PutPluginValue, ReserveSeq, SessionReader
from iskra_sdk.testing.memory_bus import MemoryEventBus
from iskra_sdk.testing.memory_store import MemoryStore
from iskra_sdk.told_event import told_event
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard
from iskra_sdk.voice import Voice

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, None]]
Respond = Callable[[str, str, Mapping[str, str], bytes | None], "HTTPResponse | Awaitable[HTTPResponse]"]
"""Answers a request of the plugin: method, URL, headers, body."""


class HarnessTasks:
    """Runs a plugin's background tasks; what they raise is kept for the test."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Job, *, name: str = "") -> None:
        """Run ``job()`` in a task."""
        task = asyncio.get_running_loop().create_task(self._run(job), name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel what runs and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)

    async def _run(self, job: Job) -> None:
        try:
            await job()
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.errors.append(exc)


class HarnessEvents:
    """The bus for the plugin: its events carry its name, and only its own types are let through."""

    def __init__(self, plugin: str, bus: MemoryEventBus) -> None:
        self._plugin = plugin
        self._bus = bus

    async def publish(self, event: Event) -> None:
        """Hand the event to the bus."""
        self.publish_nowait(event)

    def publish_nowait(self, event: Event) -> None:
        """Do the same from synchronous code."""
        if not event.type.startswith(f"{self._plugin}."):
            raise PermissionDeniedError(
                f"The plugin {self._plugin!r} may not publish events of the type {event.type!r}.",
                mend=f"Begin its own types with `{self._plugin}.`.",
            )
        self._bus.publish_nowait(replace(event, source=self._plugin))

    def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe to the harness's bus."""
        return self._bus.subscribe(pattern, topic=topic, buffer=buffer, overflow=overflow)


class HarnessState:
    """The plugin's key-value state in a memory store; values make the way through JSON, as in the server."""

    def __init__(self, plugin: str, store: MemoryStore) -> None:
        self._plugin = plugin
        self._store = store

    async def get(self, key: str, default: object = None) -> Any:
        """Return a value."""
        value = await self._store.plugin_value(self._plugin, key)
        return default if value is None else value

    async def put(self, key: str, value: object) -> None:
        """Write a value."""
        if not 0 < len(key) <= 200:
            raise BadInputError("Keys have 1 to 200 characters.")
        await self._store.apply([PutPluginValue(self._plugin, key, to_jsonable_python(value))])

    async def keys(self, prefix: str = "") -> Sequence[str]:
        """Return sorted keys."""
        return await self._store.plugin_keys(self._plugin, prefix)


class HarnessHTTP:
    """Answers the plugin's requests from the test; nothing leaves the machine."""

    def __init__(self, respond: Respond | None) -> None:
        self._respond = respond
        self.requests: list[tuple[str, str]] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30.0,
        max_bytes: int = 10_000_000,
    ) -> HTTPResponse:
        """Return what the test answers."""
        self.requests.append((method, url))
        if self._respond is None:
            raise ToolError(f"The harness does not answer {method} {url}.", mend="Open it with `respond=…`.")
        async with asyncio.timeout(timeout):
            answer = self._respond(method, url, headers or {}, body)
            response = await answer if inspect.isawaitable(answer) else answer
        if len(response.body) > max_bytes:
            raise ToolError(f"{url} sends more than {max_bytes} bytes.")
        return response


class HarnessLLM:
    """Calls the harness's model, without aliases, retries and fallback."""

    def __init__(self, model: LLMProvider | None) -> None:
        self._model = model

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        """Stream an answer of the model."""
        async for chunk in _given(self._model, "model").stream(request, request.model):
            yield chunk

    def has_language_model(self, model: str = "default") -> bool:
        """Return whether there is a model that is no stand-in."""
        return self._model is not None and self._model.is_language_model

    async def complete(self, request: LLMRequest) -> LLMAnswer:
        """Return a whole answer of the model."""
        return await _given(self._model, "model").complete(request, request.model)


def _given(part: T | None, name: str) -> T:
    if part is None:
        raise PluginError("harness", f"the test gives it no {name}.", mend=f"Open the harness with `{name}=…`.")
    return part


class HarnessContext:
    """Implements ``iskra_sdk.PluginContext`` in memory."""

    def __init__(
        self,
        manifest: PluginManifest,
        settings: BaseModel,
        *,
        data_dir: Path,
        workspace: Path,
        clock: Clock,
        bus: MemoryEventBus,
        store: MemoryStore,
        services: Mapping[type, object],
        model: LLMProvider | None = None,
        turns: Turns | None = None,
        approvals: Approvals | None = None,
        respond: Respond | None = None,
    ) -> None:
        self.name = manifest.name
        self.manifest = manifest
        self.settings = settings
        self.data_dir = data_dir
        self.logger = logging.getLogger(f"iskra.plugin.{manifest.name}")
        self.clock = clock
        self.own_tasks = HarnessTasks()
        self.tasks: Tasks = self.own_tasks
        self.events: EventBus = HarnessEvents(manifest.name, bus)
        self.state = HarnessState(manifest.name, store)
        self.audited: list[tuple[str, str, str, dict[str, object]]] = []
        self.notifications: list[Notification] = []
        self.own_http = HarnessHTTP(respond)
        self._workspace = workspace
        self._store = store
        self._bus = bus
        self._telling = asyncio.Lock()
        self._llm = HarnessLLM(model)
        self._turns = turns
        self._approvals = approvals
        self._services: dict[type, object] = dict(services)
        self._foreign = frozenset(services)
        self.on_refresh: Callable[[], None] = lambda: None
        self.agents: Mapping[str, AgentCard] = {}
        self.voices: Mapping[str, Voice] = {}
        self.tools: Mapping[str, Tool] = {}
        self._releases: list[Callable[[], Awaitable[None] | None]] = []

    @property
    def sessions(self) -> SessionReader:
        """The harness's store."""
        self._require(PluginPermission.SESSIONS)
        return self._store

    @property
    def turns(self) -> Turns:
        """What the test gives."""
        self._require(PluginPermission.TURNS)
        return _given(self._turns, "turns")

    @property
    def llm(self) -> LLM:
        """The harness's model."""
        self._require(PluginPermission.LLM)
        return self._llm

    async def refresh(self) -> None:
        """Collect the plugin's agents and tools again; see :class:`~iskra_sdk.plugin_context.PluginContext`."""
        self.on_refresh()

    @property
    def approvals(self) -> Approvals:
        """What the test gives."""
        self._require(PluginPermission.APPROVALS)
        return _given(self._approvals, "approvals")

    @property
    def http(self) -> HTTPClient:
        """A client that the test answers."""
        self._require(PluginPermission.NETWORK)
        return self.own_http

    @property
    def workspace(self) -> Path:
        """A directory of the harness."""
        self._require(PluginPermission.FILES)
        return self._workspace

    @property
    def tracer(self) -> "Tracer":
        """A tracer of OpenTelemetry, if that is installed."""
        return cast("Tracer", importlib.import_module("opentelemetry.trace").get_tracer(self.name))

    @property
    def meter(self) -> "Meter":
        """A meter of OpenTelemetry, if that is installed."""
        return cast("Meter", importlib.import_module("opentelemetry.metrics").get_meter(self.name))

    async def notify(self, notification: Notification) -> None:
        """Keep the notification for the test."""
        self.notifications.append(notification)

    async def audit(
        self,
        action: str,
        *,
        principal: Principal,
        target: str = "",
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the entry for the test, as (action, principal's id, target, data)."""
        self.audited.append((f"{self.name}.{action}", principal.id, target, dict(data or {})))

    async def tell_session(
        self,
        session_id: SessionId,
        event_type: str,
        data: Mapping[str, object],
        *,
        severity: Severity = Severity.INFO,
        turn_id: TurnId | None = None,
    ) -> Event:
        """Append the event to the session in the harness's store, and publish it on its bus; no flood is cut."""
        self._require(PluginPermission.SESSIONS)
        event = told_event(
            self.name,
            event_type,
            data,
            session_id=session_id,
            turn_id=turn_id,
            severity=severity,
            at=self.clock.now(),
        )
        async with self._telling:
            session = await self._store.session(SYSTEM, session_id)
            told = replace(event, seq=session.reserved_seq + 1)
            await self._store.apply([AppendEvent(told), ReserveSeq(session_id, told.seq)])
        self._bus.publish_nowait(told)
        return told

    async def at_point(self, point: Point, payload: Any, proceed: Proceed) -> Any:
        """Do the real thing: no interceptors are in a test's way."""
        return await proceed(payload)

    def provide(self, protocol: type[T], service: T) -> None:
        """Offer a service."""
        if protocol in self._foreign:
            raise PluginConflictError(self.name, f"another plugin already offers {protocol.__name__}.")
        self._services[protocol] = service

    def service(self, protocol: type[T]) -> T:
        """Return a service the test or the plugin gave."""
        if protocol not in self._services:
            raise PluginDependencyError(
                self.name,
                f"no running plugin offers {protocol.__name__}.",
                mend="Open the harness with `services={…}`.",
            )
        return cast("T", self._services[protocol])

    def on_close(self, release: Callable[[], Awaitable[None] | None]) -> None:
        """Have ``release`` called when the harness closes."""
        self._releases.append(release)

    async def close(self) -> None:
        """Stop the tasks and release everything, last registered first."""
        await self.own_tasks.stop()
        while self._releases:
            waiting = self._releases.pop()()
            if inspect.isawaitable(waiting):
                await waiting

    def _require(self, permission: PluginPermission) -> None:
        if permission not in self.manifest.permissions:
            raise PermissionDeniedError(
                f"The plugin {self.name!r} does not have the permission {permission.value!r}.",
                mend=f'Add "{permission.value}" to `permissions` in its manifest.',
            )
