"""Tells how well the router does on training messages that it was not trained on.

Run it from the root of the repository: ``.venv/bin/python agents_builtin/routing_training/cross_validation.py``.
It trains once for each author in ``authors/``, without the messages of that author, and looks where these go: random
parts would resemble what was trained on and promise too much. ``--curve`` prints how that changes with the number of
authors, and ``--folds`` leaves out fifths of the messages of no particular author; those that resemble each other are
left out together. It takes a quarter of an hour. The levels in ``iskra_agents.routing.levels`` were chosen by what it
prints.
"""

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
WORKERS = 3
_CURVE = (0, 3, 6, 12)
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


@dataclass(frozen=True, slots=True)
class Part:
    """Messages that are left out together, and all that is trained on meanwhile."""

    name: str
    held: Sequence[Message]
    rest: Sequence[Message]


def parts_by_author(most: int | None = None) -> list[Part]:
    """Return a part for each author; with ``most`` at most so many other authors are trained on."""
    authors, collection = train.read_authors(), train.read_collection()
    parts = []
    for name, held in authors.items():
        others = [other for other in authors if other != name]
        random.Random(name).shuffle(others)  # noqa: S311 - no secret
        rest = [message for other in others[:most] for message in authors[other]]
        parts.append(Part(name, held, [*collection, *rest]))
    return parts


def parts_by_fold() -> list[Part]:
    """Return five parts of the messages of no particular author."""
    collection = train.read_collection()
    own = folds(collection)
    written = [message for messages in train.read_authors().values() for message in messages]
    return [
        Part(
            f"fold {fold}",
            [message for message, place in zip(collection, own, strict=True) if place == fold],
            [*(message for message, place in zip(collection, own, strict=True) if place != fold), *written],
        )
        for fold in range(FOLDS)
    ]


def _learned(part: Part) -> Learned:
    made = train.messages_from_patterns(random.Random(4711))  # noqa: S311 - no secret
    return train.learned_from(part.rest, made)


def choices(parts: Sequence[Part]) -> Iterator[tuple[str, str, str, Choice]]:
    """Yield each part's name, each message's label, the classifier's choice and the router's, by unbiased models."""
    with ProcessPoolExecutor(WORKERS) as workers:
        learned = list(workers.map(_learned, parts))
    scores = [
        train.scores_of(train.sparse_rows([text for _, text in part.held]), *model)
        for part, model in zip(parts, learned, strict=True)
    ]
    labels = np.array([train.LABELS.index(label) for part in parts for label, _ in part.held])
    temperature = train.best_temperature(np.concatenate(scores), labels)
    with tempfile.TemporaryDirectory() as folder:
        for part, model, rows in zip(parts, learned, scores, strict=True):
            file = Path(folder) / "model.bin"
            file.write_bytes(train.model_file(*model, temperature))
            router = Router(SystemClock(), file)
            for (label, text), row in zip(part.held, rows, strict=True):
                choice = router.choose(text, _AGENTS, RoutingContext())
                yield part.name, label, train.LABELS[int(row.argmax())], choice


def _told(found: Sequence[tuple[str, str, str, Choice]]) -> str:
    right = sum(label == best for _, label, best, _ in found)
    decided = [(label, choice.agent) for _, label, _, choice in found if choice.level is not Level.LOW]
    kept = sum(label == agent for label, agent in decided)
    return (
        f"{len(found)} messages: the classifier is right in {right / len(found):.1%}; the router asks in "
        f"{1 - len(decided) / len(found):.1%} and is right in {kept / max(1, len(decided)):.1%} of the others"
    )


def main() -> None:
    """Print how often the classifier is right, how often the router would ask, and how often it is right otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curve", action="store_true", help="with few authors, with more, and with all")
    parser.add_argument("--folds", action="store_true", help="leave out fifths instead of authors")
    arguments = parser.parse_args()
    for most in _CURVE if arguments.curve else ():
        sys.stdout.write(f"{most:>3} authors: {_told(list(choices(parts_by_author(most))))}\n")
    found = list(choices(parts_by_fold() if arguments.folds else parts_by_author()))
    for name in dict.fromkeys(name for name, *_ in found):
        sys.stdout.write(f"{name:>20}: {_told([row for row in found if row[0] == name])}\n")
    sys.stdout.write(f"{_told(found)}\n")
    for (label, best), count in sorted(Counter((label, best) for _, label, best, _ in found).items()):
        sys.stdout.write(f"{label:>10} -> {best:<10} {count}\n")


if __name__ == "__main__":
    main()
