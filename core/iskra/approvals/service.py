"""Approval requests: made, waited for, decided once, expired, audited."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from iskra.approvals.chat import new_code
from iskra.approvals.inspection import fingerprint_of
from iskra.correlation import correlation_id
from iskra.session_log import LiveSession, SessionLogs
from iskra_sdk.approval import (
    ApprovalRequest,
    ApprovalState,
    Ruling,
    TimeoutAction,
    call_hash,
    canonical_arguments,
)
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    ApprovalClosedError,
    ApprovalNotFoundError,
    ConflictError,
    SessionNotFoundError,
    StoreError,
    ToolArgumentsError,
)
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import ApprovalId, SessionId, TurnId, new_id
from iskra_sdk.message import clean_text
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import AppendAudit, AuditEntry, Change, CloseApproval, SessionStore
from iskra_sdk.tool import Risk, Tool

logger = logging.getLogger(__name__)

TIMEOUT = "(timeout)"
"""Who decided when nobody did; brackets cannot be in a user's id."""

_LONGEST_REMARK = 2000  # characters

ToolLookup = Callable[[str], Tool | None]
"""Finds a tool of the present catalog by name."""


class ApprovalService:
    """Keeps approval requests and brings decisions to the turns that wait for them.

    A request is a row before anybody sees it; a decision is a conditional write, so that of many deciders one wins.

    Args:
        store: Where requests live.
        logs: Where their events go.
        clock: For expiry.
        find_tool: For checking edited arguments.
    """

    def __init__(self, store: SessionStore, logs: SessionLogs, clock: Clock, find_tool: ToolLookup) -> None:
        self._store = store
        self._logs = logs
        self._clock = clock
        self._find_tool = find_tool
        self._waiters: dict[ApprovalId, asyncio.Future[ApprovalRequest]] = {}
        self._deadlines: dict[ApprovalId, datetime] = {}
        self._deadlines_changed = asyncio.Event()

    # For turns -------------------------------------------------------------------------------------------------------

    def draft(
        self,
        *,
        principal_id: str,
        session_id: SessionId,
        turn_id: TurnId,
        tool_call_id: str,
        agent: str,
        tool: str,
        plugin: str,
        risk: Risk,
        arguments: Mapping[str, object],
        fingerprint: str,
        preview: str,
        ruling: Ruling,
    ) -> ApprovalRequest:
        """Make a request; the caller commits it together with the step that waits for it."""
        now = self._clock.now()
        text = canonical_arguments(arguments)
        keeps = ruling.on_timeout is TimeoutAction.KEEP
        return ApprovalRequest(
            id=ApprovalId(new_id("apr")),
            session_id=session_id,
            turn_id=turn_id,
            tool_call_id=tool_call_id,
            principal_id=principal_id,
            agent=agent,
            tool=tool,
            plugin=plugin,
            risk=risk,
            arguments=text,
            hash=call_hash(tool, text, fingerprint),
            preview=preview,
            code=new_code(),
            rule=ruling.rule,
            created_at=now,
            expires_at=None if keeps else now + timedelta(seconds=ruling.timeout),
            on_timeout=ruling.on_timeout,
            reason=ruling.reason,
        )

    async def wait(self, request: ApprovalRequest) -> ApprovalRequest:
        """Wait until a committed request is decided, expires or is cancelled, and return its final form."""
        waiter = self._waiters.setdefault(request.id, asyncio.get_running_loop().create_future())
        if request.expires_at is not None:
            self._deadlines[request.id] = request.expires_at
            self._deadlines_changed.set()
        try:
            # It may have been decided between its commit and now, or while the server was down.
            current = await self._store.approval(SYSTEM, request.id)
            if current.state is not ApprovalState.OPEN:
                return current
            return await waiter
        finally:
            self._waiters.pop(request.id, None)
            self._deadlines.pop(request.id, None)

    # For people ------------------------------------------------------------------------------------------------------

    async def list(
        self, principal: Principal, *, state: ApprovalState | None = ApprovalState.OPEN, limit: int = 100
    ) -> Sequence[ApprovalRequest]:
        """Return the principal's requests, newest first; an admin sees everybody's."""
        return await self._store.approvals(principal, state=state, limit=limit)

    async def get(self, principal: Principal, approval_id: ApprovalId) -> ApprovalRequest:
        """Return a request; see ``iskra_sdk.Approvals.get``."""
        return await self._store.approval(principal, approval_id)

    async def decide(
        self,
        principal: Principal,
        approval_id: ApprovalId,
        *,
        approve: bool,
        remark: str = "",
        arguments: Mapping[str, object] | None = None,
        remember: bool = False,
    ) -> ApprovalRequest:
        """Approve or deny a request, once; see ``iskra_sdk.Approvals.decide``."""
        request = await self._store.approval(principal, approval_id)
        return await self._close(
            request,
            ApprovalState.APPROVED if approve else ApprovalState.DENIED,
            by=principal.id,
            remark=remark,
            arguments=arguments if approve else None,
            remember=remember and approve,
        )

    async def decide_by_code(
        self, principal: Principal, code: str, *, approve: bool, remark: str = "", remember: bool = False
    ) -> ApprovalRequest:
        """Approve or deny the principal's own request with this code.

        Raises:
            ApprovalNotFoundError: The principal has no request with this code.
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        request = await self._store.approval_by_code(replace(principal, permissions=frozenset()), code)
        if request is None:
            raise ApprovalNotFoundError(
                f"No approval request of yours has the code {code}.",
                mend="Look at the code again; `iskra approvals list` shows what is open.",
            )
        return await self.decide(principal, request.id, approve=approve, remark=remark, remember=remember)

    # Life ------------------------------------------------------------------------------------------------------------

    async def watch_deadlines(self) -> None:
        """Apply timeout actions as they fall due; runs until cancelled."""
        while True:
            self._deadlines_changed.clear()
            now = self._clock.now()
            due = [approval_id for approval_id, deadline in self._deadlines.items() if deadline <= now]
            for approval_id in due:
                self._deadlines.pop(approval_id, None)
                try:
                    await self._expire(approval_id)
                except (ConflictError, ApprovalNotFoundError, SessionNotFoundError):
                    continue  # somebody was faster
                except StoreError as exc:
                    logger.warning("approval could not expire", extra={"approval_id": approval_id, "error": exc.code})
                    self._deadlines[approval_id] = now + timedelta(seconds=5)
            nearest = min(self._deadlines.values(), default=None)
            # Slept in short pieces: the wall clock may jump.
            pause = 60.0 if nearest is None else min(60.0, max(0.01, (nearest - self._clock.now()).total_seconds()))
            await self._sleep_or_change(pause)

    async def _sleep_or_change(self, seconds: float) -> None:
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        changed = asyncio.ensure_future(self._deadlines_changed.wait())
        try:
            await asyncio.wait((sleeper, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            changed.cancel()
            await asyncio.wait((sleeper, changed))  # unlike awaiting them, this tells our own cancellation from theirs

    async def _expire(self, approval_id: ApprovalId) -> None:
        request = await self._store.approval(SYSTEM, approval_id)
        if request.on_timeout is TimeoutAction.KEEP:
            return
        approve = request.on_timeout is TimeoutAction.APPROVE
        state = ApprovalState.APPROVED if approve else ApprovalState.EXPIRED
        await self._close(request, state, by=TIMEOUT)

    async def _close(
        self,
        request: ApprovalRequest,
        state: ApprovalState,
        *,
        by: str,
        remark: str = "",
        arguments: Mapping[str, object] | None = None,
        remember: bool = False,
    ) -> ApprovalRequest:
        if request.state is not ApprovalState.OPEN:
            raise _closed(request)
        now = self._clock.now()
        if by != TIMEOUT and request.expires_at is not None and request.expires_at <= now:
            raise ApprovalClosedError(
                f"The approval request {request.code} for {request.tool!r} expired.",
                mend="Ask the agent again.",
                facts={"state": ApprovalState.EXPIRED},
            )
        closed = replace(
            request,
            state=state,
            decided_by=by,
            decided_at=now,
            remark=clean_text(remark)[:_LONGEST_REMARK],
        )
        if arguments is not None:
            closed = await self._with_arguments(closed, arguments)
        changes: list[Change] = [
            CloseApproval(
                request.id,
                state,
                by,
                now,
                closed.remark,
                closed.arguments if arguments is not None else None,
                closed.hash if arguments is not None else None,
            ),
            AppendAudit(
                AuditEntry(
                    at=now,
                    principal_id=by,
                    action=f"approval.{state}",
                    target=request.id,
                    data={"tool": request.tool, "hash": closed.hash, "rule": request.rule},
                    correlation_id=correlation_id.get(),
                )
            ),
        ]
        live = await self._logs.open(SYSTEM, request.session_id)
        try:
            await self._commit(live, request, changes, _decision_event(closed, by, remember=remember))
        finally:
            self._logs.release(live)
        waiter = self._waiters.get(request.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(closed)
        return closed

    async def _commit(
        self, live: LiveSession, request: ApprovalRequest, changes: Sequence[Change], event: Event
    ) -> None:
        try:
            await self._logs.commit(live, changes, [event])
        except ApprovalClosedError as exc:
            raise _closed(await self._store.approval(SYSTEM, request.id)) from exc

    async def _with_arguments(self, request: ApprovalRequest, arguments: Mapping[str, object]) -> ApprovalRequest:
        tool = self._find_tool(request.tool)
        if tool is None:
            raise ToolArgumentsError(
                f"The tool {request.tool!r} is not loaded now, so its arguments cannot be checked.",
                mend="Approve or deny the call as it is.",
            )
        valid = tool.validate(arguments)
        text = canonical_arguments(valid)
        return replace(request, arguments=text, hash=call_hash(tool.name, text, await fingerprint_of(tool, valid)))

    def forget(self, request: ApprovalRequest) -> None:
        """Wake a waiter whose request was cancelled by its turn."""
        waiter = self._waiters.get(request.id)
        if waiter is not None and not waiter.done():
            waiter.cancel()


def _closed(request: ApprovalRequest) -> ApprovalClosedError:
    by = f" by {request.decided_by.strip('()')}" if request.decided_by else ""
    return ApprovalClosedError(
        f"The approval request {request.code} for {request.tool!r} is closed: it was {request.state}{by}.",
        mend="Nothing to do; a decision is made once.",
        facts={"state": request.state, "decided_by": request.decided_by},
    )


def _decision_event(request: ApprovalRequest, by: str, *, remember: bool) -> Event:
    data: dict[str, object] = {
        "approval_id": request.id,
        "tool_call_id": request.tool_call_id,
        "tool": request.tool,
        "by": by,
        "remark": request.remark,
    }
    if by == TIMEOUT:
        action = "approved" if request.state is ApprovalState.APPROVED else "rejected"
        return Event(
            EventType.APPROVAL_EXPIRED,
            {**data, "action": action},
            turn_id=request.turn_id,
            severity=Severity.WARNING,
        )
    data |= {"decision": str(request.state), "remember": remember}
    return Event(EventType.APPROVAL_DECIDED, data, turn_id=request.turn_id)
