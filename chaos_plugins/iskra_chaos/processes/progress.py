"""What happens while an operation is in force: its answers are measured, its turns counted, until it is over."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.effect import Effect, effect_of
from iskra_chaos.operations.intensity import level_of
from iskra_chaos.operations.stop_rules import brings_nothing_more, loses_the_task
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.held_branches import HeldBranches
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ProcessStatus
from iskra_chaos.processes.telling import Telling
from iskra_sdk.clock import Clock
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

_MOST_RESULTS = 20
_MOST_INDICATORS = 50
_MEASURED = 20_000
"""Characters of an answer that are measured."""


class Progress:
    """Takes operations from their first answer to their end.

    Args:
        engine: Ends them.
        telling: Publishes events.
        clock: Dates their steps.
    """

    def __init__(self, engine: ChaosEngine, telling: Telling, clock: Clock) -> None:
        self._engine = engine
        self._telling = telling
        self._clock = clock

    async def note_answer(self, session: PerturbedSession, request: LLMRequest, answer: str, left_out: int) -> None:
        """Measure an answer that was given under an operation.

        Args:
            session: Whose answer it is.
            request: The call as it was sent.
            answer: Its text.
            left_out: Messages that the model was not shown, or saw shortened.
        """
        process = session.process
        if not process.is_running:
            return
        session.answers[request.caller.turn_id] = answer
        self._engine.in_force.renew(session)
        measure = partial(effect_of, process.type, session.perturbation, session.conversation, left_out=left_out)
        effect = await asyncio.to_thread(measure, answer[:_MEASURED])
        session.linked = tuple(effect.emergence_indicators)
        _count(session, effect)
        if effect.emergence_indicators:
            await self._telling.process("emergence_occurred", process, indicators=len(effect.emergence_indicators))

    async def note_regenerated(
        self, session: PerturbedSession, request: LLMRequest, answer: str, failed: Sequence[str]
    ) -> None:
        """Note that an answer was drawn again without the operation: nothing of it is the operation's doing.

        Args:
            session: Whose answer it is.
            request: The call as it was asked for.
            answer: The text that was shown.
            failed: Checks that the answer before it did not pass.
        """
        process = session.process
        if not process.is_running:
            return
        session.answers[request.caller.turn_id] = answer
        self._engine.in_force.renew(session)
        session.measured += 1
        process.regenerated = True
        process.failed_checks = list(dict.fromkeys([*process.failed_checks, *failed]))
        result = {
            "answer": session.measured,
            "observed": False,
            "why": f"drawn again without the operation: {', '.join(failed)}",
            "regenerated": True,
            "failed_checks": list(failed),
        }
        process.intermediate_results = [*process.intermediate_results, result][-_MOST_RESULTS:]

    def note_failure(self, session: PerturbedSession, error: Exception) -> None:
        """Note that a perturbed call failed and that the plain one answers in its place, which waits for nothing."""
        name = type(error).__name__  # its text may quote the conversation
        self._engine.end_soon(session, ProcessStatus.FAILED, f"the perturbed call failed: {name}")

    def note_block(self, session: PerturbedSession, tool: str) -> None:
        """Note that a circling tool call was refused."""
        process = session.process
        process.observed += 1
        process.intermediate_results = [*process.intermediate_results, {"refused": tool}][-_MOST_RESULTS:]

    async def turn_over(self, session_id: str, turn_id: str) -> None:
        """Count a turn of a session: an operation lasts a number of answers."""
        session = self._engine.in_force.held(session_id)
        if session is None:
            return
        process = session.process
        session.conversation = replace(session.conversation, turn=session.conversation.turn + 1)
        if session.rests:
            await self._rest(session)
            return
        if session.holding is not None and session.holding.turn_id != turn_id:
            await self._hold(session, session.holding)
            return
        if turn_id not in session.answers or turn_id in session.turns_seen:
            return
        session.turns_seen.add(turn_id)
        answer, before = session.answers.pop(turn_id), session.conversation
        session.hear([Message.assistant(answer)])
        if process.status is ProcessStatus.ACTIVE and await self._stops(session, before, answer):
            return
        if process.status is ProcessStatus.STABILIZING:
            await self._complete(session)
            return
        session.turns_left -= 1
        if session.turns_left > 0 or session.holding is not None:
            await self._engine.journal.record(process)
            return
        await self._calm_down(session, "its answers are given")

    async def _hold(self, session: PerturbedSession, held: HeldBranches) -> None:
        """Count a turn in which the person could choose among branches."""
        held.turns_left -= 1
        self._engine.in_force.renew(session)
        is_awaited = held.chosen is not None and not held.is_said and not held.is_followed
        if held.chosen is not None and not (is_awaited and held.turns_left > 0):
            await self._calm_down(session, f"the person chose branch {held.chosen}")
        elif held.turns_left <= 0:
            await self._calm_down(session, "nobody chose another branch")
        else:
            await self._engine.journal.record(session.process)

    async def _calm_down(self, session: PerturbedSession, reason: str) -> None:
        session.process.move(ProcessStatus.STABILIZING, self._clock.now(), reason)
        if level_of(session.process.intensity) == "L1":
            await self._complete(session)
        else:
            await self._engine.journal.record(session.process)

    async def _stops(self, session: PerturbedSession, before: Conversation, answer: str) -> bool:
        """End an operation that does harm or no good, and tell whether it was ended."""
        process = session.process
        if process.type == "pattern_break" and await asyncio.to_thread(loses_the_task, before, answer[:_MEASURED]):
            return await self._engine.end(session, ProcessStatus.ROLLED_BACK, "an answer lost the task")
        if process.type == "emergent_stimulation" and (session.turns_left > 1 or session.measured > 1):
            why = await self._brings_nothing_more(session)
            if why:
                return await self._engine.end(session, ProcessStatus.ABORTED, why)
        return False

    async def _brings_nothing_more(self, session: PerturbedSession) -> str:
        process = session.process
        try:
            now = (await self._engine.measuring.readings(process.session_id)).get("staleness")
        except Exception:
            logger.info("session was not measured", extra={"process_id": process.id}, exc_info=True)
            now = None
        before = process.metrics_before.get("staleness")
        return brings_nothing_more(session.linked, answers=session.measured, before=before, now=now)

    async def _rest(self, session: PerturbedSession) -> None:
        session.rests -= 1
        self._engine.in_force.renew(session)
        if not session.rests:
            session.process.move(ProcessStatus.ACTIVE, self._clock.now(), "the conversation has rested")
            await self._engine.journal.record(session.process)
            await self._telling.process("chaos_initiated", session.process)

    async def _complete(self, session: PerturbedSession) -> None:
        reason = "observed" if session.process.observed else "not observed"
        await self._engine.end(session, ProcessStatus.COMPLETED, reason)


def _count(session: PerturbedSession, effect: Effect) -> None:
    process = session.process
    process.observed += effect.is_observed
    session.measured += 1
    metrics = process.chaos_metrics
    metrics.entropy_increase += (effect.entropy_increase - metrics.entropy_increase) / session.measured
    metrics.complexity_boost += (effect.complexity_boost - metrics.complexity_boost) / session.measured
    found = dict.fromkeys([*metrics.emergence_indicators, *effect.emergence_indicators])
    metrics.emergence_indicators = list(found)[:_MOST_INDICATORS]
    if not session.perturbation.branches:
        result = {"answer": session.measured, "observed": effect.is_observed, "why": effect.why}
        process.intermediate_results = [*process.intermediate_results, result][-_MOST_RESULTS:]
