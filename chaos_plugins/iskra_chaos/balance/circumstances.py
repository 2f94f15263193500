"""Reads from a conversation what the cause gate asks for."""

from collections.abc import Iterator, Mapping, Sequence

from iskra_chaos.balance.causes import Circumstances
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.sift.sensitivity import chaos_sensitivity
from iskra_metrics.loops import find_loop, fingerprint
from iskra_sdk.message import Message

_CALLS = 24
"""Latest tool calls that are looked at."""
_SAID = 4
"""Latest messages of the user that are searched for what is sensitive."""


def circumstances_in(conversation: Conversation, readings: Mapping[str, float]) -> Circumstances:
    """Return what speaks for or against an operation in a conversation.

    Nobody's request is among it: what a person asks for starts at once and needs no controller. Nor are sources, of
    which a stored conversation keeps none.

    Args:
        conversation: Of the latest turns.
        readings: Metrics by name, as the controller takes them.
    """
    return Circumstances(
        staleness=readings["staleness"],
        drift=readings["drift"],
        contradictions=int(readings["contradiction"] > 0),
        has_loop=find_loop(list(_calls(conversation.messages))[-_CALLS:]) is not None,
    )


def sensitivity_of(conversation: Conversation) -> float:
    """Return how much harm unsettling could do, by what the user said lately, in [0, 1]."""
    said = [message.text for message in conversation.messages if message.role == "user"]
    return chaos_sensitivity("\n".join(said[-_SAID:])) if said else 0.0


def _calls(messages: Sequence[Message]) -> Iterator[str]:
    """Yield a fingerprint of each tool call that was answered, oldest first."""
    answers = {message.tool_call_id: message.text for message in messages if message.role == "tool"}
    for message in messages:
        for call in message.tool_calls:
            if call.id in answers:
                yield fingerprint(call.name, call.arguments, answers[call.id])
