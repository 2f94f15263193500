"""Makes of what somebody asks for an operation that may come into force: planned, reviewed, and cleared."""

import asyncio
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from iskra_chaos.ethics import Operation
from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.ethics.private_data import redacted
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.planning import plan
from iskra_chaos.operations.recommending import recommended
from iskra_chaos.processes.admission import MINOR, Admission, as_cleared
from iskra_chaos.processes.in_force import LEASE
from iskra_chaos.processes.measuring import Measuring
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.pinning import Pinning
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus, Transition
from iskra_sdk.clock import Clock
from iskra_sdk.errors import IskraError
from iskra_sdk.principal import Principal


@dataclass(frozen=True, slots=True)
class Wish:
    """An operation that somebody asks for.

    Attributes:
        operation_type: One of the six.
        intensity: In [0.1, 1.0].
        request: The person's words that led to it.
        seed: Decides every choice; drawn and recorded where it is not given.
        accept_modifications: Apply what the ethics check suggests instead of refusing.
        initiator: Who started it if not the principal, e.g. ``balance``.
        is_asked_for: The session's owner asks for it in the conversation itself, which is consent to this one.
        voice: It acts on answers in this voice only; empty for all.
        trigger_conditions: What the caller said of the session; recorded.
    """

    operation_type: OperationType
    intensity: float
    request: str = ""
    seed: int | None = None
    accept_modifications: bool = False
    initiator: str = ""
    is_asked_for: bool = False
    voice: str = ""
    trigger_conditions: Mapping[str, object] = field(default_factory=dict)


class Preparing:
    """Prepares operations; planning and reviewing happen in threads, since they read whole conversations.

    Args:
        clock: Dates processes.
        measuring: Reads conversations.
        admission: The ethics check.
        pinning: Knows which messages must stay in view.
    """

    def __init__(self, clock: Clock, measuring: Measuring, admission: Admission, pinning: Pinning) -> None:
        self._clock = clock
        self._measuring = measuring
        self._admission = admission
        self._pinning = pinning

    async def prepared(self, principal: Principal, session_id: str, wish: Wish) -> PerturbedSession:
        """Return an operation that may come into force; its process is ``initiated`` and not written yet.

        Raises:
            SessionNotFoundError: No such session for this principal.
            PermissionDeniedError: The subject is too sensitive for this operation.
            EthicsRefusedError: The ethics check refuses; the process is kept as rejected.
            BadInputError: The operation makes no sense in this conversation.
            StoreError: The conversation or its pins cannot be read.
        """
        measured = await self._measuring.conversation(principal, session_id)
        conversation = replace(measured, pinned=await self._pinning.of(session_id))
        facts = await asyncio.to_thread(
            self._admission.facts,
            session_id,
            conversation,
            request=wish.request,
            is_asked_for=wish.is_asked_for,
            is_minor=MINOR in principal.claims,
        )
        seed = secrets.randbits(63) if wish.seed is None else wish.seed
        senseless: IskraError | None = None
        try:
            perturbation = await self._planned(wish, conversation, wish.intensity, seed)
        except IskraError as error:
            if not facts.in_crisis:
                raise
            senseless, perturbation = error, Perturbation(turns=1)  # the ethics check refuses, and says where help is
        asked = Operation(
            operation_type=wish.operation_type,
            form="creative",
            intensity=wish.intensity,
            session=facts,
            initiator=wish.initiator or principal.id,
            prompt_card=perturbation.instruction,
            disclosed=bool(perturbation.notice) or wish.operation_type != "fire_reset",
            hypotheses_labelled="[HYP]" in perturbation.instruction,
        )
        process = ChaosProcess(
            id=f"chaos_{uuid.uuid4().hex}",
            type=wish.operation_type,
            intensity=wish.intensity,
            status=ProcessStatus.INITIATED,
            session_id=session_id,
            owner=principal.id,
            initiator=asked.initiator,
            seed=seed,
            start_time=self._clock.now(),
            estimated_duration=int(LEASE),
            affected_components=[f"session/{session_id}", *([f"voice/{wish.voice}"] if wish.voice else [])],
            trigger_conditions=dict(wish.trigger_conditions),
            recommended_operation=recommended(wish.trigger_conditions, conversation),
            metrics_before=dict(conversation.readings),
        )
        process.history.append(Transition(status=process.status, at=process.start_time, reason="requested"))
        cleared = await self._admission.cleared(
            process, asked, conversation, accept_modifications=wish.accept_modifications
        )
        if senseless is not None:
            raise senseless
        if cleared.intensity != wish.intensity:
            process.intensity = cleared.intensity
            perturbation = await self._planned(wish, conversation, cleared.intensity, seed)
        perturbation = as_cleared(perturbation, asked, cleared, speaks_russian=conversation.language == "ru")
        # They quote the conversation, and the journal keeps them.
        process.changes = [redacted(change) for change in perturbation.changes]
        return PerturbedSession(
            process,
            perturbation,
            conversation,
            turns_left=perturbation.turns,
            rests=cleared.delay_turns,
            voice=wish.voice.casefold(),
        )

    async def _planned(self, wish: Wish, conversation: Conversation, intensity: float, seed: int) -> Perturbation:
        return await asyncio.to_thread(_plan, wish.operation_type, conversation, intensity, seed)


def _plan(operation: OperationType, conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    import iskra_chaos.operations.answer_check  # noqa: F401  # read its patterns now, in a thread

    return plan(operation, conversation, intensity, seed)
