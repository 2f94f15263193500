"""The local classifier: a linear model over hashed features that ships with the package."""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iskra_agents.routing.features import BITS, features_of

MAGIC = b"ISKRA-ROUTING-1\n"
MODEL_FILE = Path(__file__).with_name("classifier.bin")


class DamagedModelError(ValueError):
    """The model's file is no model, or not whole."""


@dataclass(frozen=True, slots=True)
class LocalClassifier:
    """Multinomial logistic regression with weights of one byte.

    Attributes:
        labels: Agents, by column.
        weights: For each label ``2**BITS`` signed bytes.
        scales: What one unit of a label's weights is worth.
        biases: Of each label.
        source: Digest of what it was trained from.
        temperature: Divides the scores, so that probabilities are honest (Guo et al. 2017, arXiv:1706.04599).
    """

    labels: tuple[str, ...]
    weights: tuple[memoryview, ...]
    scales: tuple[float, ...]
    biases: tuple[float, ...]
    source: str
    temperature: float

    @classmethod
    def load(cls, file: Path = MODEL_FILE) -> "LocalClassifier":
        """Read a model.

        Raises:
            OSError: The file cannot be read.
            DamagedModelError: It is no model, or not whole.
        """
        data = file.read_bytes()
        try:
            head, _, body = data.removeprefix(MAGIC).partition(b"\n")
            header = json.loads(head)
            labels = tuple(header["labels"])
            size = 1 << BITS
            is_whole = data.startswith(MAGIC) and header["bits"] == BITS and len(body) == size * len(labels)
            if not is_whole or zlib.crc32(body) != header["crc32"]:
                raise DamagedModelError(f"{file.name} is not a whole model for {BITS} bits")
            signed = memoryview(body).cast("b")
            return cls(
                labels,
                tuple(signed[place * size : (place + 1) * size] for place in range(len(labels))),
                tuple(map(float, header["scales"])),
                tuple(map(float, header["biases"])),
                str(header["source"]),
                float(header["temperature"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise DamagedModelError(f"{file.name} is no model: {exc}") from exc

    def probabilities(self, text: str) -> Mapping[str, float]:
        """Return how likely each agent is; the values sum to 1."""
        features = features_of(text)
        scores = [
            (bias + scale * sum([value * weights[feature] for feature, value in features.items()])) / self.temperature
            for weights, scale, bias in zip(self.weights, self.scales, self.biases, strict=True)
        ]
        highest = max(scores)
        powers = [math.exp(score - highest) for score in scores]
        total = sum(powers)
        return {label: power / total for label, power in zip(self.labels, powers, strict=True)}
