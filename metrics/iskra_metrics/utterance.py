"""What was said, by whom and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One message of a conversation.

    Attributes:
        role: Who spoke.
        text: What was said.
        at: Seconds on any clock that only goes forward; 0 where it is not known.
    """

    role: Role
    text: str
    at: float = 0.0


def spoken(conversation: Sequence[Utterance], *roles: Role) -> list[Utterance]:
    """Return the utterances of ``roles``; of the user and the assistant where none is named."""
    wanted = roles or ("user", "assistant")
    return [utterance for utterance in conversation if utterance.role in wanted]
