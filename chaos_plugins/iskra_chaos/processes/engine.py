"""Starts, counts and ends creative operations. One operation per session at a time, each with a lease."""

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from iskra_chaos.ethics import Audit, Clearances, Operation, Review, Rules, SessionFacts, audit, review
from iskra_chaos.ethics.operation import Environment, OperationType
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.effect import effect_of
from iskra_chaos.operations.intensity import level_of
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.planning import plan
from iskra_chaos.processes.journal import ProcessJournal
from iskra_chaos.processes.measuring import Measuring
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ChaosProcess, EthicalApproval, ProcessStatus, Transition
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.telling import Telling
from iskra_metrics.distress import in_crisis
from iskra_metrics.loops import fingerprint
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BadInputError, ConflictError, IskraError
from iskra_sdk.event import Severity
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message
from iskra_sdk.principal import Principal

LEASE = 600.0
"""Seconds an operation lasts without an answer that renews it."""
_MOST_RESULTS = 20
_MOST_SESSIONS = 1000
"""Sessions with an operation in force at once."""


class ChaosEngine:
    """The creative operations of this server.

    Args:
        clock: Measures leases.
        journal: Keeps processes.
        choices: What sessions' owners chose.
        measuring: Reads conversations.
        rules: The ethics rules.
        clearances: Issues and takes the permission to start.
        telling: Publishes events.
        environment: Where this server runs.
        on_change: Called when the first operation comes into force and when the last one ends.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        journal: ProcessJournal,
        choices: Choices,
        measuring: Measuring,
        rules: Rules,
        clearances: Clearances,
        telling: Telling,
        environment: Environment,
        on_change: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.choices = choices
        self.measuring = measuring
        self._clock = clock
        self._rules = rules
        self._clearances = clearances
        self._telling = telling
        self._environment = environment
        self._on_change = on_change
        self._sessions: dict[str, PerturbedSession] = {}
        self._starting: set[str] = set()
        self.is_stopped = False
        """The kill switch: nothing starts until it is released."""

    # Looking ---------------------------------------------------------------------------------------------------------

    def in_force(self, session_id: str) -> PerturbedSession | None:
        """Return the operation in force in a session; one whose lease is over acts no more."""
        session = self._held(session_id)
        return session if session is not None and session.acts else None

    def _held(self, session_id: str) -> PerturbedSession | None:
        """Return the operation that holds a session's place, also one that still rests."""
        session = self._sessions.get(session_id)
        return None if session is None or self._clock.monotonic() >= session.expires else session

    def blocking(self, session_id: str) -> PerturbedSession | None:
        """Return the ``pattern_break`` in force in a session, if there is one."""
        session = self.in_force(session_id)
        return session if session is not None and session.perturbation.blocked_calls else None

    @property
    def sessions(self) -> Mapping[str, PerturbedSession]:
        """Sessions with an operation in force."""
        return self._sessions

    # Starting --------------------------------------------------------------------------------------------------------

    async def facts(self, session_id: str, conversation: Conversation, *, request: str = "") -> SessionFacts:
        """Return what the server itself knows of a session, for the ethics check."""
        choices = await self.choices.of(session_id)
        said = [message.text for message in conversation.messages[-8:] if message.role == "user"]
        return SessionFacts(
            id=session_id,
            opt_in=choices.opt_in,
            stopped=choices.stopped,
            goal=conversation.goal,
            request=request[:2000],
            readings=dict(conversation.readings),
            in_crisis=any(in_crisis(text) for text in (*said, request)),
            is_sandbox=choices.sandbox,
            environment=self._environment,
            turns_since_operation=_since(choices.answers, choices.last_operation),
            turns_since_reset=_since(choices.answers, choices.last_reset),
        )

    async def start(
        self,
        principal: Principal,
        session_id: str,
        operation_type: OperationType,
        intensity: float,
        *,
        request: str = "",
        seed: int | None = None,
        accept_modifications: bool = False,
        initiator: str = "",
    ) -> ChaosProcess:
        """Start an operation in a session.

        Args:
            principal: Who asks; the session must be theirs.
            session_id: Where.
            operation_type: One of the six.
            intensity: In [0.1, 1.0].
            request: The person's words that led to it.
            seed: Decides every choice; drawn and recorded where it is not given.
            accept_modifications: Apply what the ethics check suggests instead of refusing.
            initiator: Who started it if not the principal, e.g. ``balance``.

        Raises:
            SessionNotFoundError: No such session for this principal.
            EthicsRefusedError: The ethics check refuses; its facts say what and what would help.
            ConflictError: Another operation is in force there, or everything is stopped.
            BadInputError: The operation makes no sense in this conversation.
        """
        self._require_room(session_id)
        self._starting.add(session_id)
        try:
            conversation = await self.measuring.conversation(principal, session_id)
            facts = await self.facts(session_id, conversation, request=request)
            seed = secrets.randbits(63) if seed is None else seed
            perturbation = plan(operation_type, conversation, intensity, seed)
            asked = Operation(
                operation_type=operation_type,
                form="creative",
                intensity=intensity,
                session=facts,
                initiator=initiator or principal.id,
                prompt_card=perturbation.instruction[:4000],
                disclosed=bool(perturbation.notice) or operation_type != "fire_reset",
                hypotheses_labelled="[HYP]" in perturbation.instruction,
            )
            process = ChaosProcess(
                id=f"chaos_{uuid.uuid4().hex}",
                type=operation_type,
                intensity=intensity,
                status=ProcessStatus.INITIATED,
                session_id=session_id,
                owner=principal.id,
                initiator=asked.initiator,
                seed=seed,
                start_time=self._clock.now(),
                estimated_duration=int(LEASE),
                affected_components=[f"session/{session_id}"],
                metrics_before=dict(conversation.readings),
            )
            cleared = await self._cleared(process, asked, conversation, accept_modifications=accept_modifications)
            if cleared.intensity != intensity:
                process.intensity = cleared.intensity
                perturbation = plan(operation_type, conversation, cleared.intensity, seed)
            perturbation = _as_cleared(perturbation, asked, cleared, speaks_russian=conversation.language == "ru")
            self._apply(process, perturbation, conversation, rests=cleared.delay_turns)
            await self.journal.add(process)
            if not cleared.delay_turns:
                await self.journal.move(process, ProcessStatus.ACTIVE, "applied")
        finally:
            self._starting.discard(session_id)
        if operation_type == "paradox_generation":
            await self._telling.process("paradox_detected", process)
        await self._telling.process("chaos_initiated", process)
        return process

    def _require_room(self, session_id: str) -> None:
        if self.is_stopped:
            raise ConflictError(
                "All operations are stopped by an emergency stop.",
                mend="An operator releases it: POST /api/v1/control/release.",
            )
        session = self._held(session_id)
        if session is not None or session_id in self._starting:
            raise ConflictError(
                "An operation is in force in this session already.",
                mend="Wait until it is over, or take it back first.",
                facts={"process_id": session.process.id if session is not None else ""},
            )
        if len(self._sessions) >= _MOST_SESSIONS:
            raise ConflictError(
                f"Operations are in force in {_MOST_SESSIONS} sessions already.", mend="Try again in a minute."
            )

    async def _cleared(
        self, process: ChaosProcess, asked: Operation, conversation: Conversation, *, accept_modifications: bool
    ) -> Operation:
        """Return the operation that may start, its clearance used up.

        Raises:
            EthicsRefusedError: It may not; the process is kept as rejected.
        """
        audited = self._audit(asked, conversation, accept_modifications=accept_modifications)
        final = audited.final
        approval = EthicalApproval(
            approved=final.approved,
            decision=final.decision,
            approved_by=f"rules {final.rules_version} ({', '.join(final.reviewers)})",
            violations=[violation.rule for violation in final.violations],
            concerns=[violation.message for violation in final.violations],
            modifications_applied=[part.reason for part in audited.first.suggested_modifications]
            if audited.first is not final
            else [],
            at=self._clock.now(),
        )
        process.ethical_approvals.append(approval)
        if not final.approved:
            process.move(ProcessStatus.REJECTED, self._clock.now(), "; ".join(approval.violations))
            await self.journal.add(process)
            await self._telling.tell(
                "ethical_concern",
                {"process_id": process.id, "operation_type": process.type, "rules": approval.violations},
                session_id=process.session_id,
                severity=Severity.WARNING,
                source="ethical_monitor",
            )
        token = self._clearances.issue(audited.operation, final)
        self._clearances.redeem(token, audited.operation)
        return audited.operation

    def _audit(self, asked: Operation, conversation: Conversation, *, accept_modifications: bool) -> Audit:
        language, now = conversation.language, self._clock.now()
        if accept_modifications:
            return audit(asked, self._rules, language=language, at=now)
        first = review(asked, self._rules, language=language, at=now)
        return Audit(asked, first, first)

    def review(self, asked: Operation, conversation: Conversation) -> Review:
        """Return what the ethics check says to an operation, without starting it."""
        return review(asked, self._rules, language=conversation.language, at=self._clock.now())

    def _apply(
        self, process: ChaosProcess, perturbation: Perturbation, conversation: Conversation, *, rests: int
    ) -> None:
        process.changes = list(perturbation.changes)
        process.history.append(Transition(status=ProcessStatus.INITIATED, at=process.start_time, reason="requested"))
        was_quiet = not self._sessions
        self._sessions[process.session_id] = PerturbedSession(
            process,
            perturbation,
            conversation,
            turns_left=perturbation.turns,
            expires=self._clock.monotonic() + LEASE,
            rests=rests,
            blocks_left=perturbation.blocked_calls,
            calls=_calls_so_far(conversation.messages) if perturbation.blocked_calls else [],
        )
        if was_quiet:
            self._on_change()

    # Counting --------------------------------------------------------------------------------------------------------

    async def note_answer(self, session: PerturbedSession, request: LLMRequest, answer: str, left_out: int) -> None:
        """Measure an answer that was given under an operation, and go on with its life when its turn is over."""
        process = session.process
        if not process.is_running:
            return
        effect = await asyncio.to_thread(
            effect_of, process.type, session.perturbation, session.conversation, answer, left_out=left_out
        )
        process.observed += effect.is_observed
        metrics, count = process.chaos_metrics, max(1, process.applied)
        metrics.entropy_increase += (effect.entropy_increase - metrics.entropy_increase) / count
        metrics.complexity_boost += (effect.complexity_boost - metrics.complexity_boost) / count
        metrics.emergence_indicators = list(
            dict.fromkeys([*metrics.emergence_indicators, *effect.emergence_indicators])
        )
        if not session.perturbation.branches:
            process.intermediate_results = [
                *process.intermediate_results,
                {"answer": process.applied, "observed": effect.is_observed, "why": effect.why},
            ][-_MOST_RESULTS:]
        session.expires = self._clock.monotonic() + LEASE
        session.answers[request.caller.turn_id] = answer
        if effect.emergence_indicators:
            await self._telling.process("emergence_occurred", process, indicators=list(effect.emergence_indicators))

    async def note_failure(self, session: PerturbedSession, error: Exception) -> None:
        """Note that a perturbed call failed and that the plain one answered in its place."""
        process = session.process
        if process.is_running:
            await self._end(session, ProcessStatus.FAILED, f"the perturbed call failed: {error}")

    def note_block(self, session: PerturbedSession, tool: str) -> None:
        """Note that a circling tool call was refused."""
        process = session.process
        process.observed += 1
        process.intermediate_results = [*process.intermediate_results, {"refused": tool}][-_MOST_RESULTS:]

    async def turn_over(self, session_id: str, turn_id: str) -> None:
        """Count a turn of a session: an operation lasts a number of answers."""
        choices = await self.choices.of(session_id)
        await self.choices.change(session_id, answers=choices.answers + 1)
        session = self._held(session_id)
        if session is not None and session.rests:
            session.rests -= 1
            session.expires = self._clock.monotonic() + LEASE
            if not session.rests:
                await self.journal.move(session.process, ProcessStatus.ACTIVE, "the conversation has rested")
            return
        if session is None or turn_id not in session.answers or turn_id in session.turns_seen:
            return
        session.turns_seen.add(turn_id)
        process = session.process
        if process.status is ProcessStatus.STABILIZING:
            await self._complete(session)
            return
        session.turns_left -= 1
        answered = session.answers[turn_id]
        session.conversation = replace(
            session.conversation, messages=[*session.conversation.messages, Message.assistant(answered)]
        )
        if session.turns_left > 0:
            await self.journal.write(process)
            return
        await self.journal.move(process, ProcessStatus.STABILIZING, "its answers are given")
        if level_of(process.intensity) == "L1":
            await self._complete(session)

    async def _complete(self, session: PerturbedSession) -> None:
        await self._end(session, ProcessStatus.COMPLETED, "observed" if session.process.observed else "not observed")

    # Ending ----------------------------------------------------------------------------------------------------------

    async def _end(self, session: PerturbedSession, status: ProcessStatus, reason: str) -> None:
        process = session.process
        if self._sessions.get(process.session_id) is session:
            del self._sessions[process.session_id]
            if not self._sessions:
                self._on_change()
        with suppress(IskraError):  # a session that is gone is measured no more
            process.metrics_after = dict(await self.measuring.readings(process.session_id))
        await self.journal.move(process, status, reason)
        choices = await self.choices.of(process.session_id)
        ended = {"last_operation": max(1, choices.answers)}
        if process.type == "fire_reset":
            ended["last_reset"] = ended["last_operation"]
        await self.choices.change(process.session_id, **ended)
        await self._telling.process("chaos_completed", process, reason=reason)

    async def abort(self, process: ChaosProcess, reason: str) -> None:
        """Stop an operation at once; one that has ended stays as it is."""
        session = self._sessions.get(process.session_id)
        if session is not None and session.process is process:
            await self._end(session, ProcessStatus.ABORTED, reason)

    async def settle(self, process: ChaosProcess, reason: str) -> None:
        """Stop an operation gently: the next answer calms the conversation down, then it is over."""
        session = self._sessions.get(process.session_id)
        if session is None or session.process is not process or process.status is not ProcessStatus.ACTIVE:
            return
        await self.journal.move(process, ProcessStatus.STABILIZING, reason)

    async def roll_back(self, process: ChaosProcess, reason: str) -> ChaosProcess:
        """Take back what an operation changed; for one that was taken back nothing happens.

        An operation never edits what is stored: when it no longer acts, the model sees the conversation as it is.

        Raises:
            BadInputError: It never started.
        """
        if process.status is ProcessStatus.ROLLED_BACK:
            return process
        if process.status is ProcessStatus.REJECTED:
            raise BadInputError("This operation was refused and changed nothing.", mend="There is nothing to undo.")
        session = self._sessions.get(process.session_id)
        if session is not None and session.process is process:
            await self._end(session, ProcessStatus.ROLLED_BACK, reason)
        else:
            await self.journal.move(process, ProcessStatus.ROLLED_BACK, reason)
        return process

    async def stop_all(self, reason: str) -> list[ChaosProcess]:
        """Stop everything at once and start nothing until :attr:`is_stopped` is taken back."""
        self.is_stopped = True
        stopped = list(self._sessions.values())
        self._sessions.clear()
        if stopped:
            self._on_change()
        for session in stopped:
            await self._end(session, ProcessStatus.ABORTED, reason)
        return [session.process for session in stopped]

    async def sweep(self) -> None:
        """End operations whose lease is over."""
        now = self._clock.monotonic()
        for session in list(self._sessions.values()):
            if now >= session.expires:
                await self._end(session, ProcessStatus.ABORTED, "its lease ran out: no answer renewed it")

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        if self._sessions.pop(session_id, None) is not None and not self._sessions:
            self._on_change()
        self.measuring.forget(session_id)
        await self.choices.forget(session_id)
        await self.journal.forget_session(session_id)


def _as_cleared(
    perturbation: Perturbation, asked: Operation, cleared: Operation, *, speaks_russian: bool
) -> Perturbation:
    """Return a perturbation with everything that the ethics check changed in the operation."""
    instruction = perturbation.instruction
    if cleared.prompt_card != asked.prompt_card:
        instruction = cleared.prompt_card
    if cleared.hypotheses_labelled and not asked.hypotheses_labelled:
        instruction += (
            " Всё, что не доказано, помечай [HYP]." if speaks_russian else " Mark whatever is not proven as [HYP]."
        )
    if cleared.base_answer_first and not asked.base_answer_first:
        instruction += (
            " Сначала дай обычный, надёжный ответ." if speaks_russian else " Give the ordinary, reliable answer first."
        )
    return replace(perturbation, instruction=instruction.strip())


def _since(answers: int, last: int) -> int | None:
    return max(0, answers - last) if last else None


def _calls_so_far(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return the conversation's tool calls with their results, as :class:`Blocking` counts them."""
    found: list[tuple[str, str]] = []
    open_calls: dict[str, tuple[str, str]] = {}
    for message in messages:
        for call in message.tool_calls:
            open_calls[call.id] = (call.name, call.arguments)
        if message.role == "tool" and message.tool_call_id in open_calls:
            name, arguments = open_calls.pop(message.tool_call_id)
            own = f"{name} {fingerprint(name, arguments, '')}"
            found.append((fingerprint(name, arguments, message.text), own))
    return found
