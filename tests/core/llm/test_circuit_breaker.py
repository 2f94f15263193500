from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from iskra.llm.circuit_breaker import CircuitBreaker, CircuitState, CircuitStatus
from iskra_sdk.testing.manual_clock import ManualClock


def make(clock: ManualClock, changes: list[CircuitState] | None = None) -> CircuitBreaker:
    return CircuitBreaker(5, 60.0, 3, clock, on_change=None if changes is None else changes.append)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        permit = breaker.acquire()
        assert permit is not None
        breaker.record_failure(permit)


def succeed(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    assert permit is not None
    breaker.record_success(permit)


def test_five_failures_in_a_row_open_the_circuit() -> None:
    changes: list[CircuitState] = []
    breaker = make(ManualClock(), changes)
    fail(breaker, 4)
    succeed(breaker)
    fail(breaker, 4)
    assert not changes
    fail(breaker, 1)
    assert breaker.state is CircuitState.OPEN
    assert breaker.acquire() is None
    assert breaker.retry_after == 60.0
    assert changes == [CircuitState.OPEN]


def test_it_tells_how_many_failures_count_and_how_many_opened_it() -> None:
    clock = ManualClock()
    breaker = make(clock)
    fail(breaker, 3)
    assert breaker.status == CircuitStatus(CircuitState.CLOSED, 3, None)
    fail(breaker, 2)
    assert breaker.status == CircuitStatus(CircuitState.OPEN, 0, 5)
    clock.advance(60)
    fail(breaker, 1)
    assert breaker.status == CircuitStatus(CircuitState.OPEN, 0, 5), "a probe that failed opened no closed circuit"
    clock.advance(60)
    for _ in range(3):
        succeed(breaker)
    breaker.record_cut(begin(breaker))
    assert breaker.status == CircuitStatus(CircuitState.CLOSED, 1, 5)


def begin(breaker: CircuitBreaker) -> int:
    permit = breaker.acquire()
    assert permit is not None
    breaker.record_first_token(permit)
    return permit


def test_a_target_that_begins_to_answer_others_is_not_down() -> None:
    breaker = make(ManualClock())
    for _ in range(10):
        fail(breaker, 4)
        begin(breaker)
    fail(breaker, 5)
    assert breaker.state is CircuitState.OPEN


def test_five_cuts_in_a_row_open_the_circuit_although_each_answer_began() -> None:
    breaker = make(ManualClock())
    for _ in range(4):
        breaker.record_cut(begin(breaker))
    breaker.record_success(begin(breaker))
    overlapping = [begin(breaker) for _ in range(5)]
    for permit in overlapping:
        assert breaker.acquire() is not None
        breaker.record_cut(permit)
    assert breaker.state is CircuitState.OPEN


def test_three_probes_one_at_a_time_close_it() -> None:
    clock = ManualClock()
    changes: list[CircuitState] = []
    breaker = make(clock, changes)
    fail(breaker, 5)
    clock.advance(59.9)
    assert breaker.acquire() is None
    clock.advance(0.1)
    for _ in range(3):
        assert breaker.state is CircuitState.HALF_OPEN
        permit = breaker.acquire()
        assert permit is not None
        assert breaker.acquire() is None
        breaker.record_success(permit)
    assert breaker.state is CircuitState.CLOSED
    assert changes == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]


def test_a_failed_probe_opens_it_again_for_the_whole_time() -> None:
    clock = ManualClock()
    breaker = make(clock)
    fail(breaker, 5)
    clock.advance(60)
    succeed(breaker)
    fail(breaker, 1)
    assert breaker.retry_after == 60.0


def test_a_cancelled_probe_makes_room_for_the_next() -> None:
    clock = ManualClock()
    breaker = make(clock)
    fail(breaker, 5)
    clock.advance(60)
    permit = breaker.acquire()
    assert permit is not None
    breaker.release(permit)
    assert breaker.acquire() is not None


def test_calls_from_before_a_change_no_longer_count() -> None:
    clock = ManualClock()
    breaker = make(clock)
    late = [breaker.acquire() for _ in range(3)]
    fail(breaker, 5)
    clock.advance(60)
    assert breaker.acquire() is not None  # the probe
    for permit in late:
        assert permit is not None
        breaker.record_success(permit)
        breaker.record_failure(permit)
        breaker.release(permit)
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.acquire() is None


def test_the_wall_clock_does_not_matter() -> None:
    clock = ManualClock()
    breaker = make(clock)
    fail(breaker, 5)
    clock.set_now(clock.now().replace(year=2040))
    assert breaker.acquire() is None


class BreakerAgainstModel(RuleBasedStateMachine):
    """Compares the breaker with a plain retelling of its rules, for any mixture of overlapping calls."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.seen: list[CircuitState] = []
        self.breaker = CircuitBreaker(3, 10.0, 2, self.clock, on_change=self.seen.append)
        self.state = "closed"
        self.era = 0  # counts the changes of state; a call belongs to the era it began in
        self.failures = self.cuts = self.successes = 0
        self.opened_at = 0.0
        self.opened_after: int | None = None
        self.probe_is_out = False
        self.expected_changes: list[str] = []

    def change(self, state: str) -> None:
        if self.state == "closed":
            self.opened_after = max(self.failures, self.cuts)
        self.state = state
        self.era += 1
        self.failures = self.cuts = self.successes = 0
        self.probe_is_out = False
        self.opened_at = self.clock.monotonic()
        self.expected_changes.append(state)

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.5, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(target=permits)
    def call(self) -> object:
        permit = self.breaker.acquire()
        if self.state == "open" and self.clock.monotonic() >= self.opened_at + 10.0:
            self.change("half_open")
        allowed = self.state == "closed" or (self.state == "half_open" and not self.probe_is_out)
        assert (permit is not None) == allowed
        if permit is None:
            return multiple()
        if self.state == "half_open":
            self.probe_is_out = True
        return permit, self.era

    @rule(permit=consumes(permits))
    def succeed(self, permit: tuple[int, int]) -> None:
        self.breaker.record_success(permit[0])
        if permit[1] != self.era:
            return
        self.failures = self.cuts = 0
        if self.state == "half_open":
            self.probe_is_out = False
            self.successes += 1
            if self.successes == 2:
                self.change("closed")

    @rule(permit=consumes(permits))
    def fail(self, permit: tuple[int, int]) -> None:
        self.breaker.record_failure(permit[0])
        if permit[1] != self.era:
            return
        self.failures += 1
        if self.state == "half_open" or self.failures == 3:
            self.change("open")

    @rule(permit=permits)
    def begin(self, permit: tuple[int, int]) -> None:
        self.breaker.record_first_token(permit[0])
        if permit[1] == self.era:
            self.failures = 0

    @rule(permit=consumes(permits))
    def cut(self, permit: tuple[int, int]) -> None:
        self.breaker.record_cut(permit[0])
        if permit[1] != self.era:
            return
        self.cuts += 1
        if self.state == "half_open" or self.cuts == 3:
            self.change("open")

    @rule(permit=consumes(permits))
    def cancel(self, permit: tuple[int, int]) -> None:
        self.breaker.release(permit[0])
        if permit[1] == self.era:
            self.probe_is_out = False

    @invariant()
    def states_agree(self) -> None:
        state = self.state
        if state == "open" and self.clock.monotonic() >= self.opened_at + 10.0:
            state = "half_open"
        assert self.breaker.state == state
        assert self.seen == self.expected_changes
        status = self.breaker.status
        assert (status.failures, status.opened_after) == (max(self.failures, self.cuts), self.opened_after)
        assert self.breaker.is_idle == (self.state == "closed" and self.failures == self.cuts == 0)


TestBreakerAgainstModel = BreakerAgainstModel.TestCase
TestBreakerAgainstModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
