"""The tool calls of one turn: whether they go in a circle, and which call is refused for it."""

from iskra_metrics.loops import REPEATS, find_loop

_REMEMBERED = 24


class Circle:
    """Refuses calls that would only repeat what was answered the same before.

    A circle is met like a broken service by a circuit breaker: after ``lease`` refusals one call is let through to see
    whether the world has changed. If the answer is the same again, the next lease is twice as long, so a caller that
    cannot be told otherwise gets through ever more rarely.

    Args:
        lease: Calls that are refused before one is tried again, at least 1.
    """

    def __init__(self, lease: int) -> None:
        if lease < 1:
            raise ValueError(f"a lease refuses at least one call, not {lease}")
        self._first = lease
        self._lease = lease
        self._left = lease
        self._calls: list[tuple[str, str]] = []

    def refuses(self, asked: str) -> int:
        """Return how often a call brought the same result if it is refused, else 0.

        Args:
            asked: Fingerprint of the tool and its arguments.
        """
        loop = find_loop([answered for answered, _ in self._calls])
        if loop is None or asked not in {own for _, own in self._calls[-loop.length :]}:
            return 0
        if not self._left:
            self._lease *= 2
            self._left = self._lease
            return 0
        self._left -= 1
        return max(loop.repeats, REPEATS if loop.length == 1 else 0)

    def note(self, asked: str, answered: str) -> None:
        """Take in a call that was made.

        Args:
            asked: Fingerprint of the tool and its arguments.
            answered: The same with the result.
        """
        self._calls.append((answered, asked))
        del self._calls[:-_REMEMBERED]
        if find_loop([print_ for print_, _ in self._calls]) is None:
            self._lease = self._left = self._first
