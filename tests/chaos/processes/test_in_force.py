"""Who acts where: the register of operations in force as a state machine."""

import itertools
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.processes.in_force import LEASE, InForce, Reservation
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import RUNNING, ChaosProcess, ProcessStatus
from iskra_sdk.errors import ConflictError
from iskra_sdk.testing.manual_clock import ManualClock

ENDS = (ProcessStatus.COMPLETED, ProcessStatus.ABORTED, ProcessStatus.FAILED, ProcessStatus.ROLLED_BACK)
ALLOWED = {
    ("initiated", "active"),
    ("initiated", "aborted"),
    ("initiated", "failed"),
    ("initiated", "rolled_back"),
    ("active", "stabilizing"),
    ("active", "aborted"),
    ("active", "failed"),
    ("active", "rolled_back"),
    ("stabilizing", "completed"),
    ("stabilizing", "aborted"),
    ("stabilizing", "failed"),
    ("stabilizing", "rolled_back"),
    ("completed", "rolled_back"),
    ("aborted", "rolled_back"),
    ("failed", "rolled_back"),
}


def prepared(session_id: str, clock: ManualClock, *, rests: int = 0) -> PerturbedSession:
    process = ChaosProcess(
        id=f"chaos_{session_id}",
        type="micro_disturbance",
        intensity=0.3,
        status=ProcessStatus.INITIATED,
        session_id=session_id,
        start_time=clock.now(),
    )
    if not rests:
        process.move(ProcessStatus.ACTIVE, clock.now())
    return PerturbedSession(process, Perturbation(turns=1), Conversation(()), turns_left=1, rests=rests)


class Operations(RuleBasedStateMachine):
    """Starts, stops, ends and leases in any order."""

    sessions: ClassVar = st.sampled_from(["a", "b", "c"])
    reservations: Bundle[Reservation] = Bundle("reservations")
    operations: Bundle[PerturbedSession] = Bundle("operations")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.changes = 0
        self.in_force = InForce(self.clock, self.changed)
        self.seen: list[PerturbedSession] = []
        self.was_quiet = True

    def changed(self) -> None:
        self.changes += 1

    @rule(target=reservations, session_id=sessions)
    def reserve(self, session_id: str) -> Reservation:
        is_free = session_id not in self.in_force.sessions and not self.in_force.stopped_because
        try:
            return self.in_force.reserve(session_id)
        except ConflictError:
            if is_free:
                assert any(each.session_id == session_id for each in self.in_force._starting.values())
            return Reservation(session_id, "was never held")

    @rule(target=operations, reservation=consumes(reservations), rests=st.integers(0, 2))
    def put(self, reservation: Reservation, rests: int) -> PerturbedSession:
        session = prepared(reservation.session_id, self.clock, rests=rests)
        if reservation.revoked or self.in_force.stopped_because:
            with pytest.raises(ConflictError):
                self.in_force.put(reservation, session)
            session.process.move(ProcessStatus.ABORTED, self.clock.now())
        else:
            self.in_force.put(reservation, session)
        self.in_force.release(reservation)
        self.seen.append(session)
        return session

    @rule(session_id=sessions)
    def revoke(self, session_id: str) -> None:
        self.in_force.revoke(session_id, "not wanted")

    @rule(session=operations, status=st.sampled_from(ENDS))
    def end(self, session: PerturbedSession, status: ProcessStatus) -> None:
        before = session.process.status
        is_held = self.in_force.sessions.get(session.process.session_id) is session
        try:
            assert self.in_force.end(session, status, "over") is is_held
        except ConflictError:
            assert (str(before), str(status)) not in ALLOWED
            assert self.in_force.sessions.get(session.process.session_id) is session
        is_running = self.in_force.sessions.get(session.process.session_id) is session
        assert self.in_force.end(session, ProcessStatus.ABORTED, "again") is is_running

    @rule(session=operations)
    def settle(self, session: PerturbedSession) -> None:
        if session.process.status is ProcessStatus.ACTIVE:
            session.process.move(ProcessStatus.STABILIZING, self.clock.now())

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(years=st.integers(-30, 30))
    def jump(self, years: int) -> None:
        before = {key: self.in_force.acting(key) for key in "abc"}
        self.clock.set_now(self.clock.now().replace(year=max(1971, min(2900, self.clock.now().year + years)), day=1))
        assert {key: self.in_force.acting(key) for key in "abc"} == before

    @rule()
    def stop(self) -> None:
        held = list(self.in_force.sessions.values())
        assert self.in_force.stop("enough") == held
        assert not self.in_force.sessions
        assert all(session.process.status is ProcessStatus.ABORTED for session in held)

    @rule()
    def release(self) -> None:
        self.in_force.stopped_because = ""

    @invariant()
    def what_acts_may_act(self) -> None:
        for session_id, session in self.in_force.sessions.items():
            assert session.process.session_id == session_id
            assert session.process.status in RUNNING
            acting = self.in_force.acting(session_id)
            assert acting is (session if session.acts and self.clock.monotonic() < session.expires else None)

    @invariant()
    def every_step_is_a_legal_one(self) -> None:
        for session in self.seen:
            steps = ["initiated", *(str(step.status) for step in session.process.history)]
            assert set(itertools.pairwise(steps)) <= ALLOWED

    @invariant()
    def whoever_places_interceptors_is_told(self) -> None:
        is_quiet = not self.in_force.sessions
        assert is_quiet == self.was_quiet or self.changes
        self.was_quiet = is_quiet


Operations.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestOperations = Operations.TestCase


@pytest.mark.parametrize("first", list(ProcessStatus))
@pytest.mark.parametrize("second", list(ProcessStatus))
def test_a_process_takes_legal_steps_only(first: ProcessStatus, second: ProcessStatus) -> None:
    clock = ManualClock()
    process = prepared("a", clock, rests=1).process.model_copy(update={"status": first})
    is_legal = (str(first), str(second)) in ALLOWED | {("initiated", "rejected")}
    if is_legal:
        process.move(second, clock.now(), "why")
        assert (process.status, process.history[-1].reason) == (second, "why")
    else:
        with pytest.raises(ConflictError):
            process.move(second, clock.now())
        assert process.status is first


def test_a_thousand_sessions_are_the_most() -> None:
    clock = ManualClock()
    in_force = InForce(clock, lambda: None)
    for number in range(1000):
        reservation = in_force.reserve(f"s{number}")
        in_force.put(reservation, prepared(f"s{number}", clock))
        in_force.release(reservation)
    with pytest.raises(ConflictError):
        in_force.reserve("one more")
    assert len(in_force.stop("enough")) == 1000
    with pytest.raises(ConflictError):
        in_force.reserve("s1")
