"""What a session's tension did while operations acted: what its answer to interventions is learned from."""

from collections.abc import Sequence
from dataclasses import dataclass

BEFORE, AFTER = 3, 4
"""Turns that are kept before the first operation of a segment, and after its last one."""
LONGEST = 40
_AT_WORK = 3
"""Turns over which an intervention and its answer are averaged."""


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn.

    Attributes:
        tension: Read after the turn, not averaged.
        intensity: Of the operation that acted on its answer; 0 for none.
    """

    tension: float
    intensity: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Turns in a row of one session, from shortly before an operation until its effect has settled.

    Attributes:
        tenant: Whose session it was.
        turns: Oldest first.
        first: Place of the first turn on which an operation acted, at least 1.
    """

    tenant: str
    turns: Sequence[RecordedTurn]
    first: int

    @property
    def baseline(self) -> float:
        """Mean tension before the first operation."""
        return _mean([turn.tension for turn in self.turns[: self.first]])

    @property
    def answer(self) -> tuple[float, float]:
        """How the intensity changed by the first intervention, and the tension one turn later, both averaged."""
        acted = self.turns[self.first : self.first + _AT_WORK]
        after = self.turns[self.first + 1 : self.first + 1 + _AT_WORK]
        return _mean([turn.intensity for turn in acted]), _mean([turn.tension for turn in after]) - self.baseline

    def to_json(self) -> dict[str, object]:
        """Return the segment as values that JSON can hold; it quotes nothing and names no session."""
        turns = [[round(turn.tension, 5), turn.intensity] for turn in self.turns]
        return {"tenant": self.tenant, "first": self.first, "turns": turns}

    @classmethod
    def from_json(cls, kept: object) -> "Segment":
        """Return the segment that :meth:`to_json` gave.

        Raises:
            ValueError: It is none.
        """
        if not isinstance(kept, dict):
            raise ValueError("a segment is a mapping")
        try:
            turns = [RecordedTurn(float(tension), float(intensity)) for tension, intensity in kept["turns"]]
            segment = cls(str(kept["tenant"]), turns, int(kept["first"]))
        except (KeyError, TypeError) as exc:
            raise ValueError(f"not a segment: {exc}") from exc
        if not 1 <= segment.first < len(turns):
            raise ValueError("a segment has turns before and after its first operation")
        return segment


class Recording:
    """Cuts a session's turns into segments.

    Args:
        tenant: Whose session it is.
    """

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._turns: list[RecordedTurn] = []
        self._first: int | None = None
        self._quiet = 0

    def note(self, tension: float, intensity: float) -> Segment | None:
        """Take in a turn, and return the segment that ends with it."""
        self._turns.append(RecordedTurn(tension, intensity))
        if self._first is None:
            self._begin(acts=intensity > 0.0)
            return None
        self._quiet = 0 if intensity > 0.0 else self._quiet + 1
        if self._quiet < AFTER and len(self._turns) < LONGEST:
            return None
        segment = Segment(self._tenant, tuple(self._turns), self._first)
        self._first, self._quiet = None, 0
        del self._turns[:-BEFORE]
        return segment

    def _begin(self, *, acts: bool) -> None:
        if not acts:
            del self._turns[:-BEFORE]
        elif len(self._turns) > 1:
            self._first, self._quiet = len(self._turns) - 1, 0
        else:
            self._turns.clear()  # nobody knows what the tension was before


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
