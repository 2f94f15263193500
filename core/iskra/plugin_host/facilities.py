"""The parts of the kernel that plugins reach through their context; the kernel fills them in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from iskra.plugin_host.catalog import Catalog, Owned
from iskra_sdk.approval import Approvals
from iskra_sdk.event import Event
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Interceptor, Point
from iskra_sdk.llm import LLMAnswer, LLMChunk, LLMProvider, LLMRequest
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import TurnRecord


class Router(Protocol):
    """The LLM router, which needs to be told the providers of the moment."""

    def stream(self, request: LLMRequest, providers: Mapping[str, Owned[LLMProvider]]) -> AsyncIterator[LLMChunk]: ...

    async def complete(self, request: LLMRequest, providers: Mapping[str, Owned[LLMProvider]]) -> LLMAnswer: ...

    def has_language_model(self, model: str, providers: Mapping[str, Owned[LLMProvider]]) -> bool: ...


class TurnStarter(Protocol):
    """What the turn runner does for plugins."""

    async def start(
        self,
        principal: Principal,
        session_id: SessionId | None,
        text: str,
        *,
        model: str = "iskra",
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
    ) -> TurnRecord: ...

    async def answer(self, principal: Principal, session_id: SessionId, text: str) -> TurnRecord | None: ...

    async def cancel(self, principal: Principal, turn_id: TurnId) -> object: ...


class SessionLog(Protocol):
    """What the session logs do for plugins."""

    async def tell(self, session_id: SessionId, event: Event) -> Event: ...

    def follow(
        self, principal: Principal, session_id: SessionId, *, after: int = 0
    ) -> AsyncIterator[Sequence[Event]]: ...


class InterceptorSlot(Protocol):
    """One point where interceptors can be put."""

    @property
    def chain(self) -> Callable[..., Awaitable[object]] | None: ...


class InterceptorPoints(Protocol):
    """All points where interceptors can be put."""

    def slot(self, point: Point) -> InterceptorSlot: ...

    def rebuild(self, interceptors: Sequence[Owned[Interceptor]]) -> None: ...


@dataclass(slots=True)
class Facilities:
    """What depends on the plugin host and is filled in after it was made, before it is started.

    Attributes:
        llm: The router; the host hands it the providers of a leased catalog.
        turns: The turn runner.
        logs: The session logs.
        approvals: The approval service.
        park: Called when the drain deadline has passed: make the turns that hold a lease on this catalog go on
            with the current one, and return when they have let go.
    """

    llm: Router | None = None
    turns: TurnStarter | None = None
    logs: SessionLog | None = None
    approvals: Approvals | None = None
    park: Callable[[Catalog], Awaitable[None] | None] | None = None
