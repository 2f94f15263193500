"""How much chaos one owner may have at a time, and start in a minute."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from iskra_sdk.clock import Clock
from iskra_sdk.errors import BusyError

_MINUTE = 60.0
_ROUNDING = 1e-6
"""Seconds; a start that long before a minute ago counts as one a minute ago."""
_LONGEST_WAIT = 60.0
"""Seconds that a client is told to wait at most: an operation may end long before its lease is over."""
_MOST_OWNERS = 1000
"""Owners whose starts are remembered before those that were quiet for a minute are forgotten."""


class TooManyOperationsError(BusyError):
    """One owner has, or starts, more operations and experiments than the settings allow."""

    code = "too_many_operations"
    http_status = 429


class OwnerLimits:
    """Counts operations and experiments by who asked for them.

    Refused ones do not count as started, so who keeps asking gets in as soon as there is room.

    Args:
        clock: Measures the minute, on the monotonic clock.
        held: Returns the seconds that each operation and experiment of an owner lasts at most from now on.
        most_held: In force at a time.
        most_started: Started within any sixty seconds.
    """

    def __init__(
        self, clock: Clock, held: Callable[[str], Sequence[float]], *, most_held: int, most_started: int
    ) -> None:
        self._clock = clock
        self._held = held
        self._most_held = most_held
        self._most_started = most_started
        self._starts: dict[str, deque[float]] = {}

    def admit(self, owner: str, *, adds: int = 1) -> None:
        """Count a start.

        Args:
            owner: The id of the principal.
            adds: How many it adds to those in force; 0 for one that has its place already, or takes none.

        Raises:
            TooManyOperationsError: It is one too many; ``retry_after`` says when there may be room.
        """
        held = self._held(owner)
        if len(held) + adds > self._most_held:
            raise TooManyOperationsError(
                f"{self._most_held} operations and experiments of yours are in force, and no more may be at a time.",
                mend="Take one back or wait for its end; an admin can raise `operations_per_owner`.",
                retry_after=min([*held, _LONGEST_WAIT]),
                facts={"why": "too_many_in_force", "limit": self._most_held, "setting": "operations_per_owner"},
            )
        now = self._clock.monotonic()
        starts = self._recent(owner, now)
        if len(starts) >= self._most_started:
            wait = max(1, math.ceil(starts[0] + _MINUTE - now))
            raise TooManyOperationsError(
                f"You started {self._most_started} operations and experiments within a minute, and no more may be.",
                mend=f"Try again in {wait} s; an admin can raise `starts_per_minute`.",
                retry_after=float(wait),
                facts={"why": "too_many_started", "limit": self._most_started, "setting": "starts_per_minute"},
            )
        starts.append(now)

    def _recent(self, owner: str, now: float) -> deque[float]:
        if owner not in self._starts and len(self._starts) >= _MOST_OWNERS:
            self._starts = {
                each: starts for each, starts in self._starts.items() if starts and now - starts[-1] < _MINUTE
            }
        starts = self._starts.setdefault(owner, deque())
        while starts and now - starts[0] >= _MINUTE - _ROUNDING:
            starts.popleft()
        return starts
