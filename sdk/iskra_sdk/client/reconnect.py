"""How the client comes back to a stream that broke off, and when it gives up."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from iskra_sdk.errors import BusyError, IskraError, ServerUnreachableError, StoreError


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """Delays and deadlines, all in seconds.

    Attributes:
        first_delay: Longest wait before the first attempt; each wait is drawn evenly between 0 and its bound.
        factor: Each further bound is this many times the one before.
        max_delay: Largest bound.
        attempt_timeout: What each of connecting and getting the head of the answer may take; a server may send that
            with its first ping only, after 15 s.
        silence_timeout: A stream without a byte for so long counts as broken; the server sends one every 15 s.
        give_up_after: Time without an event over all attempts, after which an error is raised.
    """

    first_delay: float = 0.25
    factor: float = 2.0
    max_delay: float = 10.0
    attempt_timeout: float = 20.0
    silence_timeout: float = 45.0
    give_up_after: float = 120.0


_STEADY = 5.0  # seconds a connection must have held to count as a success even if no event came


class Backoff:
    """Counts attempts and decides how long to wait before the next one.

    Args:
        policy: Delays and deadlines.
        address: What errors call the server.
        monotonic: Seconds that never go back.
        draw: Random number in [0, 1).
    """

    def __init__(
        self,
        policy: ReconnectPolicy,
        address: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._address = address
        self._monotonic = monotonic
        self._draw = draw
        self._failures = 0
        self._lost_at: float | None = None
        self._connected_at: float | None = None

    def connected(self) -> None:
        """Note that the server answered."""
        self._connected_at = self._monotonic()

    def progressed(self) -> None:
        """Note that an event came: the next break starts from the shortest delay again."""
        self._failures = 0
        self._lost_at = None

    def delay(self, cause: Exception | None) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            cause: Why the last one ended; ``None`` when the server closed the stream in order.

        Raises:
            ServerUnreachableError: The server was away too long.
        """
        now = self._monotonic()
        if self._connected_at is not None and now - self._connected_at >= _STEADY:
            self.progressed()
        self._connected_at = None
        if self._lost_at is None:
            self._lost_at = now
        away = now - self._lost_at
        bound = min(self._policy.max_delay, self._policy.first_delay * self._policy.factor**self._failures)
        wait = bound * self._draw()
        if isinstance(cause, IskraError) and cause.retry_after is not None:
            wait = max(wait, min(cause.retry_after, self._policy.give_up_after))
        if away + wait > self._policy.give_up_after:
            raise ServerUnreachableError(
                f"The connection to {self._address} was lost and did not come back within "
                f"{self._policy.give_up_after:g} s: {describe(cause)}.",
                mend="The turn goes on in the server. When it is reachable again, attach to the turn to read the rest.",
            ) from cause
        # Past 64 doublings the bound has long been reached, and a float power would overflow.
        self._failures = min(self._failures + 1, 64)
        return wait


_FIRST_PAUSE = 0.25  # bound of the wait before the first repetition, in seconds
_PATIENCE = 5.0  # longest Retry-After, in seconds, that a request without a stream waits for by itself


def pause_before_retry(attempt: int, error: IskraError) -> float | None:
    """Return the seconds to wait before a request is repeated, or ``None`` if the caller should hear of the error.

    Args:
        attempt: How many attempts failed before this one.
        error: Why this one failed.
    """
    wait = _FIRST_PAUSE * 2.0**attempt * random.random()  # noqa: S311 - jitter
    if error.retry_after is None:
        return wait
    return max(wait, error.retry_after) if error.retry_after <= _PATIENCE else None


def is_temporary(error: Exception) -> bool:
    """Return whether another attempt may succeed."""
    if isinstance(error, httpx.TransportError):
        return not isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    return isinstance(error, BusyError | StoreError) or (isinstance(error, IskraError) and _status(error) in (502, 504))


def _status(error: IskraError) -> object:
    return error.facts.get("status")


def describe(cause: Exception | None) -> str:
    """Return a cause in words."""
    if cause is None:
        return "the server closes the stream again and again"
    return str(cause).rstrip(".") or type(cause).__name__


def unreachable(address: str, cause: httpx.TransportError) -> ServerUnreachableError:
    """Return the error for a server that could not be asked."""
    return ServerUnreachableError(
        f"No Iskra server answers at {address}: {describe(cause)}.",
        mend="Start one with `iskra serve`, or give the address of a running one.",
    )
