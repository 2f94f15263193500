"""The classifier: tells what a sentence is likely to ask for where the word lists do not know its words.

A linear model over hashed features that ships with the package. Its training sentences and the program that learns from
them are in ``chaos_plugins/ethics_training``.
"""

import json
import logging
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from iskra_chaos.ethics.concepts import Concepts, packaged_concepts
from iskra_chaos.ethics.features import BITS, features_of

logger = logging.getLogger(__name__)

MAGIC = b"ISKRA-ETHICS-1\n"
MODEL_FILE = Path(__file__).with_name("classifier.bin")
NOTHING = "none"
"""The label of a sentence that nobody objects to."""
LABELS = (
    NOTHING,
    "crisis",
    "grief",
    "danger",
    "minor",
    "leave_me",
    "sensitive",
    "fabrication",
    "brand_bias",
    "retention",
    "sycophancy",
    "anthropomorphism",
    "sneaking",
    "attack",
    "harmful",
    "intrusion",
    "bypass",
)
"""What a sentence may be."""

_LONGEST_PIECE = 240  # characters
_FIRST, _LAST = 4, 2
"""Pieces of a long text that are looked at; the word lists read all of it."""
_ENDS = re.compile(r"(?<=[.!?…\n])\s+")
_REMEMBERED = 2_048


class DamagedModelError(ValueError):
    """The model's file is no model, or not whole."""


@dataclass(frozen=True)
class Classifier:
    """Multinomial logistic regression with weights of one byte.

    Attributes:
        weights: For each of ``2**BITS`` features one signed byte per label.
        scales: What one unit of a label's weights is worth.
        biases: Of each label.
        temperature: Divides the scores, so that probabilities are honest (Guo et al. 2017, arXiv:1706.04599).
        source: Digest of what it was trained from.
        concepts: Groups of words.
    """

    weights: memoryview
    scales: tuple[float, ...]
    biases: tuple[float, ...]
    temperature: float
    source: str
    concepts: Concepts

    @classmethod
    def load(cls, file: Path = MODEL_FILE) -> "Classifier":
        """Read a model.

        Raises:
            OSError: The file cannot be read.
            DamagedModelError: It is no model, or not whole.
        """
        data = file.read_bytes()
        try:
            head, _, body = data.removeprefix(MAGIC).partition(b"\n")
            header = json.loads(head)
            is_whole = data.startswith(MAGIC) and tuple(header["labels"]) == LABELS and header["bits"] == BITS
            if not is_whole or len(body) != len(LABELS) << BITS or zlib.crc32(body) != header["crc32"]:
                raise DamagedModelError(f"{file.name} is not a whole model for {BITS} bits")
            scales, biases = tuple(map(float, header["scales"])), tuple(map(float, header["biases"]))
            if not len(scales) == len(biases) == len(LABELS):
                raise DamagedModelError(f"{file.name} lacks scales or biases")
            return cls(
                memoryview(body).cast("b"),
                scales,
                biases,
                float(header["temperature"]),
                str(header["source"]),
                packaged_concepts(),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise DamagedModelError(f"{file.name} is no model: {exc}") from exc

    def probabilities(self, sentence: str) -> Mapping[str, float]:
        """Return how likely each label is; the values sum to 1."""
        columns = len(LABELS)
        totals = [0.0] * columns
        for feature, value in features_of(sentence, self.concepts).items():
            row = self.weights[feature * columns : (feature + 1) * columns].tolist()
            totals = [total + value * weight for total, weight in zip(totals, row, strict=True)]
        scores = [
            (total * scale + bias) / self.temperature
            for total, scale, bias in zip(totals, self.scales, self.biases, strict=True)
        ]
        highest = max(scores)
        powers = [math.exp(score - highest) for score in scores]
        whole = sum(powers)
        return {label: power / whole for label, power in zip(LABELS, powers, strict=True)}


class Likelihood:
    """How likely texts are to be what somebody has to object to; knows nothing where the model cannot be read.

    Args:
        file: The model.
    """

    def __init__(self, file: Path = MODEL_FILE) -> None:
        self._classifier: Classifier | None = None
        try:
            self._classifier = Classifier.load(file)
        except (OSError, DamagedModelError) as error:
            logger.warning("ethics classifier cannot be read: word lists alone decide", extra={"cause": str(error)})
        self._of_piece = lru_cache(maxsize=_REMEMBERED)(self._probabilities)

    @property
    def source(self) -> str:
        """What the model was trained from; empty without one."""
        return self._classifier.source if self._classifier is not None else ""

    def of(self, text: str) -> tuple[Mapping[str, float], ...]:
        """Return the probabilities of the labels for each piece of a text; empty without a model."""
        if self._classifier is None:
            return ()
        return tuple(self._of_piece(piece) for piece in pieces(text))

    def _probabilities(self, piece: str) -> Mapping[str, float]:
        assert self._classifier is not None  # noqa: S101 - for the type checker
        return self._classifier.probabilities(piece)


def pieces(text: str) -> list[str]:
    """Return a text's sentences, long ones cut; of many the first and the last ones."""
    found = []
    for sentence in _ENDS.split(text.strip()):
        while len(sentence) > _LONGEST_PIECE:
            cut = sentence.rfind(" ", 1, _LONGEST_PIECE)
            cut = _LONGEST_PIECE if cut < 1 else cut
            found.append(sentence[:cut])
            sentence = sentence[cut:].strip()
        if sentence:
            found.append(sentence)
    return found if len(found) <= _FIRST + _LAST else [*found[:_FIRST], *found[-_LAST:]]
