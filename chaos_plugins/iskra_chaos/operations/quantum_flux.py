"""quantum_flux: try several ways to answer side by side, and settle on one as late as possible."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iskra_chaos.operations.cards import card, views
from iskra_chaos.operations.conversation import Conversation, likeness
from iskra_chaos.operations.perturbation import Branch, Perturbation, SamplerShift
from iskra_metrics.text import char_ngrams, cosine

_SAME = 0.8
"""Cosine of character 4-grams from which two branches are one."""
_SHOWN = 160
_MOST_NAMED = 5
_NUMBERED = re.compile(r"\s*(\d)[.)]\s+(\S.*)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a branch came to.

    Attributes:
        text: Its answer.
        fits: Constraints met, in [0, 1].
        novelty: 1 − the highest likeness to an earlier answer, in [0, 1].
    """

    branch: Branch
    text: str
    fits: float = 1.0
    novelty: float = 1.0


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Hold n = 2 + round(4 i) branches for one answer: the plain one, and warmer ones with a premise each."""
    language = conversation.language
    count = 2 + round(4 * intensity)
    sampler = SamplerShift(0.5 * intensity, 0.90 + 0.08 * intensity)
    stances = views(language, seed, count - 1)
    branches = [Branch("base")]
    for number in range(count - 1):
        stance = stances[number % len(stances)]
        drawn = card(language, seed, number)
        instruction = f"Ответь с точки зрения {stance}. {drawn}" if language == "ru" else f"Answer as {stance}. {drawn}"
        branches.append(Branch(f"{number + 1}: {stance}", instruction, sampler))
    changes = (
        (
            f"Следующий ответ пробуется в {count} вариантах; остаётся самый новый из тех, что держатся задачи, "
            "а другой можно взять по номеру, пока идут два следующих хода",
        )
        if language == "ru"
        else (
            f"The next answer is tried in {count} ways; the newest of those that keep to the task stays, "
            "and another can be taken by its number in the next two turns",
        )
    )
    listed = ", ".join(branch.name.partition(": ")[2] for branch in branches[1:])
    in_one_call = (
        f"Обдумай ответ с нескольких точек зрения: обычной и с точки зрения {listed}. Ответь тем вариантом, который "
        "держится задачи и наименее очевиден. Остальные перечисли под ответом после строки «Другие варианты:» по одной "
        "строке каждый, с номерами: «1. …»."
        if language == "ru"
        else f"Consider the answer from several points of view: the plain one, and those of {listed}. Answer with the "
        "one that keeps to the task and is least obvious. List the others below the answer, after the line "
        '"Other ways:", in a line each, numbered as in "1. …".'
    )
    return Perturbation(turns=1, branches=tuple(branches), in_one_call=in_one_call, changes=changes)


def judged(branch: Branch, text: str, conversation: Conversation) -> Outcome:
    """Return a branch with how well it keeps to the task and how new it is."""
    question = next((message.text for message in reversed(conversation.messages) if message.role == "user"), "")
    earlier = [char_ngrams(answer.text) for answer in conversation.answers[-8:]]
    grams = char_ngrams(text)
    novelty = 1.0 - max((cosine(grams, other) for other in earlier), default=0.0)
    fits = min(1.0, 2.0 * max(likeness(text, question), likeness(text, conversation.goal)))
    return Outcome(branch, text, fits if text.strip() else 0.0, novelty if text.strip() else 0.0)


def distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes without those that say nearly what an earlier one says, and without empty ones."""
    kept: list[Outcome] = []
    for outcome in outcomes:
        grams = char_ngrams(outcome.text)
        if outcome.text.strip() and all(cosine(grams, char_ngrams(other.text)) <= _SAME for other in kept):
            kept.append(outcome)
    return kept


def settle(outcomes: Sequence[Outcome]) -> Outcome:
    """Choose a branch: those that keep to the task at least half as well as the base come first, then the newest.

    Args:
        outcomes: At least one, the base branch first.
    """
    needed = 0.5 * outcomes[0].fits
    fitting = [outcome for outcome in outcomes if outcome.fits >= needed and outcome.text.strip()] or [outcomes[0]]
    return max(fitting, key=lambda outcome: outcome.novelty)


def sketched(text: str) -> list[str]:
    """Return the other ways that an answer in one call names: the numbered lines at its end, if they count from 1."""
    found: list[tuple[int, str]] = []
    for line in reversed(text.rstrip().splitlines()):
        match = _NUMBERED.fullmatch(line)
        if match is None:
            break
        found.insert(0, (int(match.group(1)), match.group(2)))
    is_headed = len(found) < len([line for line in text.splitlines() if line.strip()])
    counts = [number for number, _ in found] == list(range(1, len(found) + 1))
    return [way for _, way in found] if is_headed and counts and len(found) <= _MOST_NAMED else []


def others_line(others: Sequence[Outcome], *, speaks_russian: bool) -> str:
    """Return what is shown below the chosen answer: the other ways, in a line each, numbered from 1."""
    if not others:
        return ""
    head = (
        "Другие варианты (скажите номер, чтобы взять вариант целиком):"
        if speaks_russian
        else "Other ways (say a number to have that one in full):"
    )
    plain = "как обычно" if speaks_russian else "plainly"
    lines = [
        f"{number}. {outcome.branch.name.partition(': ')[2] or plain}: {' '.join(outcome.text.split())[:_SHOWN]} …"
        for number, outcome in enumerate(others, 1)
    ]
    return "\n\n" + "\n".join((head, *lines))
