"""When an operation stops before its answers are given, because it does harm or no good."""

import re
from collections.abc import Sequence

from iskra_chaos.operations.conversation import Conversation
from iskra_metrics.text import stems, words

WENT_BACK = "the user asked to go back"
STALENESS_ROSE = 0.05
"""Rise of staleness that is more than noise."""

_FEWEST_STEMS = 5  # of an answer that is judged
_LOOKED_BACK = 3  # answers before the operation
_LONGEST_REQUEST = 8  # words
_GO_BACK = re.compile(
    r"^\W*(?:(?:no|please|нет|пожалуйста)\W+)*(?:go back|undo (?:that|this|it)|put it back|as (?:it was )?before"
    r"|верни(?:те|сь)?(?: всё| все)? (?:как было|назад|обратно)|вернись|назад|как было)\b",
    re.IGNORECASE,
)


def asks_to_go_back(text: str) -> bool:
    """Tell whether a short message asks for what was before, and for nothing else."""
    return len(words(text)) <= _LONGEST_REQUEST and bool(_GO_BACK.search(text))


def loses_the_task(conversation: Conversation, answer: str) -> bool:
    """Tell whether an answer has nothing to do any more with what the user wants, unlike the answers before.

    It shares no content stem with any message of the user, while most of the last three answers before it did. It is
    words that are compared: a short answer, or one to short messages, is given the benefit of the doubt.

    Args:
        conversation: Up to the answer, which is not in it.
        answer: The new answer.
    """
    wanted = {stem for message in conversation.messages if message.role == "user" for stem in stems(message.text)}
    said = stems(answer)
    before = [stems(each.text) for each in conversation.answers[-_LOOKED_BACK:]]
    if len(said) < _FEWEST_STEMS or not before or not wanted.isdisjoint(said):
        return False
    return 2 * sum(not wanted.isdisjoint(each) for each in before) > len(before)


def brings_nothing_more(new_concepts: Sequence[str], *, answers: int, before: float | None, now: float | None) -> str:
    """Return why bringing distant ideas together has to stop; empty where it may go on.

    Args:
        new_concepts: New concepts of the latest answer that it links to two inputs.
        answers: Answers that were given, the latest included.
        before: Staleness when it began; ``None`` where it was not measured.
        now: Staleness after the latest answer.
    """
    if answers >= 2 and not new_concepts:
        return f"answer {answers} links no new concept"
    if before is not None and now is not None and now - before > STALENESS_ROSE:
        return f"staleness rose by {now - before:.2f}"
    return ""
