"""Intensity: how strong an operation is, in [0.1, 1.0], and what follows from it for every operation."""

import hashlib
from typing import Literal

WEAKEST, STRONGEST = 0.1, 1.0

Level = Literal["L1", "L2", "L3"]


def level_of(intensity: float) -> Level:
    """Return L1 below .4, L2 below .7, else L3."""
    if intensity < 0.4:
        return "L1"
    return "L2" if intensity < 0.7 else "L3"


def pick(seed: int, what: str, among: int) -> int:
    """Return a number below ``among`` that depends on nothing but the seed and what it is for.

    A hash and not a random generator: the choice is the same however many other choices are made, and when.
    """
    digest = hashlib.blake2b(f"{seed}:{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % among
