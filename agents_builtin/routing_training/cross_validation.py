"""Tells how well the router does on training messages that it was not trained on.

Run it from the root of the repository: ``.venv/bin/python agents_builtin/routing_training/cross_validation.py``.
It trains five times, each time without a fifth of the messages; messages that resemble each other are left out
together. The levels in ``iskra_agents.routing.levels`` were chosen by what it prints.
"""

import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np

from iskra_agents import Architect, Ask, Coder, Debug
from iskra_agents.routing.context import RoutingContext
from iskra_agents.routing.levels import Level
from iskra_agents.routing.router import Choice, Router
from iskra_sdk.clock import SystemClock
from routing_training import train

FOLDS = 5
_ALIKE = 0.4  # share of the letters in a row that two messages have in common
_AGENTS = (Ask(), Coder(), Architect(), Debug())
Message = tuple[str, str]
Learned = tuple["np.ndarray", "np.ndarray"]


def folds(messages: Sequence[Message]) -> list[int]:
    """Return the fold of each message; those that resemble each other, be it over others, share one."""
    letters = [_letters(text) for _, text in messages]
    group = list(range(len(messages)))

    def first_of(place: int) -> int:
        while group[place] != place:
            place = group[place]
        return place

    for one, other in combinations(range(len(messages)), 2):
        common = len(letters[one] & letters[other])
        if common >= _ALIKE * (len(letters[one]) + len(letters[other]) - common):
            group[first_of(other)] = first_of(one)
    sizes = Counter(first_of(place) for place in range(len(messages)))
    order = sorted(sizes)
    random.Random(1).shuffle(order)  # noqa: S311 - no secret
    filled = [0] * FOLDS
    fold_of: dict[int, int] = {}
    for first in order:
        fold_of[first] = filled.index(min(filled))
        filled[fold_of[first]] += sizes[first]
    return [fold_of[first_of(place)] for place in range(len(messages))]


def _letters(text: str) -> frozenset[str]:
    text = " ".join(re.findall(r"\w+", text.lower().replace("ё", "е")))
    return frozenset(text[at : at + 4] for at in range(max(1, len(text) - 3)))


def _learned_without(fold: int, messages: Sequence[Message], fold_of: Sequence[int]) -> Learned:
    dice = random.Random(4711)  # noqa: S311 - no secret
    made = train.messages_from_patterns(dice)
    kept = [message for message, own in zip(messages, fold_of, strict=True) if own != fold]
    return train.learned_from(kept, made, dice)


def choices() -> Iterator[tuple[str, str, str, Choice]]:
    """Yield each message with its label, the classifier's choice, and the router's, by models that never saw it."""
    messages = train.read_messages()
    fold_of = folds(messages)
    with ProcessPoolExecutor() as workers:
        runs = [workers.submit(_learned_without, fold, messages, fold_of) for fold in range(FOLDS)]
        learned = [run.result() for run in runs]
    rows = train.sparse_rows([text for _, text in messages])
    scores = np.concatenate([train.scores_of([row], *learned[fold]) for row, fold in zip(rows, fold_of, strict=True)])
    temperature = train.best_temperature(scores, np.array([train.LABELS.index(label) for label, _ in messages]))
    with tempfile.TemporaryDirectory() as folder:
        routers = []
        for fold in range(FOLDS):
            file = Path(folder) / f"{fold}.bin"
            file.write_bytes(train.model_file(*learned[fold], temperature))
            routers.append(Router(SystemClock(), file))
        for (label, text), fold, row in zip(messages, fold_of, scores, strict=True):
            choice = routers[fold].choose(text, _AGENTS, RoutingContext())
            yield label, text, train.LABELS[int(row.argmax())], choice


def main() -> None:
    """Print how often the classifier is right, how often the router would ask, and how often it is right otherwise."""
    found = list(choices())
    right = sum(label == best for label, _, best, _ in found)
    decided = [(label, choice.agent) for label, _, _, choice in found if choice.level is not Level.LOW]
    kept = sum(label == agent for label, agent in decided)
    sys.stdout.write(
        f"{len(found)} messages: the classifier is right in {right / len(found):.1%}; the router asks in "
        f"{1 - len(decided) / len(found):.1%} and is right in {kept / len(decided):.1%} of the others\n"
    )
    for (label, best), count in sorted(Counter((label, best) for label, _, best, _ in found).items()):
        sys.stdout.write(f"{label:>10} -> {best:<10} {count}\n")


if __name__ == "__main__":
    main()
