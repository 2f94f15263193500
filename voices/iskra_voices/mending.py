"""Has a model write an answer again that falls short of its voice's demands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from iskra_metrics.text import normal
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message
from iskra_voices.answer_shape import code_blocks
from iskra_voices.policy import Check, Policy, Scene


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer and the demands that it does not meet."""

    text: str
    broken: Sequence[Check]


def judge(policy: Policy, text: str, scene: Scene) -> Judged:
    """Hold an answer against the demands of its voice."""
    return Judged(text, policy.broken(text, scene))


def mending_request(request: LLMRequest, draft: Judged) -> LLMRequest:
    """Return the call that asks for a better answer and says what is wrong with the draft."""
    demands = "\n".join(f"- {check.demand}" for check in draft.broken)
    ask = (
        "That answer does not meet these demands yet:\n"
        f"{demands}\n"
        "Write the whole answer again, in the same language, so that it meets these and all others. "
        "Keep facts, numbers and code exactly as they are. Give the answer only, and call no tool."
    )
    return replace(request, messages=[*request.messages, Message.assistant(draft.text), Message.user(ask)])


def better(draft: Judged, second: Judged) -> Judged:
    """Return the answer that breaks fewer demands, the first if in doubt; code that got lost is never worth it."""
    if len(second.broken) >= len(draft.broken) or not second.text.strip():
        return draft
    kept = {normal(block) for block in code_blocks(second.text)}
    return second if all(normal(block) in kept for block in code_blocks(draft.text)) else draft
