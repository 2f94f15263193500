"""Decides whether an operation may start, by the ethics rules and what the server knows of the session."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from iskra_chaos.ethics import Audit, Clearances, Operation, Review, Rules, SessionFacts, audit, review, tightened
from iskra_chaos.ethics.operation import Environment
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.processes.journal import ProcessJournal
from iskra_chaos.processes.judging import ModelJudge
from iskra_chaos.processes.process import ChaosProcess, EthicalApproval, ProcessStatus
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.telling import Telling
from iskra_chaos.sift.sensitivity import sensitive_topics
from iskra_metrics.distress import in_crisis
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConflictError
from iskra_sdk.event import Severity

_ABOUT_JUDGE = {
    "not_asked": "",
    "silent": "; the model judge did not answer",
    "no_objection": "; the model judge does not object",
    "objected": "; the model judge objects",
}
_SAID = 8  # latest messages that are searched for a crisis
_READ = 600  # characters of each that the rules read
_READ_FOR_TOPICS = 8_000  # characters of each that are searched for delicate subjects
MINOR = "minor"
"""The claim of a credential whose owner is a child."""


class Admission:
    """Reviews operations, and keeps what the review said.

    Args:
        clock: Dates reviews.
        rules: Returns the ethics rules. The first call reads them, which takes long: :meth:`facts` makes it.
        clearances: Issues and takes the permission to start.
        choices: What sessions' owners chose.
        journal: Keeps processes that were refused, too.
        telling: Publishes refusals.
        environment: Where this server runs.
        judge: Asks a language model about what the rules approve.
        cooldown: In how many turns operations may start again in a session.
    """

    def __init__(
        self,
        clock: Clock,
        rules: Callable[[], Rules],
        clearances: Clearances,
        *,
        choices: Choices,
        journal: ProcessJournal,
        telling: Telling,
        environment: Environment,
        judge: ModelJudge,
        cooldown: Callable[[str], int] = lambda session_id: 0,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._clearances = clearances
        self._choices = choices
        self._journal = journal
        self._telling = telling
        self._environment = environment
        self._judge = judge
        self._cooldown = cooldown

    def facts(
        self,
        session_id: str,
        conversation: Conversation,
        *,
        request: str = "",
        is_asked_for: bool = False,
        is_minor: bool = False,
    ) -> SessionFacts:
        """Return what the server itself knows of a session. To be called in a thread.

        Args:
            session_id: Which.
            conversation: What was said there.
            request: The person's words that lead to the operation.
            is_asked_for: The session's owner asks for it in the conversation itself, which is consent to this one.
            is_minor: Who issued the owner's credential says that they are a child.
        """
        self._rules()  # read in this thread, before a review asks for them in the event loop
        choices = self._choices.of(session_id)
        said = [message.text for message in conversation.messages[-_SAID:] if message.role == "user"]
        return SessionFacts(
            id=session_id,
            opt_in=choices.opt_in or is_asked_for,
            stopped=choices.stopped and not is_asked_for,
            goal=conversation.goal,
            request=request[:2000],
            said=tuple(text[:_READ] for text in said),
            readings=dict(conversation.readings),
            in_crisis=choices.crisis_left > 0 or any(in_crisis(text) for text in (*said, request)),
            is_minor=is_minor,
            sensitive_topics=topics_of(conversation),
            is_sandbox=choices.sandbox,
            environment=self._environment,
            turns_since_operation=_since(conversation.turn, choices.last_operation),
            turns_since_reset=_since(conversation.turn, choices.last_reset),
        )

    async def cleared(
        self, process: ChaosProcess, asked: Operation, conversation: Conversation, *, accept_modifications: bool
    ) -> Operation:
        """Return the operation that may start, its clearance used up.

        Raises:
            EthicsRefusedError: It may not; the process is kept as rejected.
            ConflictError: The conversation cools down.
        """
        audited = await asyncio.to_thread(self._audited, asked, conversation, accept_modifications=accept_modifications)
        final = await self._judged(audited, conversation)
        process.ethical_approvals.append(
            EthicalApproval(
                approved=final.approved,
                decision=final.decision,
                approved_by=f"rules {final.rules_version} ({', '.join(final.reviewers)}){_ABOUT_JUDGE[final.judge]}",
                violations=[violation.rule for violation in final.violations],
                concerns=[violation.message for violation in final.violations],
                modifications_applied=[part.reason for part in audited.first.suggested_modifications]
                if audited.first is not audited.final
                else [],
                at=self._clock.now(),
            )
        )
        if not final.approved:
            await self._refused(process, final)
        turns = self._cooldown(process.session_id)
        if turns:
            raise ConflictError(
                f"The conversation cools down: no operation starts for {turns} more turns.",
                mend="Wait, or take the cooldown back: POST /api/v1/chaos/stabilisers/{id}/revert.",
                facts={"why": "cools_down", "turns": turns},
            )
        token = self._clearances.issue(audited.operation, final)
        self._clearances.redeem(token, audited.operation)
        return audited.operation

    async def _judged(self, audited: Audit, conversation: Conversation) -> Review:
        """Return the review that counts, with what the model judge says to an approved operation."""
        if not audited.final.approved:
            return audited.final
        judgement = await self._judge.judgement(audited.operation, conversation.language)
        return tightened(audited.final, judgement.violations).model_copy(update={"judge": judgement.state})

    async def _refused(self, process: ChaosProcess, final: Review) -> None:
        rules = [violation.rule for violation in final.violations]
        process.move(ProcessStatus.REJECTED, self._clock.now(), "; ".join(rules))
        await self._journal.add(process)
        await self._telling.tell(
            "ethical_concern",
            {"process_id": process.id, "operation_type": process.type, "rules": rules},
            session_id=process.session_id,
            severity=Severity.WARNING,
            source="ethical_monitor",
        )

    def _audited(self, asked: Operation, conversation: Conversation, *, accept_modifications: bool) -> Audit:
        if accept_modifications:
            return audit(asked, self._rules(), language=conversation.language, at=self._clock.now())
        first = self.review(asked, conversation)
        return Audit(asked, first, first)

    def review(self, asked: Operation, conversation: Conversation) -> Review:
        """Return what the ethics check says to an operation, without starting it."""
        return review(asked, self._rules(), language=conversation.language, at=self._clock.now())


def as_cleared(
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


def topics_of(conversation: Conversation) -> tuple[str, ...]:
    """Return what the latest messages are about, of those subjects on which people act at their peril."""
    said = [message.text[:_READ_FOR_TOPICS] for message in conversation.messages[-_SAID:] if message.role != "tool"]
    return tuple(sorted({topic for text in said for topic in sensitive_topics(text)}))


def _since(turn: int, last: int) -> int | None:
    return max(0, turn - last) if last else None
