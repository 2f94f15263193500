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

import numpy as np

from iskra_agents.routing import features
from iskra_agents.routing.classifier import MAGIC, MODEL_FILE
from iskra_agents.routing.features import BITS, features_of

FOLDER = Path(__file__).parent
LABELS = ("architect", "ask", "coder", "debug")
_VARIANTS = 4
_VARIANTS_OF_MADE = 3
_PER_PATTERN = 14
_STEPS = 300
_RATE = 0.05
_DECAY = 2e-3
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
    files = [*sorted(FOLDER.glob("*.txt")), Path(__file__), Path(features.__file__)]
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


def matrix(texts: Sequence[str]) -> "np.ndarray":
    """Return one row of features per text, each of length 1."""
    rows = np.zeros((len(texts), 1 << BITS), dtype=np.float32)
    for row, text in enumerate(texts):
        found = features_of(text)
        rows[row, list(found)] = list(found.values())
    return rows


def fit(rows: "np.ndarray", wanted: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """Return weights and biases of a softmax regression, by Adam on all messages at once."""
    classes = wanted.shape[1]
    weights, biases = np.zeros((rows.shape[1], classes), np.float32), np.zeros(classes, np.float32)
    first = [np.zeros_like(weights), np.zeros_like(biases)]
    second = [np.zeros_like(weights), np.zeros_like(biases)]
    for step in range(1, _STEPS + 1):
        error = (softmax(rows @ weights + biases) - wanted) / len(rows)
        for place, (value, slope) in enumerate(
            ((weights, rows.T @ error + _DECAY * weights / 100), (biases, error.sum(0)))
        ):
            first[place] = 0.9 * first[place] + 0.1 * slope
            second[place] = 0.999 * second[place] + 0.001 * slope**2
            value -= _RATE * (first[place] / (1 - 0.9**step)) / (np.sqrt(second[place] / (1 - 0.999**step)) + 1e-8)
    return weights, biases


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


def train() -> tuple[bytes, float]:
    """Return the model's file and its accuracy on messages that were left out to find the temperature."""
    dice = random.Random(4711)  # noqa: S311 - no secret
    messages = read_messages()
    left_out = set(dice.sample(range(len(messages)), len(messages) // 6))
    numbers = {label: place for place, label in enumerate(LABELS)}

    def prepared(places: Sequence[int]) -> tuple["np.ndarray", "np.ndarray"]:
        pairs = [
            *((label, text) for label, message in made for text in variants(message, dice)[:_VARIANTS_OF_MADE]),
            *(
                (label, text)
                for place in places
                for text in variants(messages[place][1], dice)
                for label in [messages[place][0]]
            ),
        ]
        wanted = np.eye(len(LABELS), dtype=np.float32)[[numbers[label] for label, _ in pairs]]
        return matrix([text for _, text in pairs]), wanted

    made = messages_from_patterns(dice)
    weights, biases = fit(*prepared([place for place in range(len(messages)) if place not in left_out]))
    held = [messages[place] for place in sorted(left_out)]
    scores = matrix([text for _, text in held]) @ weights + biases
    labels = np.array([numbers[label] for label, _ in held])
    temperature = best_temperature(scores, labels)
    accuracy = float((scores.argmax(1) == labels).mean())

    weights, biases = fit(*prepared(range(len(messages))))
    scales = np.abs(weights).max(0) / 127
    body = np.round(weights / scales).astype(np.int8).T.tobytes()
    header = {
        "labels": LABELS,
        "bits": BITS,
        "scales": [round(float(scale), 9) for scale in scales],
        "biases": [round(float(bias), 6) for bias in biases],
        "temperature": round(temperature, 3),
        "source": source_digest(),
        "crc32": zlib.crc32(body),
    }
    return MAGIC + json.dumps(header).encode() + b"\n" + body, accuracy


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
