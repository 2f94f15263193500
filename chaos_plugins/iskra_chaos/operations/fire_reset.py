"""fire_reset: let the model start afresh from the goal, the constraints, the facts and the open questions.

Models lose their way over many turns, and starting again beats going on (Laban et al. 2025, arXiv 2505.06120). Nothing
is deleted: the model is shown less until the operation ends or is taken back.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from iskra_chaos.operations.conversation import Conversation, turn_of
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.quoting import quoted
from iskra_metrics.text import sentences, stems
from iskra_sdk.errors import BadInputError
from iskra_sdk.untrusted import unmark

_FROM_SCRATCH = 0.7
"""Intensity from which everything but the brief is left out."""
_CLEAR, _LIVELY = 0.8, 0.35
"""A conversation that is clearer than the first and less stale than the second works, and is left alone."""
_LASTS = 10  # answers
_MOST = 6  # sentences of a kind in the brief
_LONGEST = 400  # characters of one
_CONSTRAINT = re.compile(
    r"\b(must|never|always|do not|don't|only|without|at most|at least|no more than"
    r"|нельзя|должн\w*|обязательно|только|без|никогда|всегда|не более|не менее|не надо|не нужно)\b",
    re.IGNORECASE,
)


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Leave out the share i of the unpinned turns that are oldest and least referred to; all of them from i = .7 on.

    Raises:
        BadInputError: There is nothing to leave out, or the conversation is in a productive phase.
    """
    clarity = conversation.readings.get("clarity", 0.0)
    staleness = conversation.readings.get("staleness", 0.0)
    if clarity > _CLEAR and staleness < _LIVELY:
        raise BadInputError(
            f"The conversation is clear ({clarity:.2f}) and not stale ({staleness:.2f}): a reset would only do harm.",
            mend="Go on, or ask for a micro_disturbance.",
            facts={"why": "productive"},
        )
    droppable = _droppable(conversation)
    if not droppable:
        raise BadInputError(
            "There are no earlier turns that could be left out.",
            mend="Ask again later.",
            facts={"why": "nothing_to_leave_out"},
        )
    share = 1.0 if intensity >= _FROM_SCRATCH else intensity
    dropped = set(_least_needed(conversation, droppable)[: math.ceil(share * len(droppable))])
    replaced = {message.id: "" for message in conversation.messages if message.id and turn_of(message.id) in dropped}
    speaks_russian = conversation.language == "ru"
    notice = (
        f"(Контекст очищен: модель не видит сообщений: {len(replaced)}. Вернуть: «верни как было».)\n\n"
        if speaks_russian
        else f'(Context reset: the model no longer sees {len(replaced)} messages. To undo: "put it back".)\n\n'
    )
    changes = (
        (
            f"Модель не видит сообщений: {len(replaced)} из {len(conversation.messages)}",
            "Вместо них — цель, ограничения, факты и открытые вопросы",
        )
        if speaks_russian
        else (
            f"Messages that the model does not see: {len(replaced)} of {len(conversation.messages)}",
            "In their place stand the goal, the constraints, the facts and the open questions",
        )
    )
    return Perturbation(
        turns=_LASTS, instruction=brief(conversation), replaced=replaced, notice=notice, changes=changes
    )


def brief(conversation: Conversation) -> str:
    """Return what must not be forgotten: goal, constraints, open questions, and, quoted, facts from tools."""
    said = [
        (message.role, sentence)
        for message in conversation.messages
        for sentence in sentences(unmark(message.text) if message.role == "tool" else message.text)
    ]
    constraints = _unique(text for role, text in said if role == "user" and _CONSTRAINT.search(text))
    facts = _unique(text for role, text in said if role == "tool")
    questions = _unique(text for role, text in said[-40:] if role == "user" and text.rstrip().endswith("?"))
    heads = (
        ("Начни заново с этого:", "Цель", "Ограничения", "Открытые вопросы", "Что вернули инструменты")
        if conversation.language == "ru"
        else ("Start afresh from this:", "Goal", "Constraints", "Open questions", "What tools returned")
    )
    parts = [heads[0], f"{heads[1]}: {conversation.goal}"]
    for head, items in zip(heads[2:4], (constraints, questions), strict=True):
        if items:
            parts.append(f"{head}:\n" + "\n".join(_listed(items)))
    if facts:
        parts.append(f"{heads[4]}. {quoted(_listed(facts), 'tools', conversation.language)}")
    return "\n".join(parts)


def _listed(items: Iterable[str]) -> list[str]:
    return [f"- {item}" for item in items]


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(" ".join(text[: 2 * _LONGEST].split())[:_LONGEST] for text in texts))[-_MOST:]


def _droppable(conversation: Conversation) -> list[str]:
    """Return the turns before the latest one without a pinned message, oldest first."""
    turns = list(dict.fromkeys(turn_of(message.id) for message in conversation.messages if message.id))
    kept = {turn_of(pinned) for pinned in conversation.pinned}
    return [turn for turn in turns[:-1] if turn not in kept]


def _least_needed(conversation: Conversation, turns: Sequence[str]) -> list[str]:
    """Order turns: those whose words are used least later on first, older ones first among equals."""
    texts: dict[str, set[str]] = {}
    for message in conversation.messages:
        texts.setdefault(turn_of(message.id), set()).update(stems(message.text))
    order = list(texts)
    uses = Counter[str]()
    for number, turn in enumerate(order):
        later = set().union(*(texts[other] for other in order[number + 1 :])) if number + 1 < len(order) else set()
        uses[turn] = len(texts[turn] & later)
    return sorted(turns, key=lambda turn: (uses[turn], order.index(turn)))
