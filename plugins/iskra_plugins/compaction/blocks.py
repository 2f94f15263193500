"""A conversation as blocks that must not be torn apart, and what may be left out of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from iskra_sdk import Message
from iskra_sdk.context_strategy import estimated_tokens


@dataclass(frozen=True, slots=True)
class Block:
    """A message with the results of the tool calls that it asks for."""

    messages: tuple[Message, ...]

    @property
    def tokens(self) -> int:
        """Roughly how many tokens it takes."""
        return sum(map(estimated_tokens, self.messages))

    @property
    def is_open(self) -> bool:
        """Whether a call in it has no result yet."""
        answered = {message.tool_call_id for message in self.messages if message.role == "tool"}
        return any(call.id not in answered for call in self.messages[0].tool_calls)

    def has(self, message_ids: frozenset[str]) -> bool:
        """Return whether one of its messages is among these."""
        return any(message.id in message_ids for message in self.messages)


def blocks_of(messages: Sequence[Message]) -> list[Block]:
    """Return a conversation's blocks, in order."""
    found: list[list[Message]] = []
    for message in messages:
        if message.role == "tool" and found:
            found[-1].append(message)
        else:
            found.append([message])
    return [Block(tuple(block)) for block in found]


def begin_of_present(blocks: Sequence[Block]) -> int:
    """Return the place of the last block that begins with a message of the user; 0 if there is none."""
    return max((place for place, block in enumerate(blocks) if block.messages[0].role == "user"), default=0)


def choose_dropped(
    blocks: Sequence[Block], *, budget: int, target: int, pinned: frozenset[str], already: frozenset[str]
) -> list[int]:
    """Return the places of the blocks to leave out, oldest first.

    The first message of the user and all before it, pinned blocks, open calls, and everything from the last message of
    the user on always stay. What was left out before stays out, so that the beginning of what a model gets changes
    rarely and its provider can cache it; only when that is not enough, more goes until ``target`` is reached.

    Args:
        blocks: The conversation.
        budget: Tokens that may not be exceeded, if that is possible.
        target: Tokens to come down to.
        pinned: Ids of messages that stay.
        already: Ids of the messages that were left out before.
    """
    present = begin_of_present(blocks)
    first = next((place for place, block in enumerate(blocks) if block.messages[0].role == "user"), 0)
    loose = [
        place for place in range(first + 1, present) if not blocks[place].has(pinned) and not blocks[place].is_open
    ]
    total = sum(block.tokens for block in blocks)
    dropped = [place for place in loose if blocks[place].has(already)]
    total -= sum(blocks[place].tokens for place in dropped)
    if total <= budget:
        return dropped
    known = set(dropped)
    for place in loose:
        if total <= target:
            break
        if place not in known:
            known.add(place)
            total -= blocks[place].tokens
    return sorted(known)
