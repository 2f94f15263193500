"""Whether an agent calls its tools in a circle.

Failed and successful calls count alike: to ask the same thing and be answered the same is what makes a circle. Polling
with results that change, and work on other arguments, have other fingerprints and never do.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REPEATS = 3
"""Equal calls in a row that are a loop."""

LONGEST_CYCLE = 4
CYCLE_REPEATS = 2
"""Rounds of a cycle of two calls or more (A, B, A, B) that are a loop."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A circle at the end of a row of calls.

    Attributes:
        length: Calls of one round: 1 for a call that is repeated.
        repeats: Whole rounds at the end of the row.
        calls: Calls that the loop has taken, ``length * repeats``.
    """

    length: int
    repeats: int

    @property
    def calls(self) -> int:
        return self.length * self.repeats


def fingerprint(tool: str, arguments: Mapping[str, object] | str, result: object) -> str:
    """Return a hash of a tool call and of what came back, equal for equal calls.

    The order of keys, white space in JSON, and whether arguments come as JSON text or as a mapping make no difference.
    """
    canonical = [tool, _canonical(arguments), _canonical(result)]
    text = json.dumps(canonical, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def find_loop(fingerprints: Sequence[str]) -> Loop | None:
    """Return the loop that the latest calls are in, the shortest there is, or ``None``."""
    for length in range(1, LONGEST_CYCLE + 1):
        repeats = _rounds(fingerprints, length)
        if repeats >= (REPEATS if length == 1 else CYCLE_REPEATS):
            return Loop(length, repeats)
    return None


def _rounds(fingerprints: Sequence[str], length: int) -> int:
    end = len(fingerprints)
    if end < length:
        return 0
    matching = length
    while matching < end and fingerprints[end - 1 - matching] == fingerprints[end - 1 - matching + length]:
        matching += 1
    return matching // length


def _canonical(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value.strip() if isinstance(value, str) else ""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=repr)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
