"""Whether a fault hits a call: a keyed hash decides, so the same calls are hit again in every replay.

A shared random generator would hand its numbers out in the order in which concurrent calls happen to ask. A hash of
what the call *is* does not depend on any order.
"""

from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_BITS = 53
"""Bits of a float's mantissa: every value below is a multiple of 2⁻⁵³."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def uniform(seed: int, *parts: str | int) -> float:
    """Return a number in [0, 1), evenly spread over ``parts`` and fixed by ``seed`` (0 ≤ seed < 2⁶³).

    BLAKE2b (RFC 7693), keyed with the seed. Each part is preceded by its length, so ``("ab", "c")`` and
    ``("a", "bc")`` are different calls.
    """
    digest = blake2b(digest_size=8, key=seed.to_bytes(8, "big"))
    for part in parts:
        encoded = str(part).encode(errors="surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return (int.from_bytes(digest.digest(), "big") >> (64 - _BITS)) * 2.0**-_BITS


def fires(seed: int, session: str, point: str, call_index: int, probability: float) -> bool:
    """Return whether the call with this index, counted from 0 per session, is hit; never for 0, always for 1."""
    if probability <= 0.0:
        return False
    return probability >= 1.0 or uniform(seed, session, point, call_index) < probability


class _Rule(BaseModel):
    """Which calls of a session are candidates; ``probability`` then decides about each of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    probability: Probability = 1.0

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        """Return whether a call may be hit; ``elapsed`` is the age of the fault in seconds."""
        raise NotImplementedError


class Single(_Rule):
    """One call of each session, the first."""

    name: Literal["single"] = "single"

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return call_index == 0


class Burst(_Rule):
    """``count`` calls in a row, after ``start`` healthy ones."""

    name: Literal["burst"] = "burst"
    count: Annotated[int, Field(ge=1, le=10_000)] = 3
    start: Annotated[int, Field(ge=0, le=10_000)] = 1

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return self.start <= call_index < self.start + self.count


class Intermittent(_Rule):
    """Any call, each with ``probability``."""

    name: Literal["intermittent"] = "intermittent"
    probability: Probability = 0.3

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return True


class Persistent(_Rule):
    """Every call, for ``ttl`` seconds or as long as the fault lives."""

    name: Literal["persistent"] = "persistent"
    ttl: Annotated[float, Field(gt=0.0, le=600.0)] | None = None

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return self.ttl is None or elapsed < self.ttl


class Nth(_Rule):
    """One call of each session: a number counted from 1, or a place among the ``calls`` that are expected."""

    name: Literal["nth"] = "nth"
    nth: Literal["early", "mid", "late"] | Annotated[int, Field(ge=1, le=1_000_000)] = 1
    calls: Annotated[int, Field(ge=1, le=1_000_000)] = 10

    @property
    def call_index(self) -> int:
        """Index, from 0, of the call that is hit: the middle of the first, second or last third."""
        if isinstance(self.nth, int):
            return self.nth - 1
        sixths = {"early": 1, "mid": 3, "late": 5}[self.nth]
        return self.calls * sixths // 6

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return call_index == self.call_index


class FailFirst(_Rule):
    """The first ``count`` calls of each session; all later ones are healthy."""

    name: Literal["fail_first"] = "fail_first"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1

    def is_candidate(self, call_index: int, elapsed: float) -> bool:
        return call_index < self.count


Strategy = Annotated[Single | Burst | Intermittent | Persistent | Nth | FailFirst, Field(discriminator="name")]
