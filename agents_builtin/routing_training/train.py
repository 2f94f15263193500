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
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from iskra_agents.routing import cue_table, cues, features
from iskra_agents.routing.classifier import MAGIC, MODEL_FILE
from iskra_agents.routing.features import BITS, features_of

Row: TypeAlias = tuple["np.ndarray", "np.ndarray"]
"""Places of the features of a text, and their values."""

FOLDER = Path(__file__).parent
LABELS = ("architect", "ask", "coder", "debug")
_VARIANTS = 4
_VARIANTS_OF_MADE = 3
_PER_PATTERN = 14
_EPOCHS = 10
_RATE = 4.0
_BIAS_RATE = 0.01  # of the rate of the weights
_DECAY = 5e-6
_CHOICE = re.compile(r"\{([^{}]*)\}")
_LIST = re.compile(r"\[([^\[\]0-9]+)\]")
_OPENERS = (
    "please ",
    "hey, ",
    "can you ",
    "could you please ",
    "ok, ",
    "пожалуйста, ",
    "слушай, ",
    "можешь ",
    "так, ",
    "а ",
)


def read_messages() -> list[tuple[str, str]]:
    """Return the messages with their labels."""
    return [
        (label, line)
        for label in LABELS
        for line in (FOLDER / f"messages_{label}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def source_digest() -> str:
    """Return a digest of everything that the model is made from."""
    modules = [features, cues, cue_table]
    files = [*sorted(FOLDER.glob("*.txt")), Path(__file__), *(Path(str(module.__file__)) for module in modules)]
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


def variants(text: str, dice: random.Random) -> list[str]:
    """Return a message as it stands and as people in a hurry would type it."""
    found = [text]
    for number in range(_VARIANTS):
        words = text.split()
        if number % 2 and len(words) > 4:
            del words[dice.randrange(1, len(words))]
        for _ in range(1 + number % 2):
            # A typo in the first long word, which often is the verb, costs most.
            place = (
                dice.randrange(len(words))
                if number % 2
                else next(filter(lambda n: len(words[n]) > 4, range(len(words))), 0)
            )
            word = words[place]
            if len(word) > 4:
                at = dice.randrange(1, len(word) - 2)
                typos = (word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :])
                words[place] = dice.choice(typos)
        changed = " ".join(words)
        changed = changed.rstrip(".?!") if number == 0 else changed
        found.append(dice.choice(_OPENERS) + changed if number % 2 else changed.lower())
    return found


def sparse_rows(texts: Sequence[str]) -> list[Row]:
    """Return of each text the places and the values of its features; the squares of the values sum to 1."""
    found = map(features_of, texts)
    return [(np.fromiter(row.keys(), np.int32), np.fromiter(row.values(), np.float32)) for row in found]


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
    messages: Sequence[tuple[str, str]], made: Sequence[tuple[str, str]], dice: random.Random
) -> tuple["np.ndarray", "np.ndarray"]:
    """Return weights and biases learned from messages with their labels, from those made of patterns, and variants."""
    pairs = [(label, text) for label, message in made for text in variants(message, dice)[:_VARIANTS_OF_MADE]]
    pairs += [(label, text) for label, message in messages for text in variants(message, dice)]
    return fit(sparse_rows([text for _, text in pairs]), [LABELS.index(label) for label, _ in pairs])


def train() -> tuple[bytes, float]:
    """Return the model's file and its accuracy on messages that were left out to find the temperature."""
    dice = random.Random(4711)  # noqa: S311 - no secret
    messages = read_messages()
    made = messages_from_patterns(dice)
    left_out = set(dice.sample(range(len(messages)), len(messages) // 6))
    rest = [message for place, message in enumerate(messages) if place not in left_out]
    held = [messages[place] for place in sorted(left_out)]
    scores = scores_of(sparse_rows([text for _, text in held]), *learned_from(rest, made, dice))
    labels = np.array([LABELS.index(label) for label, _ in held])
    temperature = best_temperature(scores, labels)
    accuracy = float((scores.argmax(1) == labels).mean())

    weights, biases = learned_from(messages, made, dice)
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
    sys.stdout.write(f"{file}: {len(model)} bytes; {accuracy:.1%} of the messages left out are right\n")


if __name__ == "__main__":
    main()
