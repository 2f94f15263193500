"""Runs the tool calls of one turn: validate, rule, ask, record the intent, execute, record the outcome."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, MutableSequence, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from pydantic_core import from_json

from iskra.approvals.chat import Language, new_code, speaks_russian
from iskra.approvals.inspection import fingerprint_of, preview_of
from iskra.approvals.provenance import untrusted_source
from iskra.approvals.reasons import CHANGED, INTERRUPTED, UNTRUSTED
from iskra.correlation import correlation_id
from iskra.plugin_host.catalog import Catalog, Owned
from iskra.turns.tool_call import ToolJob, failure, recorded_result, refusal, refused, request_event
from iskra.turns.tool_execution import execute
from iskra.turns.tool_plan import access_of
from iskra.turns.turn_journal import Journal
from iskra.turns.turn_services import TurnServices
from iskra_sdk.approval import (
    ApprovalRequest,
    ApprovalState,
    CallFacts,
    Ruling,
    Verdict,
    call_hash,
    canonical_arguments,
)
from iskra_sdk.errors import ConflictError, IskraError, ToolDeniedError, ToolError
from iskra_sdk.event import Event, EventType, Severity
from iskra_sdk.ids import ApprovalId, EffectId, SessionId, TurnId
from iskra_sdk.message import Message, ToolCall, ToolResult, clean_text
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import (
    AppendAudit,
    AppendMessage,
    AuditEntry,
    Change,
    CloseApproval,
    CreateApproval,
    PutStep,
    StepKind,
    StepRecord,
    StepState,
    TurnState,
    UpdateTurn,
)
from iskra_sdk.tool import Tool, ToolContext

logger = logging.getLogger(__name__)

LONGEST_EVENT_CONTENT = 2_000  # characters an event shows of it
_CODE_ATTEMPTS = 5


class CallingTurn(Protocol):
    """The turn that tool calls belong to."""

    id: TurnId
    session_id: SessionId
    principal: Principal
    input: Message
    labels: frozenset[str]
    agent: str
    catalog: Catalog
    journal: Journal
    services: TurnServices
    messages: MutableSequence[Message]
    tools: Mapping[str, Tool]
    owned_tools: Mapping[str, Owned[Tool]]

    def next_message_index(self) -> int:
        """Take the next place in the conversation."""

    def append_message(self, index: int, message: Message) -> AppendMessage:
        """Return the change that adds a message at its place."""

    def add(self, changes: Sequence[Change] = (), events: Sequence[Event] = ()) -> None:
        """Collect changes for the next commit."""

    async def flush(self, changes: Sequence[Change] = (), events: Sequence[Event] = ()) -> None:
        """Commit what was collected and the given changes."""

    async def show_progress(self, text: str) -> None:
        """Show a piece of progress."""


class ToolRunner:
    """Runs tool calls for one turn.

    Every call's step is committed before the call is dispatched, and its outcome before the turn goes on. Calls that
    use different resources run side by side (:mod:`iskra.turns.tool_plan`); one that waits for a person holds up only
    those that depend on it.

    Args:
        turn: The turn the calls belong to, which owns the runner.
    """

    def __init__(self, turn: CallingTurn) -> None:
        # They would hold each other up: each turn, with all its events, would wait for the garbage collector.
        self._turn: CallingTurn = weakref.proxy(turn)
        self._services = turn.services
        self._limits = turn.services.limits
        self._jobs: list[ToolJob] = []  # those without a result, in the order they were asked for
        self._running: set[ToolJob] = set()
        self._progress = asyncio.Condition()
        self._waiting: dict[int, ToolJob] = {}
        self._started: dict[int, ToolJob] = {}
        self._aside: list[Message] = []
        """Calls of the agent's own and their results, which are not in the conversation."""

    async def run(self, calls: Sequence[ToolCall], *, in_conversation: bool = True) -> Sequence[ToolResult]:
        """Run calls and return their results in the same order.

        Args:
            calls: What to run.
            in_conversation: Whether the results become messages.
        """
        jobs = [self._job(call, in_conversation=in_conversation) for call in calls]
        fresh = [job for job in jobs if job.state is None]
        most = self._limits.tool_calls_per_answer
        for place, job in enumerate(jobs):
            if job.result is not None:
                continue
            if place < most:
                await self._prepare(job)
            else:
                job.result = refused(
                    ToolError(
                        f"You asked for {len(calls)} calls at once; the first {most} were run, this one was not.",
                        mend="Ask for fewer calls at once.",
                    )
                )
        open_jobs = [job for job in jobs if job.result is None]
        self._jobs.extend(open_jobs)
        if fresh:
            await self._announce(fresh)
        try:
            await self._finish_all(open_jobs)
        finally:
            self._jobs = [job for job in self._jobs if job not in open_jobs]
            self._running.difference_update(open_jobs)
        results = [job.result for job in jobs if job.result is not None]
        if not in_conversation:
            self._aside.append(Message.assistant("", calls))
            self._aside += [result.message(call) for call, result in zip(calls, results, strict=True)]
        return results

    @property
    def is_waiting(self) -> bool:
        """Whether all that is left waits for a person."""
        return bool(self._waiting) and not self._started

    def abandon(self) -> tuple[list[Change], list[Event]]:
        """Return what closes the books on calls that a cancelled or failed turn leaves behind."""
        changes: list[Change] = []
        events: list[Event] = []
        now = self._services.clock.now()
        for job in self._waiting.values():
            if job.request is not None and job.request.state is ApprovalState.OPEN:
                changes.append(CloseApproval(job.request.id, ApprovalState.CANCELLED, "(turn)", now))
        for job in self._started.values():
            changes.append(self._step(job, StepState.UNKNOWN))
            message = "The turn ended while this call was running; it may have taken effect."
            events.append(
                self._event(job, EventType.TOOL_FAILED, severity=Severity.WARNING, code="abandoned", message=message)
            )
        return changes, events

    # Preparing -------------------------------------------------------------------------------------------------------

    def _job(self, call: ToolCall, *, in_conversation: bool) -> ToolJob:
        turn = self._turn
        index, recorded = turn.journal.take(StepKind.TOOL, call.name)
        message_index = turn.next_message_index() if in_conversation else None
        job = ToolJob(call, index, message_index, EffectId(f"{turn.id}.{index}"))
        if recorded is not None:
            job.state = recorded.state
            approval_id = recorded.data.get("approval_id")
            job.approval_id = ApprovalId(approval_id) if isinstance(approval_id, str) else None
            if recorded.state is StepState.DONE:
                job.result = recorded_result(recorded)
        return job

    async def _prepare(self, job: ToolJob) -> None:
        """Find the tool, check the arguments, and find out whether somebody must be asked."""
        turn = self._turn
        owned = turn.owned_tools.get(job.call.name)
        if owned is None:
            offered = ", ".join(sorted(turn.tools)) or "none"
            error = ToolError(f"There is no tool {job.call.name!r} for this agent.", mend=f"Its tools: {offered}.")
            job.result = refused(error)
            return
        job.tool, job.plugin = owned.value, owned.plugin
        try:
            job.arguments = job.tool.validate(job.call.arguments)
            job.access = access_of(job.tool, job.arguments)
            if job.approval_id is not None:
                job.request = await self._services.store.approval(SYSTEM, job.approval_id)
            if job.state is StepState.STARTED and not job.tool.is_repeatable:
                job.request = await self._request(job, self._interrupted)
            elif job.state is None:
                ruling = await self._rule(job)
                if ruling.verdict is Verdict.ASK:
                    job.request = await self._request(job, ruling)
        except IskraError as exc:
            job.result = refused(exc)

    async def _rule(self, job: ToolJob) -> Ruling:
        tool, arguments = job.ready
        turn = self._turn
        facts = CallFacts(
            tool=tool.name,
            risk=tool.risk,
            arguments=arguments,
            agent=turn.agent,
            principal_id=turn.principal.id,
            plugin=job.plugin,
            language=self._language,
        )
        policy = self._services.policy
        by_rule = policy.rule(facts, turn.catalog.rules)
        ruling = policy.advised(facts, by_rule, turn.catalog.advisors)
        if ruling.verdict is Verdict.DENY:
            reason = f": {ruling.reason}" if ruling.reason else "."
            raise ToolDeniedError(f"The rule {ruling.rule!r} denies this call{reason}", mend="Do not repeat it.")
        if ruling.verdict is Verdict.ALLOW and job.has_effect and not ruling.even_untrusted:
            said = [*turn.messages, *self._aside]
            source = await untrusted_source(tool, arguments, said, turn.tools, ruling)
            if source is not None:
                return policy.kernel_ruling("untrusted", UNTRUSTED[self._language].format(source=source))
        if ruling.verdict is Verdict.ALLOW and by_rule.verdict is Verdict.ASK:
            job.allowed_by = ruling
            await self._note_automatic(job, ruling)
        return ruling

    async def _note_automatic(self, job: ToolJob, ruling: Ruling) -> None:
        """Keep account of a call that an advisor allows in the person's place."""
        tool, arguments = job.ready
        text = canonical_arguments(arguments)
        bound = call_hash(tool.name, text, await fingerprint_of(tool, arguments))
        data = {
            "tool": tool.name,
            "arguments": text[:2000],
            "hash": bound,
            "rule": ruling.rule,
            "reason": ruling.reason,
        }
        entry = AuditEntry(
            at=self._services.clock.now(),
            principal_id=self._turn.principal.id,
            action="approval.automatic",
            target=f"{self._turn.id}.{job.index}",
            data=data,
            correlation_id=correlation_id.get(),
        )
        event = self._event(job, EventType.APPROVAL_AUTOMATIC, rule=ruling.rule, reason=ruling.reason)
        self._turn.add([AppendAudit(entry)], [event])

    @property
    def _language(self) -> Language:
        return "ru" if speaks_russian(self._turn.input.text) else "en"

    @property
    def _interrupted(self) -> Ruling:
        return self._services.policy.kernel_ruling("interrupted", INTERRUPTED[self._language])

    async def _request(self, job: ToolJob, ruling: Ruling) -> ApprovalRequest:
        tool, arguments = job.ready
        turn = self._turn
        return self._services.approvals.draft(
            principal_id=turn.principal.id,
            session_id=turn.session_id,
            turn_id=turn.id,
            tool_call_id=job.call.id,
            agent=turn.agent,
            tool=tool.name,
            plugin=job.plugin,
            risk=tool.risk,
            arguments=arguments,
            fingerprint=await fingerprint_of(tool, arguments),
            preview=await preview_of(tool, arguments),
            ruling=ruling,
        )

    # Asking and recording --------------------------------------------------------------------------------------------

    async def _announce(self, jobs: Sequence[ToolJob]) -> None:
        """Commit the first step of every call, together with what the turn still has to commit.

        A call that may run at once is recorded as started here already, which saves a commit.
        """
        for job in jobs:
            shown = job.arguments if job.arguments is not None else job.call.arguments
            risk = job.tool.risk if job.tool is not None else None
            after = [other.call.id for other in self._in_the_way_of(job)]
            facts: dict[str, Any] = {"arguments": shown, "risk": risk, **({"after": after} if after else {})}
            self._turn.add(events=[self._event(job, EventType.TOOL_REQUESTED, **facts)])
            if job.result is not None:
                self._record_result(job)
            elif job.request is not None or not self._may_start(job):
                self._turn.add([self._step(job, StepState.WAITING)])
            else:
                self._running.add(job)
                self._record_start(job)
        await self._ask([job for job in jobs if job.request is not None and job.result is None])

    async def _ask(self, jobs: Sequence[ToolJob]) -> None:
        """Commit what is pending together with the requests of ``jobs``; a code that is taken gets replaced."""
        turn = self._turn
        expected = frozenset({TurnState.RUNNING, TurnState.WAITING_APPROVAL})
        for attempts_left in reversed(range(_CODE_ATTEMPTS)):
            requests = [job.request for job in jobs if job.request is not None]
            changes: list[Change] = [CreateApproval(request) for request in requests]
            if requests:
                changes.append(UpdateTurn(turn.id, TurnState.WAITING_APPROVAL, expected))
            try:
                await turn.flush(changes, [request_event(request) for request in requests])
            except ConflictError as exc:
                if type(exc) is not ConflictError or not requests or not attempts_left:
                    raise
                for job in jobs:
                    job.request = replace(job.request, code=new_code()) if job.request is not None else None
            else:
                return

    def _record_start(self, job: ToolJob) -> None:
        self._started[job.index] = job
        event = self._event(job, EventType.TOOL_STARTED, effect_id=job.effect_id)
        self._turn.add([self._step(job, StepState.STARTED)], [event])

    def _record_result(self, job: ToolJob) -> None:
        """Add the changes and the event of a call's result to what the turn commits next."""
        turn, result = self._turn, job.result
        if result is None:
            raise ValueError("the call has no result")
        self._started.pop(job.index, None)
        changes: list[Change] = [self._step(job, StepState.DONE)]
        if job.message_index is not None:
            changes.append(turn.append_message(job.message_index, result.message(job.call)))
        facts: dict[str, Any] = {"seconds": job.seconds}
        content = result.content[:LONGEST_EVENT_CONTENT]
        if result.is_error:
            facts |= {"code": result.error_code, "message": content}
            event = self._event(job, EventType.TOOL_FAILED, severity=Severity.WARNING, **facts)
        else:
            event = self._event(job, EventType.TOOL_COMPLETED, content=content, **facts)
        turn.add(changes, [event])

    def _step(self, job: ToolJob, state: StepState) -> PutStep:
        now = self._services.clock.now()
        data: dict[str, object] = {"call": job.call.wire, "arguments": job.arguments}
        if job.request is not None:
            data["approval_id"] = job.request.id
        if job.decision is not None:
            data["decision"] = job.decision
        if state is StepState.DONE and job.result is not None:
            data["seconds"] = job.seconds
            data["result"] = {
                "content": job.result.content,
                "data": job.result.data,
                "is_error": job.result.is_error,
                "error_code": job.result.error_code,
                "is_trusted": job.result.is_trusted,
            }
        step = StepRecord(
            turn_id=self._turn.id,
            index=job.index,
            kind=StepKind.TOOL,
            state=state,
            started_at=now,
            name=job.call.name,
            data=data,
            effect_id=job.effect_id,
            ended_at=now if state is StepState.DONE else None,
        )
        expected, job.state = job.state, state
        return PutStep(step, expected)

    def _event(self, job: ToolJob, event_type: EventType, *, severity: Severity = Severity.INFO, **data: Any) -> Event:
        facts = {"tool_call_id": job.call.id, "tool": job.call.name, **data}
        return Event(event_type, facts, turn_id=self._turn.id, severity=severity, at=self._services.clock.now())

    # Finishing -------------------------------------------------------------------------------------------------------

    async def _finish_all(self, jobs: Sequence[ToolJob]) -> None:
        if len(jobs) == 1:
            await self._finish(jobs[0])
        elif jobs:
            try:
                async with asyncio.TaskGroup() as group:
                    for job in jobs:
                        group.create_task(self._finish(job), name=f"tool {job.call.name}")
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from failures

    async def _finish(self, job: ToolJob) -> None:
        """Bring one announced call to its result and commit that."""
        if job.state is StepState.STARTED and job.request is not None and job.request.id != job.approval_id:
            self._turn.add([self._step(job, StepState.UNKNOWN)])  # interrupted by a crash
            await self._ask([job])
        while True:
            if job.request is not None and not await self._is_approved(job):
                await self._finish_without_running(job)
                return
            async with self._room_for(job):
                if job.state is StepState.STARTED or not await self._is_stale(job):
                    await self._dispatch(job)
                    return
            try:
                ruling = self._services.policy.kernel_ruling("changed", CHANGED[self._language])
                job.request = await self._request(job, ruling)
            except IskraError as exc:
                job.result = failure(exc)  # what it would act on has changed so that it cannot run at all
                await self._finish_without_running(job)
                return
            self._turn.add([self._step(job, StepState.WAITING)])
            await self._ask([job])

    @asynccontextmanager
    async def _room_for(self, job: ToolJob) -> AsyncIterator[None]:
        """Wait until a call may run, and let others go on when it has."""
        if job not in self._running:
            async with self._progress:
                await self._progress.wait_for(lambda: self._may_start(job))
                self._running.add(job)
        try:
            yield
        finally:
            self._running.discard(job)
            async with self._progress:
                self._progress.notify_all()

    def _may_start(self, job: ToolJob) -> bool:
        """Return whether nothing that a call must wait for is left, and there is room for one more."""
        if len(self._running) >= self._limits.parallel_tools:
            return False
        most = job.tool.max_parallel if job.tool is not None else None
        if most is not None and sum(other.call.name == job.call.name for other in self._running) >= most:
            return False
        if any(other.access.excludes(job.access) for other in self._running):
            return False
        return next(self._in_the_way_of(job), None) is None

    def _in_the_way_of(self, job: ToolJob) -> Iterator[ToolJob]:
        """Yield the calls before a call that it must wait for."""
        for other in self._jobs:
            if other is job:
                return
            if other.result is None and other.access.excludes(job.access):
                yield other

    async def _finish_without_running(self, job: ToolJob) -> None:
        self._record_result(job)
        await self._turn.flush(self._running_again())
        async with self._progress:
            self._progress.notify_all()

    async def _is_approved(self, job: ToolJob) -> bool:
        """Wait for the decision; without approval the call's result says why."""
        if job.request is None:
            return True
        self._waiting[job.index] = job
        if job.request.state is ApprovalState.OPEN:
            job.request = await self._services.approvals.wait(job.request)
        del self._waiting[job.index]
        if job.request.state is ApprovalState.APPROVED:
            job.arguments = from_json(job.request.arguments)
            job.access = access_of(*job.ready)  # a person may have edited them
            return True
        job.result = refused(refusal(job.request, was_interrupted=job.state is StepState.UNKNOWN))
        return False

    async def _is_stale(self, job: ToolJob) -> bool:
        """Return whether the decision was about another state of the world."""
        tool, arguments = job.ready
        if job.request is None:
            return False
        try:
            fingerprint = await fingerprint_of(tool, arguments)
        except ToolError:
            return True
        return call_hash(tool.name, job.request.arguments, fingerprint) != job.request.hash

    def _running_again(self) -> list[Change]:
        if self._waiting:
            return []
        expected = frozenset({TurnState.RUNNING, TurnState.WAITING_APPROVAL})
        return [UpdateTurn(self._turn.id, TurnState.RUNNING, expected)]

    async def _dispatch(self, job: ToolJob) -> None:
        """Commit the intent, run the call, commit the outcome."""
        if job.state is not StepState.STARTED:
            self._record_start(job)
            await self._turn.flush(self._running_again() if job.request is not None else ())
        began = self._services.clock.monotonic()
        job.result = await execute(job, self._context(job), self._services)
        job.seconds = round(self._services.clock.monotonic() - began, 3)
        self._record_result(job)
        await self._turn.flush()

    def _context(self, job: ToolJob) -> ToolContext:
        turn = self._turn
        show_progress = turn.show_progress

        async def progress(text: str) -> None:
            await show_progress(clean_text(text))

        return ToolContext(
            principal=turn.principal,
            session_id=turn.session_id,
            turn_id=turn.id,
            tool_call_id=job.call.id,
            effect_id=job.effect_id,
            progress=progress,
            logger=logging.getLogger(f"iskra.plugin.{job.plugin}"),
            labels=turn.labels,
        )
