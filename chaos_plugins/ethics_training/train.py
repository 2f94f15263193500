"""Trains the classifier of the ethics check on the patterns in this folder.

After changing a pattern or a concept, run it from the root of the repository:
``.venv/bin/python chaos_plugins/ethics_training/train.py``. It needs numpy. Equal patterns give an equal model.
``--check`` trains on four fifths of the patterns, five times, and prints how the rest fares: patterns are left out
whole, so that this says how sentences fare that are built otherwise than those that were learned from.
"""

import argparse
import hashlib
import json
import random
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from iskra_chaos.ethics import concepts, features, terms
from iskra_chaos.ethics.classifier import LABELS, MAGIC, MODEL_FILE
from iskra_chaos.ethics.concepts import packaged_concepts
from iskra_chaos.ethics.features import BITS, features_of
from iskra_chaos.operations import cards

Features: TypeAlias = tuple["np.ndarray", "np.ndarray"]
"""Places of the features of a text, and their values."""

FOLDER = Path(__file__).parent
_PER_PATTERN = 14
_EPOCHS = 12
_RATE = 6.0
_DECAY = 2e-5
_FOLDS = 5
_DECK = 12
_CHOICE = re.compile(r"\{([^{}]*)\}")
_LIST = re.compile(r"\[([^\[\]]+)\]")


class Sentence(NamedTuple):
    """A training sentence, its label, and the number of the pattern it is made from."""

    label: str
    text: str
    pattern: int


def sentences(seed: int = 4711) -> list[Sentence]:
    """Return the training sentences: the plain ones, and at most ``_PER_PATTERN`` of each pattern; none twice."""
    found: dict[str, Sentence] = {}
    number = 0
    for file in sorted(FOLDER.glob("patterns_*.txt")):
        lists: dict[str, list[str]] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            label, _, pattern = line.partition("\t")
            if label.startswith("="):
                lists[label[1:]] = pattern.split("|")
                continue
            number += 1
            dice = random.Random(seed + number)  # noqa: S311 - no secret
            for _ in range(_PER_PATTERN):
                text = _made_from(pattern, lists, dice)
                found.setdefault(text, Sentence(label, text, number))
    for line in [*(FOLDER / "plain.txt").read_text(encoding="utf-8").splitlines(), *_own_instructions()]:
        number += 1
        found.setdefault(line, Sentence("none", line, number))
    return list(found.values())


def _own_instructions() -> Iterator[str]:
    """Yield what the operations tell a model by themselves."""
    for language in ("ru", "en"):
        yield from (cards.card(language, 0, number) for number in range(_DECK))
        yield from (
            f"Answer as {view}." if language == "en" else f"Ответь с точки зрения {view}."
            for view in cards.views(language, 0, _DECK)
        )


def _made_from(pattern: str, lists: Mapping[str, Sequence[str]], dice: random.Random) -> str:
    text = pattern
    while (changed := _once(text, lists, dice)) != text:
        text = changed
    return " ".join(text.split())


def _once(text: str, lists: Mapping[str, Sequence[str]], dice: random.Random) -> str:
    text = _CHOICE.sub(lambda choice: dice.choice(choice[1].split("|")), text)
    return _LIST.sub(lambda name: dice.choice(lists[name[1]]), text)


def source_digest() -> str:
    """Return a digest of everything that the model is made from."""
    modules = [features, concepts, terms]
    files = [Path(str(module.__file__)) for module in modules]
    files += [files[1].with_name("concepts.toml"), Path(__file__)]
    made = "\n".join(f"{sentence.label} {sentence.text}" for sentence in sentences())
    return hashlib.sha256(b"\0".join([*(file.read_bytes() for file in files), made.encode()])).hexdigest()[:16]


def rows_of(texts: Sequence[str]) -> list[Features]:
    """Return the features of texts."""
    groups = packaged_concepts()
    found = [features_of(text, groups) for text in texts]
    return [(np.fromiter(row.keys(), np.int32), np.fromiter(row.values(), np.float32)) for row in found]


def fit(rows: Sequence[Features], labels: Sequence[int], seed: int = 4711) -> tuple["np.ndarray", "np.ndarray"]:
    """Return weights and biases of a softmax regression.

    Stochastic gradient descent with a rate that falls to zero; the decay of all weights is kept in one number (Bottou
    2012, Stochastic Gradient Descent Tricks). Rare labels weigh as much as the square root of their rarity.
    """
    counts = Counter(labels)
    rarity = {label: (len(labels) / len(counts) / count) ** 0.5 for label, count in counts.items()}
    weights, biases = np.zeros((1 << BITS, len(LABELS)), np.float32), np.zeros(len(LABELS), np.float32)
    order = np.random.default_rng(seed)
    scale, step, steps = 1.0, 0, _EPOCHS * len(rows)
    for _ in range(_EPOCHS):
        for number in order.permutation(len(rows)):
            places, values = rows[number]
            rate = _RATE * (1 - step / steps)
            step += 1
            own = weights[places]
            error = softmax((values @ own * scale + biases)[None])[0]
            error[labels[number]] -= 1
            error *= rarity[labels[number]]
            scale *= 1 - rate * _DECAY
            weights[places] = own - np.outer(values, error * (rate / scale))
            biases -= rate * 0.01 * error
    return weights * np.float32(scale), biases


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Return probabilities, row by row."""
    powers: np.ndarray = np.exp(scores - scores.max(1, keepdims=True))
    powers /= powers.sum(1, keepdims=True)
    return powers


def left_out(made: Sequence[Sentence]) -> tuple["np.ndarray", "np.ndarray"]:
    """Return scores and labels of all sentences, each scored by a model that knows nothing of its pattern."""
    rows = rows_of([sentence.text for sentence in made])
    labels = np.array([LABELS.index(sentence.label) for sentence in made])
    scores = np.zeros((len(made), len(LABELS)), np.float32)
    for fold in range(_FOLDS):
        known = [place for place, sentence in enumerate(made) if sentence.pattern % _FOLDS != fold]
        weights, biases = fit([rows[place] for place in known], [int(labels[place]) for place in known])
        for place, sentence in enumerate(made):
            if sentence.pattern % _FOLDS == fold:
                places, values = rows[place]
                scores[place] = values @ weights[places] + biases
    return scores, labels


def best_temperature(scores: "np.ndarray", labels: "np.ndarray") -> float:
    """Return the temperature with the least loss on sentences that were left out."""
    choices = np.arange(0.3, 4.0, 0.05)
    losses = [-np.log(softmax(scores / choice)[np.arange(len(labels)), labels] + 1e-9).mean() for choice in choices]
    return float(choices[int(np.argmin(losses))])


def model_file(weights: "np.ndarray", biases: "np.ndarray", temperature: float) -> bytes:
    """Return what the classifier reads: a header, then each weight in one byte."""
    scales = np.abs(weights).max(0) / 127
    body: bytes = np.round(weights / scales).astype(np.int8).tobytes()
    header = {
        "labels": LABELS,
        "bits": BITS,
        "scales": [round(float(scale), 9) for scale in scales],
        "biases": [round(float(bias), 6) for bias in biases],
        "temperature": round(temperature, 3),
        "source": source_digest(),
        "crc32": zlib.crc32(body),
    }
    return MAGIC + json.dumps(header).encode() + b"\n" + body


def _show(made: Sequence[Sentence], scores: "np.ndarray", labels: "np.ndarray", temperature: float) -> None:
    likely = softmax(scores / temperature)
    chosen = likely.argmax(1)
    good = labels == 0
    objection = 1 - likely[:, 0]
    write = sys.stdout.write
    write(f"{len(made)} sentences, temperature {temperature:.2f}, right {(chosen == labels).mean():.1%}\n")
    for bound in (0.5, 0.6, 0.7, 0.8, 0.9):
        found, wrong = (objection[~good] >= bound).mean(), (objection[good] >= bound).mean()
        write(f"objection likelier than {bound}: found {found:.1%}, wrongly {wrong:.1%}\n")
    for label in range(len(LABELS)):
        own = labels == label
        missed = Counter(LABELS[place] for place in chosen[own & (chosen != label)]).most_common(3)
        write(f"{LABELS[label]:17} {own.sum():5} right {(chosen[own] == label).mean():.1%} else {missed}\n")


def main() -> None:
    """Train and write the model, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MODEL_FILE)
    parser.add_argument("--check", action="store_true", help="only print how left-out patterns fare")
    arguments = parser.parse_args()
    made = sentences()
    scores, labels = left_out(made)
    temperature = best_temperature(scores, labels)
    _show(made, scores, labels, temperature)
    if arguments.check:
        return
    weights, biases = fit(rows_of([sentence.text for sentence in made]), [int(label) for label in labels])
    arguments.output.write_bytes(model_file(weights, biases, temperature))


if __name__ == "__main__":
    main()
