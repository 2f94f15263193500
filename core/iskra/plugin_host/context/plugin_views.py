"""Sessions, models and turns as one plugin sees them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from iskra.plugin_host.context.host_services import HostServices
from iskra_sdk.errors import BusyError
from iskra_sdk.event import Event
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.llm import Caller, LLMAnswer, LLMChunk, LLMRequest
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    Session,
    SessionStore,
    StepRecord,
    StoredMessage,
    TurnRecord,
)

if TYPE_CHECKING:
    from iskra_sdk.approval import ApprovalRequest, ApprovalState

T = TypeVar("T")


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
