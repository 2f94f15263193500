"""Asks the ethics rules again about everything that acts: on each message of a user, and every few seconds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from iskra_chaos.ethics import Operation
from iskra_chaos.operations.stop_rules import WENT_BACK, asks_to_go_back
from iskra_chaos.processes.admission import Admission
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ProcessStatus
from iskra_chaos.processes.telling import Telling
from iskra_metrics.distress import in_crisis
from iskra_sdk.errors import StoreError
from iskra_sdk.event import Severity
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

CALM_MESSAGES = 8
"""Messages of a user until a crisis counts as over."""
_PAIN_ROSE, _TRUST_FELL = 0.2, 0.15
"""Changes since a paradox began at which it ends."""
_CRISIS = "vulnerability.crisis-in-person"
_PARADOX = "stop-line.paradox"


class EthicsMonitor:
    """Ends operations that would not be allowed to start now.

    It reads nothing from the store: an operation carries its conversation, so that a thousand of them are looked at in
    a moment.

    Args:
        engine: Ends operations.
        admission: Asks the rules.
        telling: Publishes events.
        comfort: Has a voice asked for that comforts, where the session's owner welcomes that, after a paradox hurt.
    """

    def __init__(
        self, engine: ChaosEngine, admission: Admission, telling: Telling, comfort: Callable[[str], Awaitable[None]]
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._telling = telling
        self._comfort = comfort

    async def hear(self, session_id: str, text: str) -> None:
        """Look at what a user wrote: in a crisis everything that acts in the session ends at once."""
        left = self._engine.choices.of(session_id).crisis_left
        if in_crisis(text):
            await self._engine.abort_in(session_id, "the user may be in a crisis")
            await self._alert(session_id, _CRISIS, "The user may be in a crisis.")
            await self._remember(session_id, CALM_MESSAGES)
            return
        if left:
            await self._remember(session_id, left - 1)
        session = self._engine.in_force.held(session_id)
        if session is not None:
            session.hear([Message.user(text)])
            if asks_to_go_back(text):
                await self._engine.roll_back(session.process, WENT_BACK)
                return
            await self.look_at(session)

    async def _remember(self, session_id: str, left: int) -> None:
        try:
            await self._engine.choices.change(session_id, crisis_left=left)
        except StoreError:  # it counts all the same until a restart
            logger.warning("crisis was not written down", extra={"session_id": session_id}, exc_info=True)

    async def sweep(self) -> None:
        """Look at everything that acts."""
        for session in list(self._engine.sessions.values()):
            await self.look_at(session)

    async def look_at(self, session: PerturbedSession) -> None:
        """Ask again about one operation; one that cannot be looked at ends."""
        try:
            await self._look_at(session)
        except Exception:
            logger.exception("ethics monitor failed", extra={"process_id": session.process.id})
            await self._engine.end(session, ProcessStatus.ABORTED, "the ethics monitor could not look at it")

    async def _look_at(self, session: PerturbedSession) -> None:
        process = session.process
        readings = self._engine.measuring.last_of(process.session_id) or session.conversation.readings
        found = await asyncio.to_thread(self._objection, session, readings)
        if found is None:
            return
        rule, message = found
        if await self._engine.end(session, ProcessStatus.ABORTED, f"ethics: {rule}"):
            await self._alert(process.session_id, rule, message)
            if rule == _PARADOX:
                await self._comfort(process.session_id)

    def _objection(self, session: PerturbedSession, readings: Mapping[str, float]) -> tuple[str, str] | None:
        """Return the rule that objects to an operation, and what it says."""
        process, conversation = session.process, session.conversation
        hurt = paradox_hurts(process.metrics_before, readings) if process.type == "paradox_generation" else ""
        if hurt:
            return _PARADOX, hurt
        newest = next((each.text for each in reversed(conversation.messages) if each.role == "user"), "")
        facts = self._admission.facts(process.session_id, conversation, request=newest, is_asked_for=True)
        running = Operation(
            operation_type=process.type,
            form="creative",
            intensity=process.intensity,
            # How long ago the operation before was counts when one starts, not while it runs; nor does the staleness
            # that it is there to lower. Consent was given at the start; taking it back ends the operation.
            session=facts.model_copy(
                update={
                    "stopped": self._engine.choices.of(process.session_id).stopped,
                    "turns_since_operation": None,
                    "turns_since_reset": None,
                    "readings": {**readings, "staleness": 1.0},
                }
            ),
            initiator=process.initiator,
            prompt_card=session.perturbation.instruction,
            disclosed=True,
            hypotheses_labelled="[HYP]" in session.perturbation.instruction,
        )
        reviewed = self._admission.review(running, conversation)
        if reviewed.decision != "reject":
            return None
        return reviewed.violations[0].rule, reviewed.violations[0].message

    async def _alert(self, session_id: str, rule: str, message: str) -> None:
        await self._telling.tell(
            "ethical_concern",
            {"rule": rule, "message": message, "suggested_voice": "anhantha"},
            session_id=session_id,
            severity=Severity.CRITICAL,
            source="ethical_monitor",
        )


def paradox_hurts(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Return why a paradox has to end: pain rose, or trust fell, too much since it began; empty if neither did."""
    pain = round(now.get("pain", 0.0) - before.get("pain", 0.0), 6)
    if pain >= _PAIN_ROSE:
        return f"Pain rose by {pain:.2f} since the paradox began."
    trust = round(before.get("trust", 0.0) - now.get("trust", before.get("trust", 0.0)), 6)
    if trust >= _TRUST_FELL:
        return f"Trust fell by {trust:.2f} since the paradox began."
    return ""
