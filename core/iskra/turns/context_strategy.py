"""The kernel's own context strategy: the most recent messages that fit."""

from collections.abc import Iterable, Sequence

from iskra_sdk.context_strategy import ContextBudget, estimated_tokens
from iskra_sdk.message import Message, ToolCall


class RecentMessages:
    """Keeps the newest messages that fit, in whole exchanges.

    A block is a message together with the results of the tool calls it asks for; blocks are dropped from the oldest
    on. From the last user message on nothing is dropped, even if the budget is exceeded: the model must see what it
    is asked and what it did about it.
    """

    name = "recent"

    async def fit(self, messages: Sequence[Message], budget: ContextBudget) -> Sequence[Message]:
        """Return the messages to send; see ``iskra_sdk.ContextStrategy``."""
        total = sum(estimated_tokens(message) for message in messages)
        if total <= budget.tokens:
            return messages
        last_user = max((place for place, message in enumerate(messages) if message.role == "user"), default=0)
        first = 0
        while first < last_user and total > budget.tokens:
            end = _block_end(messages, first)
            if end > last_user:
                break
            total -= sum(estimated_tokens(message) for message in messages[first:end])
            first = end
        return messages[first:]


def _block_end(messages: Sequence[Message], start: int) -> int:
    end = start + 1
    while end < len(messages) and messages[end].role == "tool":
        end += 1
    return end


def with_missing_results(messages: Iterable[Message], text: str) -> list[Message]:
    """Return the messages with a result for every tool call that has none, as model APIs demand.

    Turns that failed or were cancelled leave such calls behind.

    Args:
        messages: A conversation.
        text: What the added results say.
    """
    mended: list[Message] = []
    open_calls: list[ToolCall] = []

    def close() -> None:
        mended.extend(Message.tool(call.id, text) for call in open_calls)
        open_calls.clear()

    for message in messages:
        if message.role == "tool":
            wanted = [call for call in open_calls if call.id == message.tool_call_id]
            if not wanted:
                continue  # a result nobody asked for
            open_calls.remove(wanted[0])
        else:
            close()
            open_calls.extend(message.tool_calls)
        mended.append(message)
    close()
    return mended
