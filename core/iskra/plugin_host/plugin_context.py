"""What one generation of a plugin gets from the kernel; everything acquired is tracked and released."""

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from opentelemetry import metrics, trace
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from iskra.plugin_host.allowance import Allowance
from iskra.plugin_host.code_owners import contained
from iskra.plugin_host.facilities import Facilities, InterceptorSlot
from iskra.plugin_host.leases import Lease
from iskra.plugin_host.plugin_http import PluginHTTP
from iskra.plugin_host.told_events import ToldEvents
from iskra_sdk.approval import Approvals
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BadInputError, BusyError, PermissionDeniedError, PluginDependencyError, PluginError
from iskra_sdk.event import Event, Severity
from iskra_sdk.event_bus import EventBus, Overflow, Subscription
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.llm import LLM, Caller, LLMAnswer, LLMChunk, LLMRequest
from iskra_sdk.manifest import PluginManifest, PluginPermission
from iskra_sdk.notifier import Notification
from iskra_sdk.plugin_context import HTTPClient, KeyValueState, Tasks, Turns
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    AppendAudit,
    AuditEntry,
    PutPluginValue,
    Session,
    SessionReader,
    SessionStore,
    StepRecord,
    StoredMessage,
    TurnRecord,
)
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from iskra_sdk.approval import ApprovalRequest, ApprovalState

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, None]]

_RELEASE_TIMEOUT = 10.0  # seconds one release of a plugin may take
_NOTIFY_TIMEOUT = 10.0
_LONGEST_KEY = 200
_EVENTS_PER_SECOND = 1000.0
_EVENT_BURST = 5000.0

logger = logging.getLogger(__name__)


class HostServices(Protocol):
    """What a context asks of the plugin host."""

    facilities: Facilities

    def lease(self) -> Lease: ...

    def record_failure(self, plugin: str, error: BaseException) -> None: ...

    def provide(self, plugin: str, protocol: type, service: object) -> None: ...

    def withdraw(self, protocol: type, service: object) -> None: ...

    def service(self, protocol: type[T]) -> T | None: ...

    async def refresh(self, plugin: str) -> None: ...

    def slot(self, point: Point) -> InterceptorSlot: ...


@dataclass(slots=True)
class Released:
    """What was taken back when a generation went: counted by kind, and what would not go, by name."""

    counts: dict[str, int] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1


class Acquisitions:
    """Everything a generation acquired, released last first."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._releases: dict[int, tuple[str, Callable[[], Awaitable[None] | None]]] = {}
        self._next = 0
        self.is_closed = False

    def add(self, kind: str, release: Callable[[], Awaitable[None] | None]) -> int:
        """Remember a release; the number given back takes it out again."""
        if self.is_closed:
            raise PluginError(self._plugin, "it is being unloaded and can acquire nothing more.")
        self._next += 1
        self._releases[self._next] = (kind, release)
        return self._next

    def discard(self, number: int) -> None:
        """Forget a release: the plugin did it itself."""
        self._releases.pop(number, None)

    async def release(self, released: Released) -> None:
        """Release everything, also what is acquired meanwhile; whatever fails is named and passed over."""
        while self._releases:
            _, (kind, release) = self._releases.popitem()
            try:
                async with asyncio.timeout(_RELEASE_TIMEOUT):
                    waiting = contained(release, self._plugin)
                    if inspect.isawaitable(waiting):
                        await waiting
                released.count(kind)
            except TimeoutError:
                released.stuck.append(f"{kind}: not released within {_RELEASE_TIMEOUT:g} s")
            except Exception as exc:
                released.stuck.append(f"{kind}: {type(exc).__name__} while it was released")
                logger.warning("release failed", extra={"plugin": self._plugin, "kind": kind}, exc_info=exc)
        self.is_closed = True


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
        done, _ = await asyncio.wait([task], timeout=_RELEASE_TIMEOUT / 2)
        if not done:
            raise TimeoutError


class _TrackedSubscription(AbstractAsyncContextManager[Subscription]):
    def __init__(self, inner: AbstractAsyncContextManager[Subscription], acquisitions: Acquisitions) -> None:
        self._inner = inner
        self._acquisitions = acquisitions
        self._number = 0

    async def __aenter__(self) -> Subscription:
        subscription = await self._inner.__aenter__()
        self._number = self._acquisitions.add("subscriptions", self._close)
        return subscription

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._acquisitions.discard(self._number)
        return await self._inner.__aexit__(kind, error, traceback)

    async def _close(self) -> None:
        await self._inner.__aexit__(None, None, None)


class PluginEvents:
    """The bus for one plugin: its events carry its name, and a flood of them is cut."""

    def __init__(self, name: str, bus: EventBus, host: HostServices, acquisitions: Acquisitions) -> None:
        self._name = name
        self._bus = bus
        self._host = host
        self._acquisitions = acquisitions
        self._allowance = Allowance(_EVENTS_PER_SECOND, _EVENT_BURST)
        self._reported_at = 0.0

    async def publish(self, event: Event) -> None:
        signed = self._signed(event)
        if signed is not None:
            await self._bus.publish(signed)

    def publish_nowait(self, event: Event) -> None:
        signed = self._signed(event)
        if signed is not None:
            self._bus.publish_nowait(signed)

    def subscribe(
        self,
        pattern: str = "*",
        *,
        topic: str | None = None,
        buffer: int = 256,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> AbstractAsyncContextManager[Subscription]:
        inner = self._bus.subscribe(pattern, topic=topic, buffer=buffer, overflow=overflow)
        return _TrackedSubscription(inner, self._acquisitions)

    def _signed(self, event: Event) -> Event | None:
        """Return the event in the plugin's name, or ``None`` where it publishes too many."""
        if not event.type.startswith(f"{self._name}."):
            raise PermissionDeniedError(
                f"The plugin {self._name!r} may not publish events of the type {event.type!r}.",
                mend=f"Begin its own types with `{self._name}.`.",
                facts={"plugin": self._name, "event_type": event.type},
            )
        return replace(event, source=self._name) if self.admit(event.type) else None

    def admit(self, event_type: str) -> bool:
        """Return whether one more event is within bounds; where it is not, that is counted against the plugin."""
        if self._allowance.take():
            return True
        now = time.monotonic()
        if now - self._reported_at >= 1:
            self._reported_at = now
            logger.warning("event flood", extra={"plugin": self._name, "event_type": event_type})
            flood = PluginError(self._name, f"it publishes more than {_EVENTS_PER_SECOND:g} events a second.")
            self._host.record_failure(self._name, flood)
        return False


class PluginValues:
    """A plugin's key-value state in the store; see ``iskra_sdk.KeyValueState``."""

    def __init__(self, name: str, store: SessionStore) -> None:
        self._name = name
        self._store = store

    async def get(self, key: str, default: object = None) -> Any:
        value = await self._store.plugin_value(self._name, self._checked(key))
        return default if value is None else value

    async def put(self, key: str, value: object) -> None:
        try:
            encoded = to_jsonable_python(value)
        except PydanticSerializationError as exc:
            raise BadInputError(f"The value for {key!r} of the plugin {self._name!r} has no JSON form: {exc}.") from exc
        await self._store.apply([PutPluginValue(self._name, self._checked(key), encoded)])

    async def keys(self, prefix: str = "") -> Sequence[str]:
        return await self._store.plugin_keys(self._name, prefix)

    def _checked(self, key: str) -> str:
        if not 0 < len(key) <= _LONGEST_KEY or "\0" in key:
            raise BadInputError(
                f"The plugin {self._name!r} used a key that is no text of 1 to {_LONGEST_KEY} characters."
            )
        return key


class SessionsView:
    """The reading half of the store."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def session(self, principal: Principal, session_id: SessionId) -> Session:
        return await self._store.session(principal, session_id)

    async def sessions(
        self, principal: Principal, *, limit: int = 50, before: SessionId | None = None
    ) -> Sequence[Session]:
        return await self._store.sessions(principal, limit=limit, before=before)

    async def messages(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredMessage]:
        return await self._store.messages(principal, session_id, after=after, limit=limit)

    async def events(
        self, principal: Principal, session_id: SessionId, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Event]:
        return await self._store.events(principal, session_id, after=after, limit=limit)

    async def turn(self, principal: Principal, turn_id: TurnId) -> TurnRecord:
        return await self._store.turn(principal, turn_id)

    async def turns(
        self, principal: Principal, session_id: SessionId, *, limit: int = 100, before: int | None = None
    ) -> Sequence[TurnRecord]:
        return await self._store.turns(principal, session_id, limit=limit, before=before)

    async def steps(self, principal: Principal, turn_id: TurnId) -> Sequence[StepRecord]:
        return await self._store.steps(principal, turn_id)

    async def approvals(
        self,
        principal: Principal,
        *,
        state: "ApprovalState | None" = None,
        session_id: SessionId | None = None,
        limit: int = 100,
    ) -> "Sequence[ApprovalRequest]":
        return await self._store.approvals(principal, state=state, session_id=session_id, limit=limit)

    async def approval(self, principal: Principal, approval_id: ApprovalId) -> "ApprovalRequest":
        return await self._store.approval(principal, approval_id)


class PluginLLM:
    """Models for one plugin: each call holds a lease on the providers it uses."""

    def __init__(self, name: str, host: HostServices) -> None:
        self._name = name
        self._host = host

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        router = available(self._host.facilities.llm, "models")
        with self._host.lease() as lease:
            chunks = router.stream(self._signed(request), lease.catalog.providers)
            async with aclosing(cast("AsyncGenerator[LLMChunk]", chunks)):
                async for chunk in chunks:
                    yield chunk

    def has_language_model(self, model: str = "default") -> bool:
        router = available(self._host.facilities.llm, "models")
        with self._host.lease() as lease:
            return router.has_language_model(model, lease.catalog.providers)

    async def complete(self, request: LLMRequest) -> LLMAnswer:
        router = available(self._host.facilities.llm, "models")
        with self._host.lease() as lease:
            return await router.complete(self._signed(request), lease.catalog.providers)

    def _signed(self, request: LLMRequest) -> LLMRequest:
        """Put a call that names nobody on the plugin's own account."""
        if request.caller != Caller():
            return request
        return replace(request, caller=Caller(principal_id="system", agent=f"plugin:{self._name}"))


class PluginTurns:
    """Turns for one plugin; see ``iskra_sdk.Turns``."""

    def __init__(self, host: HostServices) -> None:
        self._host = host

    async def start(
        self,
        principal: Principal,
        session_id: SessionId | None,
        text: str,
        *,
        model: str = "iskra",
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
    ) -> TurnRecord:
        turns = available(self._host.facilities.turns, "turns")
        return await turns.start(
            principal, session_id, text, model=model, options=options, idempotency_key=idempotency_key
        )

    async def follow(self, principal: Principal, session_id: SessionId, *, after: int = 0) -> AsyncIterator[Event]:
        logs = available(self._host.facilities.logs, "session logs")
        async for batch in logs.follow(principal, session_id, after=after):
            for event in batch:
                yield event

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord | None:
        return await available(self._host.facilities.turns, "turns").answer(principal, session_id, text)

    async def cancel(self, principal: Principal, turn_id: TurnId) -> None:
        await available(self._host.facilities.turns, "turns").cancel(principal, turn_id)


def available(part: T | None, what: str) -> T:
    """Return a part of the kernel that plugins may ask for while the server still starts."""
    if part is None:
        raise BusyError(f"The server offers no {what} yet.", mend="Use them after the plugin's lifespan has begun.")
    return part


class KernelContext:
    """The kernel as one generation of a plugin sees it; see ``iskra_sdk.PluginContext``."""

    def __init__(
        self,
        manifest: PluginManifest,
        settings: BaseModel,
        *,
        data_dir: Path,
        workspace: Path,
        clock: Clock,
        bus: EventBus,
        store: SessionStore,
        host: HostServices,
        allowed_private_hosts: Sequence[str] = (),
    ) -> None:
        self.name = manifest.name
        self.manifest = manifest
        self.settings = settings
        self.data_dir = data_dir
        self.logger = logging.getLogger(f"iskra.plugin.{manifest.name}")
        self.clock = clock
        self.acquisitions = Acquisitions(manifest.name)
        self.owned_tasks = OwnedTasks(manifest.name, host, self.acquisitions)
        self.tasks: Tasks = self.owned_tasks
        events = PluginEvents(manifest.name, bus, host, self.acquisitions)
        self.events: EventBus = events
        self._told = ToldEvents(manifest.name, clock, events.admit, host.record_failure)
        self.state: KeyValueState = PluginValues(manifest.name, store)
        self.services: dict[type, object] = {}
        """What it provides; the host puts it into service at the swap."""
        self.is_in_service = False
        self._wants_refresh = False
        self._workspace = workspace
        self._host = host
        self._store = store
        self._sessions = SessionsView(store)
        self._llm = PluginLLM(manifest.name, host)
        self._turns = PluginTurns(host)
        self._http = PluginHTTP(allowed_private_hosts)

    @property
    def sessions(self) -> SessionReader:
        self._require(PluginPermission.SESSIONS, "context.sessions")
        return self._sessions

    @property
    def turns(self) -> Turns:
        self._require(PluginPermission.TURNS, "context.turns")
        return self._turns

    @property
    def llm(self) -> LLM:
        self._require(PluginPermission.LLM, "context.llm")
        return self._llm

    @property
    def approvals(self) -> Approvals:
        self._require(PluginPermission.APPROVALS, "context.approvals")
        return available(self._host.facilities.approvals, "approvals")

    @property
    def http(self) -> HTTPClient:
        self._require(PluginPermission.NETWORK, "context.http")
        return self._http

    @property
    def workspace(self) -> Path:
        self._require(PluginPermission.FILES, "context.workspace")
        return self._workspace

    @property
    def tracer(self) -> "Tracer":
        return trace.get_tracer(f"iskra.plugin.{self.name}")

    @property
    def meter(self) -> "Meter":
        return metrics.get_meter(f"iskra.plugin.{self.name}")

    async def notify(self, notification: Notification) -> None:
        with self._host.lease() as lease:
            for notifier in lease.catalog.notifiers.values():
                try:
                    async with asyncio.timeout(_NOTIFY_TIMEOUT):
                        await notifier.value.notify(notification)
                except asyncio.CancelledError:
                    raise
                except BaseException as exc:  # a plugin's SystemExit would end the event loop
                    logger.warning("notifier failed", extra={"plugin": notifier.plugin}, exc_info=exc)
                    self._host.record_failure(notifier.plugin, exc)

    async def tell_session(
        self,
        session_id: SessionId,
        event_type: str,
        data: Mapping[str, object],
        *,
        severity: Severity = Severity.INFO,
        turn_id: TurnId | None = None,
    ) -> Event:
        self._require(PluginPermission.SESSIONS, "context.tell_session")
        if self.acquisitions.is_closed:
            raise PluginError(self.name, "it has been unloaded and can tell nothing more.")
        log = available(self._host.facilities.logs, "session logs")
        return await self._told.tell(log, session_id, event_type, data, severity=severity, turn_id=turn_id)

    def provide(self, protocol: type[T], service: T) -> None:
        self._host.provide(self.name, protocol, service)
        self.services[protocol] = service
        self.acquisitions.add("services", lambda: self._host.withdraw(protocol, service))

    async def refresh(self) -> None:
        if self.is_in_service:
            await self._host.refresh(self.name)
        else:
            self._wants_refresh = True

    def enter_service(self) -> None:
        """Know that the plugin is in service, and make up for a refresh that was asked for before."""
        self.is_in_service = True
        if self._wants_refresh:
            self.tasks.start(self.refresh, name=f"{self.name}: refresh")

    @property
    def agents(self) -> Mapping[str, AgentCard]:
        with self._host.lease() as lease:
            return {name: owned.value for name, owned in lease.catalog.agents.items()}

    @property
    def tools(self) -> Mapping[str, Tool]:
        with self._host.lease() as lease:
            return {name: owned.value for name, owned in lease.catalog.tools.items()}

    def service(self, protocol: type[T]) -> T:
        own = self.services.get(protocol)
        found = self._host.service(protocol) if own is None else cast("T", own)
        if found is None:
            raise PluginDependencyError(
                self.name,
                f"no running plugin offers {protocol.__name__}.",
                mend="Enable the plugin that does, and name it under `requires` in the manifest.",
            )
        return found

    async def audit(
        self,
        action: str,
        *,
        principal: Principal,
        target: str = "",
        data: Mapping[str, object] | None = None,
    ) -> None:
        entry = AuditEntry(self.clock.now(), principal.id, f"{self.name}.{action}", target[:500], dict(data or {}))
        await self._store.apply([AppendAudit(entry)])

    async def at_point(self, point: Point, payload: Any, proceed: Proceed) -> Any:
        if point is not Point.CACHE_GET:
            raise ValueError(f"{point} is a point of the kernel; a plugin works at {Point.CACHE_GET} only")
        chain = self._host.slot(point).chain
        return await (proceed(payload) if chain is None else chain(payload, proceed))

    def on_close(self, release: Callable[[], Awaitable[None] | None]) -> None:
        if not callable(release):
            raise TypeError(f"on_close() takes a function, not {type(release).__name__}")
        self.acquisitions.add("callbacks", release)

    async def close(self, released: Released) -> None:
        """Release everything that was acquired."""
        await self.acquisitions.release(released)
        if await self._http.close():
            released.count("http_sessions")

    def _require(self, permission: PluginPermission, what: str) -> None:
        if permission in self.manifest.permissions:
            return
        listed = ", ".join(f'"{granted}"' for granted in (*self.manifest.permissions, permission))
        raise PermissionDeniedError(
            f"The plugin {self.name!r} uses `{what}` without the permission {permission.value!r}.",
            mend=f"Write `permissions = [{listed}]` into its manifest.",
            facts={"plugin": self.name, "permission": permission.value},
        )
