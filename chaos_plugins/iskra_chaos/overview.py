"""The figures for people who watch the server: the specification's dashboard, each of them measured."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.processes.engine import ChaosEngine
from iskra_sdk.clock import Clock

if TYPE_CHECKING:
    from iskra_chaos.parts import ChaosParts


class Overview:
    """Sums up sessions, operations and faults.

    Attributes:
        in_crisis: Sessions whose user may be in a crisis.
    """

    def __init__(self, engine: ChaosEngine, board: FaultBoard, clock: Clock) -> None:
        self.in_crisis: set[str] = set()
        self._engine = engine
        self._board = board
        self._clock = clock

    @property
    def chaos_level(self) -> float:
        """Mean chaos of the sessions measured last, in [0, 1]."""
        return _mean(values["chaos"] for values in self._engine.measuring.last().values())

    async def tick(self, parts: "ChaosParts") -> None:
        """Look at the figures once a second."""

    async def turn_over(self, parts: "ChaosParts", session_id: str) -> None:
        """Measure a session after a turn."""
        await self._engine.measuring.readings(session_id)

    def balance(self) -> dict[str, object]:
        """Return tension, its band and what follows."""
        return {}


def _mean(values: Iterable[float]) -> float:
    """Return the mean, 0 of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else 0.0
