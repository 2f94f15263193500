"""Context strategies: which messages of a long conversation a model call gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from iskra_sdk.message import Message


@dataclass(frozen=True, slots=True)
class ContextBudget:
    """How much a model call may hold.

    Attributes:
        tokens: Tokens for the messages, the system prompt not counted.
        counted_by: Name of the token counter, for people; ``estimate`` counts 4 bytes of UTF-8 a token.
    """

    tokens: int
    counted_by: str = "estimate"


BYTES_PER_TOKEN = 4


def estimated_tokens(message: Message) -> int:
    """Return a rough count of a message's tokens: 4 bytes of its JSON each."""
    return len(message.encoded) // BYTES_PER_TOKEN + 1


class ContextStrategy(Protocol):
    """Fits a conversation into a budget.

    Promises: order is kept; a tool call stays together with its results; calls without a result and the last user
    message always stay; what fits is returned unchanged (the same object).
    """

    name: str

    async def fit(self, messages: Sequence[Message], budget: ContextBudget) -> Sequence[Message]:
        """Return the messages to send."""
