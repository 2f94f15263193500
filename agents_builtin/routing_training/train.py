"""Trains the local classifier of the orchestrator on the messages in this folder.

After changing a message, run it from the root of the repository:
``.venv/bin/python agents_builtin/routing_training/train.py``. It needs numpy. Equal messages give an equal model.
"""

import argparse
import hashlib
import json
import random
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from iskra_agents.routing import clauses, cue_table, cues, features, translit
from iskra_agents.routing.classifier import MAGIC, MODEL_FILE
from iskra_agents.routing.features import BITS, features_of

Row: TypeAlias = tuple["np.ndarray", "np.ndarray"]
"""Places of the features of a text, and their values."""

FOLDER = Path(__file__).parent
LABELS = ("architect", "ask", "coder", "debug")
_VARIANTS_OF_MADE = 3
_PER_PATTERN = 14
_EPOCHS = 5
_RATE = 4.0
_AUTHORS_PER_HELD = 4
_BIAS_RATE = 0.01  # of the rate of the weights
_DECAY = 2e-6
_CHOICE = re.compile(r"\{([^{}]*)\}")
_LANGUAGE = re.compile(r"_(?:en|ru|second)$")
_LIST = re.compile(r"\[([^\[\]0-9]+)\]")


def read_messages() -> list[tuple[str, str]]:
    """Return all messages with their labels."""
    return [*read_collection(), *(message for messages in read_authors().values() for message in messages)]


def read_collection() -> list[tuple[str, str]]:
    """Return the messages of no particular author with their labels."""
    return [
        (label, line)
        for label in LABELS
        for line in (FOLDER / f"messages_{label}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def read_authors() -> dict[str, list[tuple[str, str]]]:
    """Return the messages with their labels by author: the name of the file, less its language.

    A line "== ask" begins the messages for an agent; ``\\n`` in a message is a line break.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for file in sorted((FOLDER / "authors").glob("*.txt")):
        messages = found.setdefault(_LANGUAGE.sub("", file.stem), [])
        label = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("== "):
                label = LABELS[LABELS.index(line.removeprefix("== "))]
            elif line.strip():
                messages.append((label, line.replace("\\n", "\n")))
    return found


def source_digest() -> str:
    """Return a digest of everything that the model is made from."""
    modules = [features, clauses, translit, cues, cue_table]
    files = [*sorted(FOLDER.rglob("*.txt")), Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def messages_from_patterns(dice: random.Random) -> list[tuple[str, str]]:
    """Return messages made from the patterns, ``_PER_PATTERN`` from each, without repetitions."""
    lists: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for line in (FOLDER / "patterns.txt").read_text(encoding="utf-8").splitlines():
        label, _, pattern = line.partition("\t")
        if label.startswith("="):
            lists[label[1:]] = pattern.split("|")
        elif label in LABELS:
            for _ in range(_PER_PATTERN):
                found.setdefault(_made_from(pattern, lists, dice), label)
    return [(label, text) for text, label in found.items()]


def _made_from(pattern: str, lists: dict[str, list[str]], dice: random.Random) -> str:
    text = _CHOICE.sub(lambda choice: dice.choice(choice[1].split("|")), pattern)
    text = _LIST.sub(lambda name: dice.choice(lists[name[1]]) if name[1] in lists else name[0], text)
    return " ".join(text.split())


@cache
def _surroundings() -> Mapping[str, tuple[str, ...]]:
    """Return what may stand around a message, by its kind: "opener", "closer", "before", and "not" with a label."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / "surroundings.txt").read_text(encoding="utf-8").splitlines():
        kind, _, text = line.partition("\t")
        found.setdefault(kind, []).append(text)
    return {kind: tuple(texts) for kind, texts in found.items()}


def variants(label: str, text: str) -> list[str]:
    """Return a message as it stands, as people in a hurry would type it, and with what people say around it.

    They are the same at each call.
    """
    dice = random.Random(f"{label} {text}")  # noqa: S311 - no secret
    around = _surroundings()
    hurried = _mistyped(text.rstrip(".?!"), dice, typos=1, in_first=True).lower()
    polite = dice.choice(around["opener"]) + _mistyped(_without_a_word(text, dice), dice, typos=2)
    careless = _mistyped(text, dice, typos=1, in_first=True).lower()
    sloppy = _mistyped(_without_a_word(text, dice), dice, typos=2)
    long = dice.choice(around["before"]) + text + dice.choice(around["closer"])
    other = dice.choice([other for other in LABELS if other != label])
    turned_down = dice.choice(around[f"not {other}"]) + text
    return [text, hurried, polite, careless, sloppy, dice.choice((long, turned_down))]


def _without_a_word(text: str, dice: random.Random) -> str:
    words = text.split()
    if len(words) > 4:
        del words[dice.randrange(1, len(words))]
    return " ".join(words)


def _mistyped(text: str, dice: random.Random, *, typos: int, in_first: bool = False) -> str:
    """Return a message with typos; one in the first long word, which often is the verb, costs most."""
    words = text.split()
    for _ in range(typos if words else 0):
        first = next(filter(lambda place: len(words[place]) > 4, range(len(words))), 0)
        place = first if in_first else dice.randrange(len(words))
        word = words[place]
        if len(word) > 4:
            at = dice.randrange(1, len(word) - 2)
            words[place] = dice.choice(
                (word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :])
            )
    return " ".join(words)


def sparse_rows(texts: Sequence[str]) -> list[Row]:
    """Return of each text the places and the values of its features; the squares of the values sum to 1."""
    return [_sparse_row(text) for text in texts]


@cache
def _sparse_row(text: str) -> Row:
    row = features_of(text)
    return np.fromiter(row.keys(), np.int32), np.fromiter(row.values(), np.float32)


def scores_of(rows: Sequence[Row], weights: "np.ndarray", biases: "np.ndarray") -> "np.ndarray":
    """Return one row of scores per text, a column per label."""
    return np.array([values @ weights[places] + biases for places, values in rows])


def fit(rows: Sequence[Row], labels: Sequence[int], seed: int = 4711) -> tuple["np.ndarray", "np.ndarray"]:
    """Return weights and biases of a softmax regression.

    Stochastic gradient descent with a rate that falls to zero; the decay of all weights is kept in one number, which
    spares touching those that a message does not have (Bottou 2012, Stochastic Gradient Descent Tricks).
    """
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
            scale *= 1 - rate * _DECAY
            weights[places] = own - np.outer(values, error * (rate / scale))
            biases -= rate * _BIAS_RATE * error
    return weights * np.float32(scale), biases


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Return probabilities, row by row."""
    powers: np.ndarray = np.exp(scores - scores.max(1, keepdims=True))
    powers /= powers.sum(1, keepdims=True)
    return powers


def best_temperature(scores: "np.ndarray", labels: "np.ndarray") -> float:
    """Return the temperature with the least loss on messages that were not trained on."""
    choices = np.arange(0.2, 3.0, 0.05)
    losses = [-np.log(softmax(scores / choice)[np.arange(len(labels)), labels] + 1e-9).mean() for choice in choices]
    return float(choices[int(np.argmin(losses))])


def learned_from(
    messages: Sequence[tuple[str, str]], made: Sequence[tuple[str, str]]
) -> tuple["np.ndarray", "np.ndarray"]:
    """Return weights and biases learned from messages with their labels, from those made of patterns, and variants."""
    pairs = [(label, text) for label, message in made for text in variants(label, message)[:_VARIANTS_OF_MADE]]
    pairs += [(label, text) for label, message in messages for text in variants(label, message)]
    return fit(sparse_rows([text for _, text in pairs]), [LABELS.index(label) for label, _ in pairs])


def train() -> tuple[bytes, float]:
    """Return the model's file and its accuracy on the authors that were left out to find the temperature."""
    made = messages_from_patterns(random.Random(4711))  # noqa: S311 - no secret
    authors = list(read_authors().values())
    held = [message for messages in authors[::_AUTHORS_PER_HELD] for message in messages]
    rest = [message for place, messages in enumerate(authors) if place % _AUTHORS_PER_HELD for message in messages]
    scores = scores_of(sparse_rows([text for _, text in held]), *learned_from([*read_collection(), *rest], made))
    labels = np.array([LABELS.index(label) for label, _ in held])
    temperature = best_temperature(scores, labels)
    accuracy = float((scores.argmax(1) == labels).mean())

    weights, biases = learned_from(read_messages(), made)
    return model_file(weights, biases, temperature), accuracy


def model_file(weights: "np.ndarray", biases: "np.ndarray", temperature: float) -> bytes:
    """Return what the classifier reads: a header, then each weight in one byte."""
    scales = np.abs(weights).max(0) / 127
    body: bytes = np.round(weights / scales).astype(np.int8).T.tobytes()
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


def main() -> None:
    """Train and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MODEL_FILE)
    file = parser.parse_args().output
    model, accuracy = train()
    file.write_bytes(model)
    sys.stdout.write(f"{file}: {len(model)} bytes; {accuracy:.1%} of the messages of authors left out are right\n")


if __name__ == "__main__":
    main()
