"""What a plugin gets from the kernel. Everything acquired through it is released when the plugin goes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel

from iskra_sdk.approval import Approvals
from iskra_sdk.clock import Clock
from iskra_sdk.event import Event, Severity
from iskra_sdk.event_bus import EventBus
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.llm import LLM
from iskra_sdk.manifest import PluginManifest
from iskra_sdk.notifier import Notification
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import SessionReader, TurnRecord
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard
from iskra_sdk.voice import Voice

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

T = TypeVar("T")


class Tasks(Protocol):
    """Starts background tasks that end with the plugin."""

    def start(self, job: Callable[[], Coroutine[Any, Any, None]], *, name: str = "") -> None:
        """Run ``job()`` in a task; it is cancelled when the plugin goes.

        What it raises is logged and counted against the plugin; the server goes on.
        """


class KeyValueState(Protocol):
    """A plugin's own durable key-value state: JSON-able values, keys up to 200 characters."""

    async def get(self, key: str, default: object = None) -> Any:
        """Return a value."""

    async def put(self, key: str, value: object) -> None:
        """Write a value; committed when it returns. ``None`` removes the key."""

    async def keys(self, prefix: str = "") -> Sequence[str]:
        """Return sorted keys that begin with ``prefix``."""


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """An answer of another server, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8, with replacement characters where it is none."""
        return self.body.decode(errors="replace")


class HTTPClient(Protocol):
    """Reaches other servers safely.

    Every address is checked after resolution and each redirect again: loopback, private and link-local addresses are
    refused unless the setting ``allowed_private_hosts`` names the host. Answers are capped in size and time.
    """

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
        """Send a request and return the whole answer, whatever its status.

        Raises:
            PermissionDeniedError: The address is not allowed.
            ToolError: The server cannot be reached, is too slow, or sends too much.
        """


class Turns(Protocol):
    """Starts turns and follows them, for plugins that converse on their own account."""

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
        """Commit a message and start (or queue) its turn; a new session is made where none is named.

        Raises:
            SessionNotFoundError: No such session for this principal.
            QueueFullError: Too many messages wait in the session.
            UnknownModelError: Nobody answers to ``model``.
        """

    def follow(self, principal: Principal, session_id: SessionId, *, after: int = 0) -> AsyncIterator[Event]:
        """Yield the session's events above ``after``, past ones first, then as they happen, without end."""

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord | None:
        """Answer the open question of a session; ``None`` if there is none.

        ``first_seq`` of what is returned is the number of the last event before the turn goes on.

        Raises:
            SessionNotFoundError: No such session for this principal.
            BadInputError: The text is none of the options.
        """

    async def cancel(self, principal: Principal, turn_id: TurnId) -> None:
        """Cancel a turn; its upstream call stops within a second. A finished turn stays as it is."""


class PluginContext(Protocol):
    """The kernel as one plugin sees it.

    Using a facility that the manifest does not ask for raises ``PermissionDeniedError``.
    """

    name: str
    manifest: PluginManifest
    settings: BaseModel
    """Validated by the model that ``settings_schema`` returned; an empty model where there is none."""
    data_dir: Path
    """A directory of its own; exists."""
    logger: logging.Logger
    clock: Clock
    tasks: Tasks
    events: EventBus
    state: KeyValueState

    @property
    def sessions(self) -> SessionReader:
        """Sessions; needs ``sessions``."""

    @property
    def turns(self) -> Turns:
        """Turns; needs ``turns``."""

    @property
    def llm(self) -> LLM:
        """Models; needs ``llm``."""

    @property
    def approvals(self) -> Approvals:
        """Approvals; needs ``approvals``."""

    @property
    def http(self) -> HTTPClient:
        """Other servers; needs ``network``."""

    @property
    def agents(self) -> Mapping[str, AgentCard]:
        """The agents that all plugins offer now, by name."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools that all plugins offer now, by name; calling one is for turns, which ask where a rule says so."""

    @property
    def voices(self) -> Mapping[str, Voice]:
        """The voices that all plugins offer now, by name and by alias."""

    @property
    def workspace(self) -> Path:
        """The workspace root of the server, resolved; needs ``files``."""

    @property
    def tracer(self) -> "Tracer":
        """OpenTelemetry tracer named after the plugin."""

    @property
    def meter(self) -> "Meter":
        """OpenTelemetry meter named after the plugin."""

    async def notify(self, notification: Notification) -> None:
        """Tell a person through every notifier; failures are logged."""

    async def audit(
        self,
        action: str,
        *,
        principal: Principal,
        target: str = "",
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Write to the audit log that something privileged was done or refused; committed when it returns.

        Args:
            action: A verb; the log shows it as ``<plugin>.<action>``.
            principal: On whose account.
            target: What it was done to.
            data: JSON-able facts; no secrets, no contents of messages.
        """

    async def tell_session(
        self,
        session_id: SessionId,
        event_type: str,
        data: Mapping[str, object],
        *,
        severity: Severity = Severity.INFO,
        turn_id: TurnId | None = None,
    ) -> Event:
        """Tell a session of something: the event gets a number in its log, is kept there, and is shown to its readers.

        For what a person in the session wants to see in its place among messages and tool calls, also when they come
        back later; what merely matters to dashboards and other plugins goes over ``events.publish`` and costs no
        write. Needs ``sessions``.

        The event is committed when this returns, then published on the bus once, like the kernel's own, so that event
        handlers get it; do not publish it yourself. It works while a turn of the session is under way and when nobody
        has the session open. A caller who is cancelled loses the answer and not the event. After a crash a turn runs
        again, and what a plugin tells in it may be told again. A plugin may tell 500 events in one session at once,
        and 10 a second in the long run. An interceptor of ``store.write`` must not tell the session whose write it
        wraps: each would wait for the other until this gives up after ten seconds.

        Say that the tide has turned, where somebody talks about it::

            @hookimpl
            def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
                async def look(event: Event) -> None:
                    if event.session_id is not None and "tide" in str(event.data.get("input", "")):
                        await context.tell_session(
                            event.session_id, "tides.turned", {"level": 2.4}, turn_id=event.turn_id
                        )

                return [EventHandler("turn.started", look)]

        A client that follows the session then gets, between the turn's other events,
        ``{"seq": 12, "type": "tides.turned", "source": "tides", "data": {"level": 2.4}, …}``.

        Args:
            session_id: Which session. Whose it is, is not asked: the plugin answers for telling it there.
            event_type: Begins with the plugin's name and a dot; up to 100 letters, digits, underscores and dots.
            data: JSON-able facts of up to 16,384 bytes. Whoever may read the session may read them.
            severity: How much it matters.
            turn_id: The turn of this session that it belongs to, if any.

        Returns:
            The event with its number.

        Raises:
            SessionNotFoundError: There is no such session, or it was deleted.
            PermissionDeniedError: The type does not begin with the plugin's name.
            BadInputError: The data have no JSON form, or take too many bytes.
            BusyError: The plugin tells too much, the server still starts, or the database does not answer.
            StoreError: It could not be written; nobody saw it.
        """

    async def at_point(self, point: Point, payload: Any, proceed: Proceed) -> Any:
        """Do something of the plugin's own at a point, so that interceptors wrap it like the kernel's own doings.

        Only ``cache.get``: the kernel has no cache, and keeps the other points to itself.

        Args:
            point: Which point.
            payload: What interceptors get.
            proceed: The real thing.

        Raises:
            ValueError: The point is one of the kernel's.
        """

    def provide(self, protocol: type[T], service: T) -> None:
        """Offer ``service`` to other plugins under ``protocol`` until the plugin goes.

        Raises:
            PluginConflictError: Another plugin offers it.
        """

    def service(self, protocol: type[T]) -> T:
        """Return what another plugin offers under ``protocol``. Ask each time: the provider may be reloaded.

        Raises:
            PluginDependencyError: Nobody offers it now.
        """

    async def refresh(self) -> None:
        """Call the hooks for agents, tools, voices, providers and interceptors again, and offer what they return now.

        For a plugin whose offers come from elsewhere and change, or that intercepts a point only at times. Turns under
        way keep the agents, tools, voices and providers they began with, interceptors change at once; everything else
        that the plugin registered stays as it is. Before the plugin is in service it is put off until then.

        Raises:
            PluginError: The hooks fail, or another plugin holds a name; what was offered before stays.
        """

    def on_close(self, release: Callable[[], Awaitable[None] | None]) -> None:
        """Have ``release`` called when the plugin goes, last registered first."""


Lifespan = AbstractAsyncContextManager[None]
