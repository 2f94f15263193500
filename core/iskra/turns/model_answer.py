"""A model's answer as it is kept: with text that everybody can read, and read back from the journal."""

from collections.abc import Mapping, Sequence
from typing import cast

from iskra_sdk.llm import LLMAnswer, Usage
from iskra_sdk.message import Message, ToolCall, clean_text
from iskra_sdk.session_store import StepRecord


def recorded_answer(step: StepRecord) -> LLMAnswer:
    """Return the answer that a model step recorded."""
    data = step.data
    usage = data.get("usage")
    return LLMAnswer(
        message=Message(cast("Mapping[str, object]", data["message"])),
        finish_reason=str(data["finish_reason"]),
        usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]) if isinstance(usage, Mapping) else None,
        reasoning=str(data.get("reasoning") or ""),
        target=str(data["target"]),
    )


def cleaned(message: Message) -> Message:
    """Return a model's message with text that databases and JSON parsers accept, and with distinct ids of calls."""
    calls = message.tool_calls
    text = clean_text(message.text)
    ids = _distinct([call.id for call in calls])
    if text == message.text and all(
        call.id == known and "\0" not in call.arguments for call, known in zip(calls, ids, strict=True)
    ):
        return message
    return Message.assistant(
        text, [ToolCall(known, call.name, clean_text(call.arguments)) for call, known in zip(calls, ids, strict=True)]
    )


def _distinct(ids: Sequence[str]) -> list[str]:
    """Return ids that each occur once: some models use one twice, or none."""
    distinct: list[str] = []
    for number, given in enumerate(ids, 1):
        known = clean_text(given) or f"call_{number}"
        while known in distinct:
            known = f"{known}_{number}"
        distinct.append(known)
    return distinct
