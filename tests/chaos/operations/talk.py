"""Conversations to try operations on."""

from collections.abc import Sequence

from iskra_chaos.operations.conversation import Conversation
from iskra_sdk.message import Message


def conversation(*turns: tuple[str, str], pinned: Sequence[str] = (), **readings: float) -> Conversation:
    """Return a conversation of turns, each a user's message and its answer, with ids as the kernel gives them."""
    messages = []
    for number, (asked, answered) in enumerate(turns, 1):
        messages += [
            Message.user(asked).with_id(f"t{number}.0"),
            Message.assistant(answered).with_id(f"t{number}.1"),
        ]
    return Conversation(messages, {"clarity": 0.5, "staleness": 0.4, **readings}, frozenset(pinned))


STALE = conversation(
    ("How do I plan a fair?", "As I said, the plan comes first. Make a list of what is needed and who does it."),
    ("You must never spend more than 500.", "As I said, the plan comes first. Then think of the money you have."),
    ("And the stage? Who builds it?", "As I said, the plan comes first. The stage can wait until the plan is written."),
)

RUSSIAN = conversation(
    ("Как спланировать ярмарку?", "Как я уже говорил, сначала нужен план. Составьте список всего необходимого."),
    ("Нельзя тратить больше пятисот.", "Как я уже говорил, сначала нужен план. Потом подумайте о деньгах и людях."),
    ("А кто построит сцену?", "Как я уже говорил, сначала нужен план. Сцена подождёт до понедельника."),
)
