"""The operations in force: who acts where, decided at once and in one place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.process import ProcessStatus
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConflictError

LEASE = 600.0
"""Seconds an operation lasts without an answer that renews it."""
MOST_SESSIONS = 1000
"""Sessions with an operation in force at once."""


@dataclass(eq=False, slots=True)
class Reservation:
    """The place of an operation that is being prepared.

    Attributes:
        owner: Who asked for it.
        revoked: Why it may not come into force any more; empty while it may.
    """

    session_id: str
    owner: str = ""
    revoked: str = ""


class InForce:
    """One operation per session at a time, each with a lease on the monotonic clock.

    Nothing here waits, so two tasks never see each other half-way: an operation that was taken out acts no more from
    the next line on, and one whose preparation was revoked never begins.

    Args:
        clock: Measures leases.
        on_change: Called when the first operation comes into force, and when the last one ends.
    """

    def __init__(self, clock: Clock, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._sessions: dict[str, PerturbedSession] = {}
        self._starting: dict[str, Reservation] = {}
        self.stopped_because = ""
        """The kill switch: nothing comes into force while this says why."""

    @property
    def sessions(self) -> Mapping[str, PerturbedSession]:
        """Sessions with an operation in force, or one that rests; leases may have run out a moment ago."""
        return self._sessions

    def acting(self, session_id: str) -> PerturbedSession | None:
        """Return the operation that acts in a session now."""
        session = self.held(session_id)
        return session if session is not None and session.acts else None

    def held(self, session_id: str) -> PerturbedSession | None:
        """Return the operation that holds a session's place, also one that still rests."""
        session = self._sessions.get(session_id)
        return None if session is None or self._clock.monotonic() >= session.expires else session

    def left_of(self, owner: str) -> list[float]:
        """Return the seconds left to each of an owner's operations, also to those that are being prepared."""
        now = self._clock.monotonic()
        left = [each.expires - now for each in self._sessions.values() if each.process.owner == owner]
        starting = sum(each.owner == owner for each in self._starting.values())
        return [*(seconds for seconds in left if seconds > 0.0), *[LEASE] * starting]

    def expired(self) -> list[PerturbedSession]:
        """Return the operations whose lease is over."""
        now = self._clock.monotonic()
        return [session for session in self._sessions.values() if now >= session.expires]

    def renew(self, session: PerturbedSession, seconds: float = LEASE) -> None:
        """Let an operation last so many seconds from now on."""
        session.expires = self._clock.monotonic() + seconds

    def reserve(self, session_id: str, owner: str = "") -> Reservation:
        """Hold a session's place for an operation that is being prepared; give it back with :meth:`release`.

        Raises:
            ConflictError: Everything is stopped, the place is taken, or too many operations are in force.
        """
        self._require_no_stop()
        session = self._sessions.get(session_id)
        if session is not None or session_id in self._starting:
            raise ConflictError(
                "An operation is in force in this session already.",
                mend="Wait until it is over, or take it back first.",
                facts={"why": "in_force", "process_id": session.process.id if session is not None else ""},
            )
        if len(self._sessions) + len(self._starting) >= MOST_SESSIONS:
            raise ConflictError(
                f"Operations are in force in {MOST_SESSIONS} sessions already.",
                mend="Try again in a minute.",
                facts={"why": "busy"},
            )
        reservation = self._starting[session_id] = Reservation(session_id, owner)
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Give a place back, whether or not an operation came of it."""
        if self._starting.get(reservation.session_id) is reservation:
            del self._starting[reservation.session_id]

    def put(self, reservation: Reservation, session: PerturbedSession) -> None:
        """Let an operation come into force.

        Raises:
            ConflictError: Everything, or this operation, was stopped while it was being prepared.
        """
        self._require_no_stop()
        if reservation.revoked:
            raise ConflictError(f"The operation was stopped before it began: {reservation.revoked}.")
        was_quiet = not self._sessions
        self._sessions[reservation.session_id] = session
        self.renew(session)
        if was_quiet:
            self._on_change()

    def revoke(self, session_id: str, reason: str) -> None:
        """Keep an operation that is being prepared in a session from coming into force."""
        reservation = self._starting.get(session_id)
        if reservation is not None:
            reservation.revoked = reason

    def end(self, session: PerturbedSession, status: ProcessStatus, reason: str) -> bool:
        """End an operation; return whether it was in force.

        Raises:
            ConflictError: Its process cannot take this step; it stays in force.
        """
        process = session.process
        if self._sessions.get(process.session_id) is not session:
            return False
        process.move(status, self._clock.now(), reason)
        del self._sessions[process.session_id]
        if not self._sessions:
            self._on_change()
        return True

    def stop(self, reason: str) -> list[PerturbedSession]:
        """Throw the kill switch: end everything and let nothing begin until :attr:`stopped_because` is emptied."""
        self.stopped_because = reason
        stopped = list(self._sessions.values())
        for session in stopped:
            self.end(session, ProcessStatus.ABORTED, reason)
        return stopped

    def _require_no_stop(self) -> None:
        if self.stopped_because:
            raise ConflictError(
                "All operations are stopped by an emergency stop.",
                mend="An operator releases it: POST /api/v1/control/release.",
                facts={"why": "stopped"},
            )
