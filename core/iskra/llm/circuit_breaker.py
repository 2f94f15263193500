"""Circuit breakers: stop asking what keeps failing."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from iskra_sdk.clock import Clock


class CircuitState(StrEnum):
    """Where a circuit stands."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls are refused until the recovery timeout is over."""
    HALF_OPEN = "half_open"
    """One call at a time passes, as a probe."""


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """How a circuit stands, for people and programs that look on.

    Attributes:
        state: The state a call would find now.
        failures: The longer of the two rows that count now: failures before the answer, and cuts of answers.
        opened_after: How long the row was that last took the circuit from closed to open; ``None`` before that. A probe
            that fails opens the circuit again and leaves it as it is.
    """

    state: CircuitState
    failures: int = 0
    opened_after: int | None = None

    @property
    def wire(self) -> dict[str, object]:
        """As the API shows it."""
        return {"state": str(self.state), "failures": self.failures, "opened_after": self.opened_after}


class CircuitBreaker:
    """Stops calls to a target that keeps failing.

    Closed, open and half-open follow Nygard, *Release It!* (2nd ed.), chapter 5. A pure state machine: it calls nobody
    but ``on_change`` and knows time only from the clock.

    Every call asks for a permit first and hands it back with exactly one of :meth:`record_success`,
    :meth:`record_failure`, :meth:`record_cut` and :meth:`release`. What a call from before the last change of state
    reports is ignored, so a late failure cannot open a circuit that has just closed.

    A call that streams its answer says when that has begun (:meth:`record_first_token`): answers take long and failures
    do not, so many calls at once would otherwise see a row of failures at a target that answers nearly all of them.

    Args:
        failure_threshold: Consecutive failures before the answer, or consecutive cuts of answers that had begun, that
            open the circuit.
        recovery_timeout: Seconds an open circuit waits before its first probe.
        success_threshold: Successful probes in a row that close it.
        clock: Its monotonic time counts, so the wall clock may jump.
        on_change: Called with the new state after each change.
    """

    __slots__ = (
        "_clock",
        "_cuts",
        "_epoch",
        "_failure_threshold",
        "_failures",
        "_is_probing",
        "_on_change",
        "_opened_after",
        "_opened_at",
        "_recovery_timeout",
        "_state",
        "_success_threshold",
        "_successes",
    )

    def __init__(
        self,
        failure_threshold: int,
        recovery_timeout: float,
        success_threshold: int,
        clock: Clock,
        on_change: Callable[[CircuitState], None] | None = None,
    ) -> None:
        self._failure_threshold = failure_threshold
        self._recovery_timeout = recovery_timeout
        self._success_threshold = success_threshold
        self._clock = clock
        self._on_change = on_change
        self._state = CircuitState.CLOSED
        self._epoch = 0
        self._failures = 0
        self._cuts = 0
        self._successes = 0
        self._is_probing = False
        self._opened_at = 0.0
        self._opened_after: int | None = None

    @property
    def status(self) -> CircuitStatus:
        """How it stands, with its counts."""
        return CircuitStatus(self.state, max(self._failures, self._cuts), self._opened_after)

    @property
    def state(self) -> CircuitState:
        """The state a call would find now."""
        if self._state is CircuitState.OPEN and self.retry_after == 0:
            return CircuitState.HALF_OPEN
        return self._state

    @property
    def retry_after(self) -> float:
        """Seconds until an open circuit lets a probe through; 0 when it is not open."""
        if self._state is not CircuitState.OPEN:
            return 0.0
        return max(0.0, self._opened_at + self._recovery_timeout - self._clock.monotonic())

    @property
    def is_idle(self) -> bool:
        """Whether it holds nothing worth keeping: closed, and the last call did not fail."""
        return self._state is CircuitState.CLOSED and self._failures == 0 and self._cuts == 0

    def acquire(self) -> int | None:
        """Return a permit for one call, or ``None`` when the call must not be made."""
        if self._state is CircuitState.CLOSED:
            return self._epoch
        if self._state is CircuitState.OPEN:
            if self.retry_after > 0:
                return None
            self._change(CircuitState.HALF_OPEN)
        if self._is_probing:
            return None
        self._is_probing = True
        return self._epoch

    def record_success(self, permit: int) -> None:
        """The call worked."""
        if permit != self._epoch:
            return
        self._failures = self._cuts = 0
        if self._state is CircuitState.HALF_OPEN:
            self._is_probing = False
            self._successes += 1
            if self._successes >= self._success_threshold:
                self._change(CircuitState.CLOSED)

    def record_first_token(self, permit: int) -> None:
        """The answer has begun to come: whatever failed before it, the target is not down."""
        if permit == self._epoch:
            self._failures = 0

    def record_failure(self, permit: int) -> None:
        """The call failed through the target's fault."""
        if permit != self._epoch:
            return
        self._failures += 1
        if self._state is CircuitState.HALF_OPEN or self._failures >= self._failure_threshold:
            self._change(CircuitState.OPEN)

    def record_cut(self, permit: int) -> None:
        """The answer broke off, through the target's fault, after it had begun; only whole answers end such a row."""
        if permit != self._epoch:
            return
        self._cuts += 1
        if self._state is CircuitState.HALF_OPEN or self._cuts >= self._failure_threshold:
            self._change(CircuitState.OPEN)

    def release(self, permit: int) -> None:
        """The call says nothing about the target: it was cancelled, or refused for its content."""
        if permit == self._epoch:
            self._is_probing = False

    def _change(self, state: CircuitState) -> None:
        if self._state is CircuitState.CLOSED:
            self._opened_after = max(self._failures, self._cuts)
        self._state = state
        self._epoch += 1
        self._failures = self._cuts = self._successes = 0
        self._is_probing = False
        if state is CircuitState.OPEN:
            self._opened_at = self._clock.monotonic()
        if self._on_change is not None:
            self._on_change(state)
