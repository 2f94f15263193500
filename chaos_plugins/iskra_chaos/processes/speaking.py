"""Applies perturbations to the model calls of a session, below nothing and above retries."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from iskra_chaos.operations import quantum_flux
from iskra_chaos.operations.perturbation import Branch, Perturbation
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ProcessStatus
from iskra_sdk.errors import LLMError
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMChunk, LLMRequest, Usage

_BRANCH_SECONDS = 60.0
"""Seconds all branches may take together; a base branch that is ready by then is the answer."""

NoteAnswer = Callable[[PerturbedSession, LLMRequest, str, int], Awaitable[None]]
"""Told of an answer: the session, the request as it was sent, the text, messages left out or shortened."""


class Speaking:
    """The interceptor of ``llm.stream``.

    Args:
        find: Returns the operation in force in a session.
        note: Told of every answer that was perturbed.
        note_failure: Told when a perturbed call failed and the plain one was made in its place.
        has_min_p: The upstream knows ``min_p``.
    """

    def __init__(
        self,
        find: Callable[[str], PerturbedSession | None],
        note: NoteAnswer,
        note_failure: Callable[[PerturbedSession, Exception], Awaitable[None]],
        *,
        has_min_p: bool,
    ) -> None:
        self._find = find
        self._note = note
        self._note_failure = note_failure
        self._has_min_p = has_min_p

    async def around(self, request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        """Stream an answer, perturbed where an operation is in force."""
        session = self._find(request.caller.session_id) if request.caller.is_answer else None
        if session is None or "response_format" in request.parameters:
            async for chunk in await proceed(request):
                yield chunk
            return
        is_settling = session.process.status is ProcessStatus.STABILIZING
        perturbation = session.stabilizing if is_settling else session.perturbation
        session.process.requested += 1
        if perturbation.branches and not request.tools:
            answering = self._branched(session, perturbation, request, proceed)
        else:
            answering = self._plain(session, perturbation, request, proceed)
        async with aclosing(answering) as stream:
            async for chunk in stream:
                yield chunk

    async def _plain(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        changed = perturbation.applied(request, has_min_p=self._has_min_p)
        left_out = sum(message.id in perturbation.replaced for message in request.messages if message.id)
        text: list[str] = []
        calls_tools = has_begun = False
        try:
            async for chunk in await proceed(changed):
                if chunk.text and not has_begun and perturbation.notice and not session.notice_shown:
                    session.notice_shown = True
                    yield LLMChunk(text=perturbation.notice)
                has_begun = has_begun or bool(chunk.text or chunk.tool_calls)
                calls_tools = calls_tools or bool(chunk.tool_calls)
                text.append(chunk.text)
                yield chunk
        except LLMError as error:
            if has_begun:
                raise
            await self._note_failure(session, error)
            async for chunk in await proceed(request):
                yield chunk
            return
        session.process.applied += 1
        session.process.cost_calls += 1
        if not calls_tools:
            await self._note(session, changed, "".join(text), left_out)

    async def _branched(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> AsyncGenerator[LLMChunk]:
        """Ask for all branches at once, then settle on one."""
        first, *others = perturbation.branches
        yield LLMChunk(reasoning=f"{len(perturbation.branches)} branches …")
        results = await self._gathered(perturbation, request, proceed, first, others)
        session.process.cost_calls += len(perturbation.branches)
        base = results[0]
        if isinstance(base, BaseException):
            if not isinstance(base, LLMError):
                raise base
            await self._note_failure(session, base)
            async for chunk in await proceed(request):
                yield chunk
            return
        outcomes = [
            quantum_flux.judged(branch, result[0], session.conversation)
            for branch, result in zip(perturbation.branches, results, strict=True)
            if not isinstance(result, BaseException)
        ]
        different = quantum_flux.distinct(outcomes) or outcomes[:1]
        chosen = quantum_flux.settle([outcomes[0], *(each for each in different if each is not outcomes[0])])
        session.process.applied += 1
        session.process.intermediate_results = [
            {
                "branch": each.branch.name,
                "text": each.text,
                "fits": round(each.fits, 3),
                "novelty": round(each.novelty, 3),
                "chosen": each is chosen,
            }
            for each in different
        ]
        usage = Usage()
        for result in results:
            if not isinstance(result, BaseException) and result[1] is not None:
                usage = usage + result[1]
        shown = chosen.text + quantum_flux.others_line(
            chosen, different, speaks_russian=session.conversation.language == "ru"
        )
        yield LLMChunk(text=shown)
        yield LLMChunk(finish_reason="stop", usage=usage if usage.total_tokens else None)
        await self._note(session, request, shown, 0)

    async def _gathered(
        self, perturbation: Perturbation, request: LLMRequest, proceed: Proceed, first: Branch, others: list[Branch]
    ) -> list[tuple[str, Usage | None] | BaseException]:
        """Return what each branch came to; those that are too slow or fail are left out of the choice."""
        tasks = [
            asyncio.create_task(
                _whole(perturbation.applied(request, has_min_p=self._has_min_p, branch=branch), proceed),
                name=f"branch {branch.name}",
            )
            for branch in (first, *others)
        ]
        try:
            await asyncio.wait(tasks, timeout=_BRANCH_SECONDS)
            late = LLMError(f"A branch took more than {_BRANCH_SECONDS:g} s.")
            return [_outcome(task) if task.done() else late for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _outcome(task: "asyncio.Task[tuple[str, Usage | None]]") -> tuple[str, Usage | None] | BaseException:
    return task.exception() or task.result()


async def _whole(request: LLMRequest, proceed: Proceed) -> tuple[str, Usage | None]:
    text: list[str] = []
    usage: Usage | None = None
    async with aclosing(cast("Any", await proceed(request))) as chunks:
        async for chunk in chunks:
            text.append(chunk.text)
            usage = chunk.usage or usage
    return "".join(text), usage
