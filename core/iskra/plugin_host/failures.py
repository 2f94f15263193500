"""Counts what plugins raise at run time."""

from collections import deque


class FailureCounter:
    """Counts what a plugin raised lately.

    Args:
        most: Failures within the window that are too many.
        window: Seconds.
    """

    def __init__(self, most: int = 10, window: float = 60.0) -> None:
        self._most = most
        self._window = window
        self._times: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count one; return whether they are too many now."""
        self._times.append(now)
        return self.recent(now) >= self._most

    def recent(self, now: float) -> int:
        """Return how many there were within the window."""
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
        return len(self._times)
