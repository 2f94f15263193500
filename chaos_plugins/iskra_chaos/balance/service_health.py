"""How well the service does, as far as conversations notice it: the error budget of turns, and circuit breakers.

The budget is that of Beyer et al., *The Site Reliability Workbook*, chapter 5: a burn of 14.4 times what the objective
allows is the one that people are called for.
"""

from collections import deque

from iskra_sdk.clock import Clock

OBJECTIVE = 0.005
"""Share of turns that may fail."""
_ALARMING_BURN = 14.4
_WINDOW = 3600.0
_MOST_TURNS = 2000
_LEAST_TURNS = 50
"""Turns that a rate is taken over at least: one failure among three turns is no third."""
_OPEN, _HALF_OPEN = 0.4, 0.7
_MOST_TARGETS = 1000


class ServiceHealth:
    """Counts turns that fail, and the circuit breakers that are not closed.

    Args:
        clock: Measures the hour that counts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: deque[tuple[float, bool]] = deque(maxlen=_MOST_TURNS)
        self._breakers: dict[str, float] = {}

    def note_turn(self, *, has_failed: bool) -> None:
        """Count a turn that ended; one that somebody cancelled is none."""
        self._turns.append((self._clock.monotonic(), has_failed))

    def note_breaker(self, target: str, state: str) -> None:
        """Take in the state of a target's breaker: ``opened``, ``half_opened`` or ``closed``."""
        if state == "closed" or len(self._breakers) >= _MOST_TARGETS:
            self._breakers.pop(target, None)
            return
        self._breakers[target] = _HALF_OPEN if state == "half_opened" else _OPEN

    @property
    def error_rate(self) -> float:
        """Share of the last hour's turns that failed, of fifty at least, in [0, 1]."""
        since = self._clock.monotonic() - _WINDOW
        while self._turns and self._turns[0][0] < since:
            self._turns.popleft()
        return sum(failed for _, failed in self._turns) / max(_LEAST_TURNS, len(self._turns))

    @property
    def burn(self) -> float:
        """How many times faster than the objective allows the error budget goes."""
        return self.error_rate / OBJECTIVE

    @property
    def value(self) -> float:
        """In [0, 1]: 1 without failures, 0 at an alarming burn; at most 0.4 while a breaker is open."""
        return min(max(0.0, 1.0 - self.burn / _ALARMING_BURN), min(self._breakers.values(), default=1.0))
