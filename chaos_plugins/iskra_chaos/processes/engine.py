"""Starts and ends creative operations. One operation per session at a time, each with a lease."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from iskra_chaos.processes.in_force import InForce, Reservation
from iskra_chaos.processes.journal import ProcessJournal
from iskra_chaos.processes.measuring import Measuring
from iskra_chaos.processes.owner_limits import OwnerLimits
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.preparing import Preparing, Wish
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.telling import Telling
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BadInputError, ConflictError, IskraError, PermissionDeniedError, StoreError
from iskra_sdk.principal import SYSTEM, Principal

logger = logging.getLogger(__name__)

SETTLING = 60.0
"""Seconds a session that was stopped gently has for the answer that calms it down."""


class ChaosEngine:
    """The creative operations of this server.

    Args:
        clock: Dates processes.
        in_force: The operations that act.
        journal: Keeps processes.
        choices: What sessions' owners chose.
        measuring: Reads conversations.
        preparing: Plans and clears operations.
        telling: Publishes events.
        limits: How many operations one owner may have and start.
        in_place: Waits until the operations in force reach model calls.
        later: Runs a job in a task of the plugin.
        is_enabled: Operations may be started at all.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        in_force: InForce,
        journal: ProcessJournal,
        choices: Choices,
        measuring: Measuring,
        preparing: Preparing,
        telling: Telling,
        limits: OwnerLimits,
        in_place: Callable[[], Awaitable[None]],
        later: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        is_enabled: bool = True,
    ) -> None:
        self.in_force = in_force
        self.journal = journal
        self.choices = choices
        self.measuring = measuring
        self._preparing = preparing
        self._clock = clock
        self._telling = telling
        self._limits = limits
        self._in_place = in_place
        self._later = later
        self._is_enabled = is_enabled

    @property
    def sessions(self) -> Mapping[str, PerturbedSession]:
        """Sessions with an operation in force."""
        return self.in_force.sessions

    async def start(self, principal: Principal, session_id: str, wish: Wish) -> ChaosProcess:
        """Start an operation in a session; when this returns it reaches the session's model calls.

        Args:
            principal: Who asks; the session must be theirs.
            session_id: Where.
            wish: What.

        Raises:
            SessionNotFoundError: No such session for this principal.
            PermissionDeniedError: Creative operations are switched off, or the subject is too sensitive for this one.
            EthicsRefusedError: The ethics check refuses; its facts say what and what would help.
            ConflictError: Another operation is in force there, or it was stopped before it began.
            TooManyOperationsError: The principal has, or started, as many as one owner may.
            BadInputError: The operation makes no sense in this conversation.
            StoreError: It could not be written down, and so did not begin.
        """
        if not self._is_enabled:
            raise PermissionDeniedError(
                "Creative operations are switched off here.",
                mend="Set `creative = true` for the plugin `chaos`.",
                facts={"why": "switched_off"},
            )
        held = self.in_force.sessions.get(session_id)
        if held is not None and self.in_force.held(session_id) is None:
            await self.end(held, ProcessStatus.ABORTED, "its lease ran out: no answer renewed it")
        elif held is not None and held.holding is not None:
            held.process.move(ProcessStatus.STABILIZING, self._clock.now(), "another operation was asked for")
            await self.end(held, ProcessStatus.COMPLETED, "nobody chose another branch")
        reservation = self.in_force.reserve(session_id, principal.id)
        try:
            self._limits.admit(principal.id, adds=0)
            session = await self._preparing.prepared(principal, session_id, wish)
            process = session.process
            await self._begin(reservation, session)
        finally:
            self.in_force.release(reservation)
        try:
            await self._in_place()
        except IskraError as error:
            await self.end(session, ProcessStatus.FAILED, f"it cannot reach model calls: {error.message}")
            raise
        if process.type == "paradox_generation":
            await self._telling.process("paradox_detected", process)
        await self._telling.process("chaos_initiated", process)
        return process

    async def _begin(self, reservation: Reservation, session: PerturbedSession) -> None:
        """Write an operation down, then let it come into force."""
        process = session.process
        if not session.rests:
            process.move(ProcessStatus.ACTIVE, self._clock.now(), "applied")
        await self.journal.add(process)
        try:
            self.in_force.put(reservation, session)
        except ConflictError as error:
            process.move(ProcessStatus.ABORTED, self._clock.now(), error.message)
            await self.journal.record(process)
            raise

    # Ending ----------------------------------------------------------------------------------------------------------

    async def end(self, session: PerturbedSession, status: ProcessStatus, reason: str) -> bool:
        """End an operation: it acts no more at once, and its end is written down; return whether it was in force."""
        if status is ProcessStatus.COMPLETED:  # nobody waits for this end, so what came of it is known when it is seen
            await self._measured(session)
        if not self.in_force.end(session, status, reason):
            return False
        await self._ended(session, reason)
        return True

    def end_soon(self, session: PerturbedSession, status: ProcessStatus, reason: str) -> None:
        """End an operation before this returns; its end is written down afterwards."""
        if self.in_force.end(session, status, reason):
            self._later(lambda: self._ended(session, reason))

    async def _measured(self, session: PerturbedSession) -> int:
        """Measure a session at the end of its operation, and return the number of its newest turn."""
        process = session.process
        try:
            conversation = await self.measuring.conversation(SYSTEM, process.session_id)
        except Exception:  # it is over all the same: gone with its session, or the store is away
            logger.info("session was not measured at the end", extra={"process_id": process.id}, exc_info=True)
            return session.conversation.turn
        process.metrics_after = dict(conversation.readings)
        return conversation.turn

    async def _ended(self, session: PerturbedSession, reason: str, *, measures: bool = True) -> None:
        process = session.process
        turn = await self._measured(session) if measures else session.conversation.turn
        await self.journal.record(process)
        ended = {"last_operation": max(1, turn)}
        if process.type == "fire_reset":
            ended["last_reset"] = ended["last_operation"]
        try:
            await self.choices.change(process.session_id, **ended)
        except Exception:
            logger.warning("end of an operation was not kept", extra={"process_id": process.id}, exc_info=True)
        await self._telling.process("chaos_completed", process, reason=reason)

    async def abort(self, process: ChaosProcess, reason: str) -> None:
        """Stop an operation at once; one that has ended stays as it is."""
        session = self._of(process)
        if session is not None:
            await self.end(session, ProcessStatus.ABORTED, reason)

    async def abort_in(self, session_id: str, reason: str) -> None:
        """Stop at once whatever acts in a session, rests there, or is being prepared for it."""
        self.in_force.revoke(session_id, reason)
        session = self.in_force.sessions.get(session_id)
        if session is not None:
            await self.end(session, ProcessStatus.ABORTED, reason)

    async def settle(self, process: ChaosProcess, reason: str) -> None:
        """Stop an operation gently: the next answer calms the conversation down, then it is over.

        One that still rests has stirred nothing up and is over at once; without an answer, so is any in a minute.
        """
        session = self._of(process)
        if session is None or process.status is ProcessStatus.STABILIZING:
            return
        if process.status is not ProcessStatus.ACTIVE:
            await self.end(session, ProcessStatus.ABORTED, reason)
            return
        process.move(ProcessStatus.STABILIZING, self._clock.now(), reason)
        self.in_force.renew(session, SETTLING)
        await self.journal.record(process)

    async def choose_branch(self, process: ChaosProcess, number: int, *, is_said: bool = False) -> str:
        """Take one of the branches that an operation holds open, and return its text: in full, or a line of it.

        Args:
            process: The operation.
            number: As it was offered; 0 keeps the one that was shown.
            is_said: The caller shows it; otherwise the next answer goes on from it.

        Raises:
            ConflictError: It holds no branches open: none differed, or the turns for a choice are over.
            BadInputError: No branch was offered under this number.
        """
        session = self._of(process)
        held = session.holding if session is not None else None
        if held is None:
            raise ConflictError(
                "No branches are held open.",
                mend="They are for two turns after an answer under quantum_flux.",
                facts={"why": "nothing_held", "process_id": process.id},
            )
        text = held.choose(process, number, is_said=is_said and not held.are_sketches)
        await self.journal.record(process)
        return text

    async def roll_back(self, process: ChaosProcess, reason: str) -> ChaosProcess:
        """Take back what an operation changed; for one that was taken back nothing happens.

        An operation never edits what is stored: when it no longer acts, the model sees the conversation as it is.

        Raises:
            BadInputError: It never started.
        """
        if process.status is ProcessStatus.ROLLED_BACK:
            return process
        if process.status is ProcessStatus.REJECTED:
            raise BadInputError("This operation was refused and changed nothing.", mend="There is nothing to undo.")
        session = self._of(process)
        if session is not None:
            await self.end(session, ProcessStatus.ROLLED_BACK, reason)
        else:
            process.move(ProcessStatus.ROLLED_BACK, self._clock.now(), reason)
            await self.journal.record(process)
        return process

    def stop_all(self, reason: str) -> list[ChaosProcess]:
        """Stop everything before this returns, and start nothing until it is released; written down afterwards."""
        stopped = self.in_force.stop(reason)

        async def write_down() -> None:
            for session in stopped:
                await self._ended(session, reason, measures=False)

        if stopped:
            self._later(write_down)
        return [session.process for session in stopped]

    async def sweep(self) -> None:
        """End operations whose lease is over, and write what could not be written before."""
        for session in self.in_force.expired():
            if session.process.status is ProcessStatus.STABILIZING:
                await self.end(session, ProcessStatus.COMPLETED, "no answer came in which it could settle")
            else:
                await self.end(session, ProcessStatus.ABORTED, "its lease ran out: no answer renewed it")
        await self.journal.write_late()

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone, with everything that acts there."""
        self.in_force.revoke(session_id, "the session was deleted")
        session = self.in_force.sessions.get(session_id)
        if session is not None:
            self.in_force.end(session, ProcessStatus.ABORTED, "the session was deleted")
        self.measuring.forget(session_id)
        for forget in (self.journal.forget_session, self.choices.forget):
            try:
                await forget(session_id)
            except StoreError:  # what is left is harmless: no session has this id again
                logger.warning("session was not forgotten", extra={"session_id": session_id}, exc_info=True)

    def _of(self, process: ChaosProcess) -> PerturbedSession | None:
        session = self.in_force.sessions.get(process.session_id)
        return session if session is not None and session.process is process else None
