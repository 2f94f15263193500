"""Applies operations to the model calls of a session, above retries. Whatever fails here, the plain call answers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from iskra_chaos.operations import quantum_flux
from iskra_chaos.operations.perturbation import Perturbation, instructed
from iskra_chaos.processes.branching import Branching
from iskra_chaos.processes.held_answer import HeldAnswer
from iskra_chaos.processes.held_branches import HeldBranches
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ProcessStatus
from iskra_chaos.processes.streams import closed_at_end
from iskra_metrics.distress import in_crisis
from iskra_sdk.ids import MessageId
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMChunk, LLMRequest, Usage

logger = logging.getLogger(__name__)

Pinned = Callable[[str], Awaitable[frozenset[MessageId]]]
"""Returns the pinned messages of a session."""

_KEPT = 2_000  # characters of a branch in the record

Manner = Callable[[PerturbedSession, Perturbation, LLMRequest, Proceed], AsyncGenerator[LLMChunk]]

_DRAFTING = {"en": "Writing the answer. ", "ru": "Пишу ответ. "}
_AGAIN = {"en": "Writing it again, plainly: {0}. ", "ru": "Пишу ещё раз, без возмущения: {0}. "}

NoteAnswer = Callable[[PerturbedSession, LLMRequest, str, int], Awaitable[None]]
"""Told of an answer: the session, the request as it was sent, the text, messages left out or shortened."""
NoteRegenerated = Callable[[PerturbedSession, LLMRequest, str, Sequence[str]], Awaitable[None]]
"""Told of an answer that was drawn again: the session, the request, the text shown, the checks that failed."""


class Speaking:
    """The interceptor of ``llm.stream``.

    An answer is never lost to an operation: until the first piece of a perturbed answer has come, any failure leads to
    the plain call. After that the upstream's failure is passed on as it would be without an operation, since half an
    answer cannot be taken back; what fails in counting or measuring is logged. An operation that has its answers
    checked holds them back until they are whole: one that falls short is never seen, and the plain call answers.

    Args:
        find: Returns the operation in force in a session.
        note: Told of every answer that was perturbed.
        note_failure: Told when a perturbed call failed and the plain one was made in its place.
        pinned: Asked before messages are left out or shortened, since people pin and unpin while an operation acts.
        note_regenerated: Told of every answer that was drawn again without the operation.
        branching: Tries several ways to answer.
        has_min_p: The upstream knows ``min_p``.
    """

    def __init__(
        self,
        find: Callable[[str], PerturbedSession | None],
        note: NoteAnswer,
        note_failure: Callable[[PerturbedSession, Exception], None],
        note_regenerated: NoteRegenerated,
        *,
        pinned: Pinned,
        branching: Branching,
        has_min_p: bool,
    ) -> None:
        self._find = find
        self._note = note
        self._note_failure = note_failure
        self._pinned = pinned
        self._note_regenerated = note_regenerated
        self._branching = branching
        self._has_min_p = has_min_p

    async def around(self, request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        """Stream an answer, perturbed where an operation is in force."""
        session = self._acting(request)
        if session is not None:
            session.process.requested += 1
            speak, perturbation = self._manner(session, request)
            async with aclosing(speak(session, perturbation, request, proceed)) as perturbed:
                has_answered = False
                async for chunk in perturbed:
                    has_answered = has_answered or bool(chunk.text or chunk.tool_calls or chunk.finish_reason)
                    yield chunk
            if has_answered:
                return
        async with closed_at_end(await proceed(request)) as plain:
            async for chunk in plain:
                yield chunk

    def _manner(self, session: PerturbedSession, request: LLMRequest) -> tuple[Manner, Perturbation]:
        if session.process.status is ProcessStatus.STABILIZING:
            return self._changed, session.stabilizing
        perturbation = session.perturbation
        held = session.holding
        if held is not None:
            number = held.asked_for(_asked(request)) if held.are_sketches else None
            if number is not None:
                held.choose(session.process, number)
            going_on = held.going_on(session.conversation.language)
            return (self._taken, perturbation) if going_on is None else (self._changed, going_on)
        if perturbation.branches and not request.tools:
            return self._branched, perturbation
        return (self._checked if perturbation.is_checked else self._changed), perturbation

    def _acting(self, request: LLMRequest) -> PerturbedSession | None:
        """Return the operation that acts on a call: none on side calls, JSON, other voices, and in a crisis.

        One that holds branches open acts where the person chooses one.
        """
        if not request.caller.is_answer or "response_format" in request.parameters:
            return None
        try:
            session = self._find(request.caller.session_id)
            if session is None or (session.voice and session.voice != request.caller.voice.casefold()):
                return None
            asked = _asked(request)
            if in_crisis(asked) or (session.holding is not None and not session.holding.acts_on(asked)):
                return None
            return session
        except Exception:
            logger.exception("looking for an operation failed", extra={"session": request.caller.session_id})
            return None

    async def _changed(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        """Stream the perturbed answer; nothing with text or tool calls in it if there is none."""
        text: list[str] = []
        waiting: list[LLMChunk] = []
        calls_tools = has_begun = False
        try:
            if perturbation.replaced:
                perturbation = perturbation.sparing(await self._pinned(session.process.session_id))
            changed = self._request(perturbation, request)
            left_out = sum(message.id in perturbation.replaced for message in request.messages if message.id)
            async with closed_at_end(await proceed(changed)) as chunks:
                async for chunk in chunks:
                    has_begun = has_begun or bool(chunk.text or chunk.tool_calls)
                    if not has_begun and not chunk.reasoning:
                        waiting.append(chunk)  # the end of an empty answer is not the end of the call
                        continue
                    for piece in (*waiting, *_notice(session, perturbation, chunk)):
                        yield piece
                    waiting.clear()
                    calls_tools = calls_tools or bool(chunk.tool_calls)
                    text.append(chunk.text)
                    yield chunk
            if not has_begun:
                raise ValueError("the perturbed answer is empty")
        except Exception as error:
            if has_begun:
                raise
            self._failed(session, error)
            return
        session.process.applied += 1
        session.process.cost_calls += 1
        if not calls_tools:
            await self._noted(session, changed, "".join(text), left_out)
            if perturbation.branches:
                _hold_sketches(session, request, "".join(text))

    async def _checked(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        """Stream the perturbed answer once it is whole and checked, or else the plain one."""
        held = HeldAnswer()
        language, changed = session.conversation.language, request
        try:
            changed = self._request(perturbation, request)
            yield LLMChunk(reasoning=_DRAFTING[language])
            async with closed_at_end(await proceed(changed)) as chunks, aclosing(held.take(chunks)) as shown:
                async for chunk in shown:
                    yield chunk
        except Exception as error:
            if held.is_passed_on:
                raise
            if not held.text.strip():
                self._failed(session, error)
                return
            logger.info("perturbed answer broke off", extra={"process_id": session.process.id})
        if not held.is_passed_on and not held.text.strip():
            self._failed(session, ValueError("the perturbed answer is empty"))
            return
        session.process.cost_calls += 1
        failed = [] if held.is_passed_on else await self._failures(session, request, changed, held)
        if failed:
            yield LLMChunk(reasoning=_AGAIN[language].format(", ".join(failed).replace("_", " ")))
            async for piece in self._again(session, request, proceed, held.usage, failed):
                yield piece
            return
        if not held.is_passed_on:
            for kept in held.chunks:
                yield kept
        session.process.applied += 1
        if held.finish_reason != "tool_calls":
            await self._noted(session, changed, held.text, 0)

    async def _failures(
        self, session: PerturbedSession, request: LLMRequest, changed: LLMRequest, held: HeldAnswer
    ) -> list[str]:
        is_warmer = changed.parameters != request.parameters
        try:
            return await asyncio.to_thread(_failed_checks, request, held, is_warmer=is_warmer)
        except Exception:
            logger.exception("answer could not be checked", extra={"process_id": session.process.id})
            return ["could_not_be_checked"]

    async def _again(
        self,
        session: PerturbedSession,
        request: LLMRequest,
        proceed: Proceed,
        spent: Usage | None,
        failed: Sequence[str],
    ) -> AsyncGenerator[LLMChunk]:
        """Stream the plain answer: the call as it was asked for, with the tokens of both."""
        text: list[str] = []
        session.process.cost_calls += 1
        async with closed_at_end(await proceed(request)) as plain:
            async for chunk in plain:
                text.append(chunk.text)
                yield chunk._replace(usage=spent + chunk.usage, wire=None) if spent and chunk.usage else chunk
        try:
            await self._note_regenerated(session, request, "".join(text), failed)
        except Exception:
            logger.exception("noting an answer failed", extra={"process_id": session.process.id})

    def _request(self, perturbation: Perturbation, request: LLMRequest) -> LLMRequest:
        changed = perturbation.applied(request, has_min_p=self._has_min_p)
        if not perturbation.branches:
            return changed
        # Branches side by side would each call the tools, so the model weighs them in one call.
        messages = instructed(changed.messages, perturbation.in_one_call)
        return LLMRequest(
            messages, request.model, request.tools, changed.parameters, request.caller, request.connect_timeout
        )

    async def _branched(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        """Ask for all branches at once, then show the one that is settled on."""
        yield LLMChunk(reasoning=f"{len(perturbation.branches)} branches …")
        try:
            settled = await self._branching.settled(session, perturbation, request, proceed)
            if not settled.text.strip():
                raise ValueError("all branches are empty")
        except Exception as error:
            self._failed(session, error)
            return
        session.process.cost_calls += settled.asked
        session.process.applied += settled.asked > 1
        session.process.intermediate_results = settled.record
        if len(settled.texts) > 1:
            session.held = HeldBranches(request.caller.turn_id, settled.texts)
        yield LLMChunk(text=settled.text)
        yield LLMChunk(finish_reason=settled.finish_reason or "stop", usage=settled.usage)
        await self._noted(session, request, settled.text, 0)

    async def _taken(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        """Show the branch that the person chose; no model is asked."""
        held = session.held
        number = held.asked_for(_asked(request)) if held is not None else None
        if held is None or number is None:
            return
        yield LLMChunk(text=held.choose(session.process, number, is_said=True))
        yield LLMChunk(finish_reason="stop")
        session.process.applied += 1

    def _failed(self, session: PerturbedSession, error: Exception) -> None:
        logger.warning("perturbed call failed", extra={"process_id": session.process.id, "error": type(error).__name__})
        try:
            self._note_failure(session, error)
        except Exception:
            logger.exception("noting a failure failed", extra={"process_id": session.process.id})

    async def _noted(self, session: PerturbedSession, request: LLMRequest, text: str, left_out: int) -> None:
        try:
            await self._note(session, request, text, left_out)
        except Exception:
            logger.exception("measuring an answer failed", extra={"process_id": session.process.id})


def _hold_sketches(session: PerturbedSession, request: LLMRequest, text: str) -> None:
    """Hold open what one call named beside its answer."""
    ways = quantum_flux.sketched(text)
    if not ways or session.held is not None:
        return
    session.held = HeldBranches(request.caller.turn_id, (text, *ways), are_sketches=True)
    session.process.intermediate_results = [
        {"branch": "in one call", "number": number, "text": way[:_KEPT], "chosen": number == 0}
        for number, way in enumerate(session.held.texts)
    ]


def _asked(request: LLMRequest) -> str:
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")


def _failed_checks(request: LLMRequest, held: HeldAnswer, *, is_warmer: bool) -> list[str]:
    from iskra_chaos.operations.answer_check import failed_checks  # heavy patterns; this runs in a thread

    return failed_checks(request.messages, held.text, held.finish_reason, is_warmer=is_warmer)


def _notice(session: PerturbedSession, perturbation: Perturbation, chunk: LLMChunk) -> tuple[LLMChunk, ...]:
    """Return what the user is told before the first text, once."""
    if not chunk.text or not perturbation.notice or session.notice_shown:
        return ()
    session.notice_shown = True
    return (LLMChunk(text=perturbation.notice),)
