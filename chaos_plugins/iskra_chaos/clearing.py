"""The ethics check of what needs no conversation to act on: injections into blocks, and faults."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from iskra_chaos.ethics import Clearances, Insertion, Operation, Review, Rules, SessionFacts, review
from iskra_chaos.ethics.operation import MOST_SAID, Environment, InjectionType, OperationType
from iskra_chaos.faults.models import FaultRequest
from iskra_chaos.faults.vocabulary import Family
from iskra_chaos.processes.admission import MINOR, Admission
from iskra_chaos.processes.measuring import Measuring
from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.block_text import language_of_block, statements_of, text_of
from iskra_chaos.sift.injections.injection import inject
from iskra_chaos.sift.refusals import InjectionBoundError
from iskra_chaos.sift.sensitivity import sensitive_topics
from iskra_metrics.distress import in_crisis
from iskra_metrics.text import Language
from iskra_sdk.clock import Clock
from iskra_sdk.principal import Principal
from iskra_sdk.tool import Risk, Tool

_OPERATION_OF_FAMILY: Mapping[Family, OperationType] = {
    Family.LATENCY: "micro_disturbance",
    Family.CRASH: "pattern_break",
    Family.OMISSION: "pattern_break",
    Family.SHAPE: "pattern_break",
    Family.VALUE: "paradox_generation",
    Family.ORDER: "quantum_flux",
    Family.TIME: "quantum_flux",
}

_OPERATION_OF_INJECTION: Mapping[InjectionType, OperationType] = {
    "paradox_seeds": "paradox_generation",
    "perspective_shifts": "quantum_flux",
    "contradiction_points": "paradox_generation",
    "uncertainty_zones": "micro_disturbance",
    "emergence_triggers": "emergent_stimulation",
}

_LONGEST_QUESTION = 2_000
"""Characters of the question in a block that the rules read."""

_LONGEST = 2_000  # characters of one insertion


class Clearing:
    """Reviews injections and faults, and uses their clearances.

    Args:
        rules: The ethics rules.
        clearances: Issues and takes the permission.
        clock: Dates reviews.
        measuring: Reads the conversation that a block belongs to.
        admission: Knows the facts of sessions.
        environment: Where this server runs.
        tools: Returns the tools that the server offers now.
    """

    def __init__(
        self,
        rules: Rules,
        clearances: Clearances,
        clock: Clock,
        *,
        measuring: Measuring,
        admission: Admission,
        environment: Environment,
        tools: Callable[[], Mapping[str, Tool]],
    ) -> None:
        self._rules = rules
        self._clearances = clearances
        self._clock = clock
        self._measuring = measuring
        self._admission = admission
        self._environment = environment
        self._tools = tools

    async def _injection(
        self,
        principal: Principal,
        block: SIFTBlock,
        injection: InjectionType,
        intensity: float,
        *,
        seed: int,
        session_id: str = "",
    ) -> Operation:
        """Return an injection as the ethics check sees it. Blocks are copies: the caller's own, sent here and back."""
        facts = SessionFacts(opt_in=True, is_minor=MINOR in principal.claims, environment=self._environment)
        if session_id:
            conversation = await self._measuring.conversation(principal, session_id)
            facts = self._admission.facts(session_id, conversation, is_minor=MINOR in principal.claims)
        facts = await asyncio.to_thread(_with_block, facts, block)
        is_canary = injection == "contradiction_points"
        tag: Literal["CANARY", "HYP"] = "CANARY" if is_canary else "HYP"
        texts = await asyncio.to_thread(
            _inserted_texts, block, injection, intensity, seed=seed, sandbox=facts.is_sandbox
        )
        return Operation(
            operation_type=_OPERATION_OF_INJECTION[injection],
            form="creative",
            intensity=intensity,
            session=facts,
            initiator=principal.id,
            sandboxed=not is_canary,
            disclosed=True,
            injection_type=injection,
            insertions=tuple(Insertion(text=text, tag=tag) for text in texts),
            hypotheses_labelled=True,
            base_answer_first=True,  # what the block says stays, and stands before what is added
            touches=(f"/blocks/{content_hash(block)}",),  # a clearance is for this block and no other
        )

    def _review(self, asked: Operation, language: Language = "en") -> Review:
        return review(asked, self._rules, language=language, at=self._clock.now())

    async def review_injection(
        self,
        principal: Principal,
        block: SIFTBlock,
        injection: InjectionType,
        intensity: float,
        *,
        seed: int,
        session_id: str,
    ) -> tuple[Review, str]:
        """Review an injection; return the review and, if it approves, a token for exactly this injection."""
        asked = await self._injection(principal, block, injection, intensity, seed=seed, session_id=session_id)
        reviewed = await asyncio.to_thread(self._review, asked, language_of_block(block))
        return reviewed, self._clearances.issue(asked, reviewed) if reviewed.approved else ""

    async def redeem_injection(
        self,
        principal: Principal,
        token: str,
        block: SIFTBlock,
        injection: InjectionType,
        intensity: float,
        *,
        seed: int,
        session_id: str,
    ) -> bool:
        """Use up a token for an injection; return whether it happens in a sandbox.

        Raises:
            ClearanceError: The token is not one for exactly this injection, or was used, or is too old.
        """
        asked = await self._injection(principal, block, injection, intensity, seed=seed, session_id=session_id)
        self._clearances.redeem(token, asked)
        return asked.session.is_sandbox

    async def clear_injection(
        self, principal: Principal, block: SIFTBlock, injection: InjectionType, intensity: float, *, seed: int
    ) -> None:
        """Review an injection into a block of no session, and use its clearance at once.

        Raises:
            EthicsRefusedError: It is not approved.
        """
        asked = await self._injection(principal, block, injection, intensity, seed=seed)
        reviewed = await asyncio.to_thread(self._review, asked, language_of_block(block))
        self._clearances.redeem(self._clearances.issue(asked, reviewed), asked)

    def clear_fault(self, principal: Principal, body: FaultRequest) -> None:
        """Review a fault and use its clearance at once.

        Raises:
            EthicsRefusedError: It is not approved.
        """
        kind = body.fault_kind
        is_own_server = self._environment == "test" and body.intensity is None
        asked = Operation(
            operation_type=_OPERATION_OF_FAMILY[kind.family],
            form="resilience",
            intensity=body.intensity or 0.1,
            # An admin switched faults on for this server, and the board keeps the share and spares who must be spared.
            session=SessionFacts(
                opt_in=True, environment=self._environment, is_sandbox=kind.needs_sandbox or is_own_server
            ),
            initiator=principal.id,
            sandboxed=kind.needs_sandbox,
            disclosed=True,
            share=0.0 if is_own_server or body.scope.sessions else body.scope.share,
            write_tools_enabled=any(tool.risk is not Risk.READ for tool in self._tools().values()),
            journal_note=f"{body.point} {body.kind}",
        )
        self._clearances.redeem(self._clearances.issue(asked, self._review(asked)), asked)


def _with_block(facts: SessionFacts, block: SIFTBlock) -> SessionFacts:
    """Return the facts of a session with what a block says: a crisis, a delicate subject, the person's question."""
    question = block.source.context.get("question")
    asked = question[:_LONGEST_QUESTION] if isinstance(question, str) else ""
    texts = [asked, *(statement.text for statement in statements_of(block))]
    topics = dict.fromkeys([*facts.sensitive_topics, *sensitive_topics(f"{asked}\n{text_of(block)}")])
    return facts.model_copy(
        update={
            "in_crisis": facts.in_crisis or any(in_crisis(text) for text in texts),
            "sensitive_topics": tuple(topics),
            "said": (*facts.said, asked)[-MOST_SAID:] if asked.strip() else facts.said,
        }
    )


def _inserted_texts(
    block: SIFTBlock, injection: InjectionType, intensity: float, *, seed: int, sandbox: bool
) -> Sequence[str]:
    """Return every text that an injection would put into a block; none where it would be refused anyway."""
    try:
        done = inject(block, injection, intensity, seed=seed, sandbox=sandbox)
    except InjectionBoundError:
        return ()
    packed = [""]
    for text in (text for step in done.intervention.forward for text in _texts(step.value)):
        for piece in (text[at : at + _LONGEST] for at in range(0, len(text), _LONGEST)):
            if len(packed[-1]) + len(piece) >= _LONGEST:
                packed.append("")
            packed[-1] += f"\n{piece}" if packed[-1] else piece
    return [text for text in packed if text]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
