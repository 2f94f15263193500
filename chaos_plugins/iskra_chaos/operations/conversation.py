"""A conversation as an operation looks at it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from iskra_metrics.text import Language, cosine, language_spoken, sentences, stems
from iskra_metrics.utterance import Utterance
from iskra_sdk.message import Message

_LONGEST_GOAL = 300


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far.

    Attributes:
        messages: As stored, oldest first, with their ids.
        readings: Conversation metrics by name, each in [0, 1].
        pinned: Ids of messages that must stay in view.
        turn: Number of the newest turn; 0 before the first.
    """

    messages: Sequence[Message]
    readings: Mapping[str, float] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    turn: int = 0

    @property
    def language(self) -> Language:
        """The language of what the user wrote last in letters."""
        return language_spoken([message.text for message in self.messages if message.role == "user"])

    @property
    def utterances(self) -> list[Utterance]:
        """What was said, for the metrics."""
        return utterances_of(self.messages)

    @property
    def answers(self) -> list[Message]:
        """The assistant's messages with text, oldest first; those that only call tools are none."""
        return [message for message in self.messages if message.role == "assistant" and message.text.strip()]

    @property
    def goal(self) -> str:
        """What the conversation is for, as far as its first words tell."""
        first = next((message.text for message in self.messages if message.role == "user" and message.text.strip()), "")
        return " ".join(first.split())[:_LONGEST_GOAL]

    def claims(self) -> Iterator[tuple[str, str]]:
        """Yield statements of the assistant, newest first, each once, with the id of its message."""
        seen: set[str] = set()
        for message in reversed(self.answers):
            for sentence in sentences(message.text):
                text = sentence.strip()
                if len(stems(text)) >= 3 and not text.endswith("?") and text not in seen:
                    seen.add(text)
                    yield message.id, text


def utterances_of(messages: Sequence[Message]) -> list[Utterance]:
    """Return messages as the metrics take them."""
    return [
        Utterance("assistant" if message.role == "assistant" else "tool" if message.role == "tool" else "user", text)
        for message in messages
        if message.role != "system" and (text := message.text.strip())
    ]


def turn_of(message_id: str) -> str:
    """Return the turn of a message: ids are ``<turn>.<place>``."""
    return message_id.rpartition(".")[0]


def likeness(first: str, second: str) -> float:
    """Return how much two texts speak of the same, the cosine of their stems, in [0, 1]."""
    return cosine(_counts(first), _counts(second))


def _counts(text: str) -> dict[str, float]:
    counts: dict[str, float] = {}
    for stem in stems(text):
        counts[stem] = counts.get(stem, 0.0) + 1.0
    return counts
