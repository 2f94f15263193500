"""Tries several ways to answer side by side, and settles on one; the plain way is always among them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from iskra_chaos.operations import quantum_flux
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Branch, Perturbation, may_be_warmer
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.streams import closed_at_end
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMRequest, Usage
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

LEAST_WAIT, MOST_WAIT = 2.0, 20.0
"""Seconds that the other branches get after the base branch is ready: as long again as it took, within these."""
_MOST_TOKENS = 60_000
"""Tokens that all branches may read together, estimated."""
_CHARACTERS_PER_TOKEN = 3
_LONGEST_BRANCH = 1_500
"""Tokens that a branch other than the base may write."""
_JUDGED = 20_000  # characters of a branch
_KEPT = 2_000  # characters of a branch in the record


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole answer of one branch."""

    text: str
    finish_reason: str | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of the branches.

    Attributes:
        text: What is shown, with a line for each other way.
        usage: Of all branches together.
        asked: Calls that were made.
        record: The branches that differ, for the process.
        texts: Their answers in full, by number; the one that is shown comes first.
    """

    text: str
    finish_reason: str | None
    usage: Usage | None
    asked: int
    record: list[dict[str, Any]]
    texts: list[str]


class Branching:
    """Asks for all branches at once.

    Args:
        has_min_p: The upstream knows ``min_p``.
        least_wait: Seconds that the others get after the base branch at least.
        most_wait: The same at most.
    """

    def __init__(self, *, has_min_p: bool, least_wait: float = LEAST_WAIT, most_wait: float = MOST_WAIT) -> None:
        self._has_min_p = has_min_p
        self._least_wait = least_wait
        self._most_wait = most_wait

    async def settled(
        self, session: PerturbedSession, perturbation: Perturbation, request: LLMRequest, proceed: Proceed
    ) -> Settled:
        """Return the answer that is left of all branches.

        Raises:
            LLMError: The base branch failed; the caller makes the plain call.
        """
        branches = affordable(perturbation.branches, request)
        answers, is_late = await self._gathered(perturbation, branches, request, proceed)
        base = answers[0]
        if base is None:  # it raised what it met; this is for the type checker
            raise RuntimeError("the base branch has no answer")
        usage = Usage()
        for answer in answers:
            usage = usage + (answer.usage or Usage()) if answer is not None else usage
        asked = replace(session.conversation, messages=[m for m in request.messages if m.role != "system"])
        is_warmer = may_be_warmer(request)
        keeps_base = is_late or usage.total_tokens > _MOST_TOKENS + _LONGEST_BRANCH * len(branches)
        try:
            text, reason, record, texts = await asyncio.to_thread(
                _chosen, branches, answers, asked, request.messages, is_warmer=is_warmer, keeps_base=keeps_base
            )
        except Exception:
            logger.exception("judging branches failed", extra={"process_id": session.process.id})
            text, reason, record, texts = base.text, base.finish_reason, [], [base.text]
        return Settled(text, reason, usage if usage.total_tokens else None, len(branches), record, texts)

    async def _gathered(
        self, perturbation: Perturbation, branches: Sequence[Branch], request: LLMRequest, proceed: Proceed
    ) -> tuple[list[Whole | None], bool]:
        """Return the answer of each branch, and whether any was too slow; these, and those that fail, have none."""
        base, *others = [
            asyncio.create_task(_whole(self._asked(perturbation, branch, request), proceed), name=branch.name)
            for branch in branches
        ]
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found: list[Whole | None] = [await base]
            late: set[asyncio.Task[Whole]] = set()
            if others:
                took = loop.time() - began
                _, late = await asyncio.wait(others, timeout=min(self._most_wait, max(self._least_wait, took)))
            return found + [_answer_of(task) for task in others], bool(late)
        finally:
            for task in (base, *others):
                task.cancel()
            await asyncio.gather(base, *others, return_exceptions=True)

    def _asked(self, perturbation: Perturbation, branch: Branch, request: LLMRequest) -> LLMRequest:
        changed = perturbation.applied(request, has_min_p=self._has_min_p, branch=branch)
        parameters = changed.parameters
        if branch.sampler is None or "max_tokens" in parameters or "max_completion_tokens" in parameters:
            return changed
        return replace(changed, parameters={**parameters, "max_tokens": _LONGEST_BRANCH})


def affordable(branches: Sequence[Branch], request: LLMRequest) -> Sequence[Branch]:
    """Return the branches that the token budget allows, the base branch at least."""
    characters = sum(len(message.text) for message in request.messages)
    tokens = max(1, characters // _CHARACTERS_PER_TOKEN)
    return branches[: max(1, _MOST_TOKENS // tokens)]


def _answer_of(task: "asyncio.Task[Whole]") -> Whole | None:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return None
    answer = task.result()
    return None if answer.finish_reason == "length" else answer


async def _whole(request: LLMRequest, proceed: Proceed) -> Whole:
    text: list[str] = []
    reason: str | None = None
    usage: Usage | None = None
    async with closed_at_end(await proceed(request)) as chunks:
        async for chunk in chunks:
            text.append(chunk.text)
            reason = chunk.finish_reason or reason
            usage = chunk.usage or usage
    return Whole("".join(text), reason, usage)


def _chosen(
    branches: Sequence[Branch],
    answers: Sequence[Whole | None],
    conversation: Conversation,
    request: Sequence[Message],
    *,
    is_warmer: bool,
    keeps_base: bool,
) -> tuple[str, str | None, list[dict[str, Any]], list[str]]:
    """Settle on a branch that keeps what was asked for; the base branch where no other does.

    One that a warmer sampler drew brings no numbers or code of its own. Where the time or the tokens were exceeded
    (``keeps_base``) it is the base branch, and what else is there is offered.
    """
    from iskra_chaos.operations.answer_check import failed_checks  # heavy patterns; this runs in a thread

    def keeps(branch: Branch, answer: Whole) -> bool:
        if branch.sampler is None:
            return True
        text, reason = answer.text[:_JUDGED], answer.finish_reason or "stop"
        return not failed_checks(request, text, reason, is_warmer=is_warmer)

    whole = {
        branch.name: answer
        for branch, answer in zip(branches, answers, strict=True)
        if answer is not None and keeps(branch, answer)
    }
    outcomes = [
        quantum_flux.judged(branch, whole[branch.name].text[:_JUDGED], conversation)
        for branch in branches
        if branch.name in whole
    ]
    base = outcomes[0]
    different = quantum_flux.distinct(outcomes) or [base]
    settled = quantum_flux.settle([base, *(each for each in different if each is not base)])
    chosen = base if keeps_base and base.text.strip() else settled
    others = [each for each in different if each is not chosen]
    numbers = {id(each): number for number, each in enumerate([chosen, *others])}
    record = [
        {
            "branch": each.branch.name,
            "number": numbers[id(each)],
            "text": each.text[:_KEPT],
            "fits": round(each.fits, 3),
            "novelty": round(each.novelty, 3),
            "chosen": each is chosen,
        }
        for each in different
    ]
    answer = whole[chosen.branch.name]
    line = quantum_flux.others_line(others, speaks_russian=conversation.language == "ru")
    texts = [whole[each.branch.name].text for each in (chosen, *others)]
    return answer.text + line, answer.finish_reason, record, texts
