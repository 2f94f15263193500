"""What one generation of a plugin gets from the kernel; everything acquired is tracked and released."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import metrics, trace
from pydantic import BaseModel

from iskra.plugin_host.context.acquisitions import Acquisitions, Released
from iskra.plugin_host.context.host_services import HostServices
from iskra.plugin_host.context.owned_tasks import OwnedTasks
from iskra.plugin_host.context.plugin_events import PluginEvents
from iskra.plugin_host.context.plugin_http import PluginHTTP
from iskra.plugin_host.context.plugin_values import PluginValues
from iskra.plugin_host.context.plugin_views import PluginLLM, PluginTurns, SessionsView, available
from iskra.plugin_host.context.told_events import ToldEvents
from iskra_sdk.approval import Approvals
from iskra_sdk.clock import Clock
from iskra_sdk.errors import PermissionDeniedError, PluginDependencyError, PluginError
from iskra_sdk.event import Event, Severity
from iskra_sdk.event_bus import EventBus
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.llm import LLM
from iskra_sdk.manifest import PluginManifest, PluginPermission
from iskra_sdk.notifier import Notification
from iskra_sdk.plugin_context import HTTPClient, KeyValueState, Tasks, Turns
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    AppendAudit,
    AuditEntry,
    SessionReader,
    SessionStore,
)
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard
from iskra_sdk.voice import Voice

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer


T = TypeVar("T")

_NOTIFY_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


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

    @property
    def voices(self) -> Mapping[str, Voice]:
        with self._host.lease() as lease:
            return {name: owned.value for name, owned in lease.catalog.voices.items()}

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
