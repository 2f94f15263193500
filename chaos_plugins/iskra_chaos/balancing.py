"""The adaptive control loop: after each turn it decides whether a session needs an operation, or calming down."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from iskra_chaos.balance.bounds import DWELL, Surroundings, bounds_in, is_within_hours
from iskra_chaos.balance.calibration import Calibration, TenantBalance
from iskra_chaos.balance.causes import Choice, Circumstances, Stabiliser, opens_gate, stabilisers
from iskra_chaos.balance.circumstances import circumstances_in, sensitivity_of
from iskra_chaos.balance.controller import LEAST_CONFIDENCE
from iskra_chaos.balance.learned_gains import LearnedGains
from iskra_chaos.balance.service_health import ServiceHealth
from iskra_chaos.balance.session_balance import SessionBalance
from iskra_chaos.balance.tension import tension
from iskra_chaos.balance.wire import SystemState
from iskra_chaos.ethics.errors import EthicsRefusedError
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.preparing import Wish
from iskra_chaos.processes.telling import Telling
from iskra_chaos.stabilisers.stabilising import Stabilising
from iskra_sdk.errors import IskraError
from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import SYSTEM, Principal

logger = logging.getLogger(__name__)

_WAITING = 1000
"""Sessions that wait to be looked at after a turn; with one more, its turn is left out."""
_SESSIONS = 1000
"""Sessions whose controllers are remembered; the one that was begun first goes first."""
_REINFORCED = 0.5
"""Strength of stabilisers that an alert calls for."""
_KEY = "calibrations"


class Balancing:
    """Steps each session's controller once a turn, in one task that belongs to the plugin.

    It never acts on tension alone: a session has to be stale, to contradict itself or to go in circles, its owner must
    have welcomed automatic operations, and every operation passes the ethics check like any other.

    Args:
        context: The plugin's.
        engine: The creative operations.
        telling: Publishes events.
        stabilising: What calms conversations down.
        health: Of the service.
        faults_act: Whether faults are at work: nothing is adapted to what they cause.
        is_automatic: The admin lets the controller start operations.
        quiet_hours: When little may happen, such as ``22:00-07:00`` of the server's time zone; empty for never.
    """

    def __init__(
        self,
        context: PluginContext,
        engine: ChaosEngine,
        telling: Telling,
        stabilising: Stabilising,
        *,
        health: ServiceHealth,
        faults_act: Callable[[], bool],
        is_automatic: bool,
        quiet_hours: str = "",
    ) -> None:
        self.calibration = Calibration()
        self.learned = LearnedGains(context.state)
        self._context = context
        self._engine = engine
        self._telling = telling
        self._stabilising = stabilising
        self._health = health
        self._faults_act = faults_act
        self._is_automatic = is_automatic
        self._quiet_hours = quiet_hours
        self._sessions: dict[str, SessionBalance] = {}
        self._turns: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    async def load(self) -> None:
        """Read the calibrations, and what sessions answered to interventions."""
        kept = await self._context.state.get(_KEY)
        if isinstance(kept, dict):
            self.calibration = Calibration({tenant: TenantBalance(*values) for tenant, values in kept.items()})
        await self.learned.load()

    async def keep(self) -> None:
        """Write the calibrations."""
        kept = {tenant: [each.offset, each.set_point] for tenant, each in self.calibration.all().items()}
        await self._context.state.put(_KEY, kept)

    def turn_over(self, session_id: str) -> None:
        """Have a session looked at; where too many wait, it is left out this turn."""
        if not self._turns.full():
            self._turns.put_nowait(session_id)

    async def run(self) -> None:
        """Look at sessions as their turns end."""
        while True:
            session_id = await self._turns.get()
            try:
                await self._look_at(session_id)
            except IskraError as error:
                logger.info("session was not balanced", extra={"session": session_id, "code": error.code})
            except Exception:
                logger.exception("balancing failed", extra={"session": session_id})
            finally:
                self._turns.task_done()

    async def caught_up(self) -> None:
        """Wait until every turn that was over has been looked at."""
        await self._turns.join()

    async def _look_at(self, session_id: str) -> None:
        session = await self._context.sessions.session(SYSTEM, SessionId(session_id))
        conversation = await self._engine.measuring.conversation(SYSTEM, session_id)
        balance = self._of(session_id, session.principal_id)
        balance.read(self._stabilising.retuned(session_id, conversation.readings))
        await self._note(balance, conversation.readings, self._newly_applied(balance, session_id))
        circumstances, sensitivity = await asyncio.to_thread(
            lambda: (circumstances_in(conversation, conversation.readings), sensitivity_of(conversation))
        )
        balance.surroundings = self._surroundings(conversation, sensitivity)
        balance.bounds = bounds_in(balance.surroundings)
        confidence = self._engine.measuring.confidence_of(session_id)
        balance.frozen_because = self._frozen_because(session_id, balance, circumstances, confidence)
        balance.wanted = balance.controller.step(
            balance.tension,
            may_act=not balance.frozen_because,
            confidence=confidence,
            scale=self.learned.of(balance.tenant).scale,
        )
        balance.vetoed_for = max(0, balance.vetoed_for - 1)
        await self._relieve(session_id, balance, conversation)
        choice = self._choice(session_id, balance, circumstances)
        if choice is not None:
            await self._start(session_id, balance, choice)

    # Deciding --------------------------------------------------------------------------------------------------------

    def _surroundings(self, conversation: Conversation, sensitivity: float) -> Surroundings:
        readings = conversation.readings
        return Surroundings(
            sensitivity=sensitivity,
            pain=readings["pain"],
            clarity=readings["clarity"],
            stability=readings["stability"],
            chaos=readings["chaos"],
            health=self._health.value,
            is_experimenting=self._faults_act(),
            is_quiet_hour=is_within_hours(self._quiet_hours, self._context.clock.now().astimezone().time()),
        )

    def is_welcome(self, session_id: str) -> bool:
        """Return whether the admin and the session's owner let the controller act there by itself."""
        choices = self._engine.choices.of(session_id)
        return self._is_automatic and choices.automatic and choices.opt_in

    def _frozen_because(
        self, session_id: str, balance: SessionBalance, circumstances: Circumstances, confidence: float
    ) -> str:
        """Return why output and integral stay as they are; empty where they follow the tension."""
        choices = self._engine.choices.of(session_id)
        if choices.stopped:
            return "the owner wants nothing changed"
        if choices.crisis_left:
            return "the user may be in a crisis"
        if self._engine.in_force.stopped_because:
            return "everything is stopped"
        if balance.surroundings.is_experimenting:
            return "faults are at work"
        if balance.vetoed_for:
            return "the ethics check refused"
        if confidence < LEAST_CONFIDENCE:
            return "too little was said to judge by"
        if balance.is_loose:
            return ""
        if not self.is_welcome(session_id):
            return "operations by themselves are not welcome"  # an output that nobody carries out would only wind up
        return "" if opens_gate(circumstances, balance.bounds) else "nothing but tension calls for an operation"

    def _choice(self, session_id: str, balance: SessionBalance, circumstances: Circumstances) -> Choice | None:
        cools_down = self._stabilising.turns_of_cooldown(session_id) > 0
        is_free = session_id not in self._engine.sessions and not cools_down
        is_due = self.is_welcome(session_id) and is_free and balance.wanted.phase != "frozen"
        if is_due and balance.bounds.dose(balance.wanted.creative):
            decision = balance.postponing.decide(balance.surroundings.readiness)
            if decision == "give_up":
                balance.start_over()
            if decision != "start":
                return None
        return balance.gate.choose(
            balance.wanted, circumstances, balance.bounds, is_free=is_free and self.is_welcome(session_id)
        )

    async def _start(self, session_id: str, balance: SessionBalance, choice: Choice) -> None:
        owner = Principal(balance.tenant, permissions=frozenset({"sessions:*"}))
        wish = Wish(choice.operation, choice.intensity, accept_modifications=True, initiator="balance")
        try:
            await self._engine.start(owner, session_id, wish)
        except EthicsRefusedError:
            balance.vetoed_for = DWELL
            raise

    # Calming ---------------------------------------------------------------------------------------------------------

    async def _relieve(self, session_id: str, balance: SessionBalance, conversation: Conversation) -> None:
        """End what stirs a session up beyond a stop line, and calm it down while the controller asks for that."""
        calming = balance.wanted.stabilising if balance.wanted.phase == "acting" else 0.0
        session = self._engine.sessions.get(session_id)
        if session is not None and balance.surroundings.highest_load >= 1.0:
            await self._engine.settle(session.process, balance.bounds.reasons[0])
        elif session is not None and calming:
            await self._engine.settle(session.process, "the conversation needs calm")
        wanted = stabilisers(calming)
        if wanted and self.is_welcome(session_id):
            await self._stabilising.begin(balance.tenant, session_id, wanted, calming, conversation)
        elif wanted and wanted != balance.advised:
            await self._advise(session_id, wanted, calming)
        balance.advised = wanted

    async def _advise(self, session_id: str, wanted: Sequence[Stabiliser], strength: float) -> None:
        await self._telling.tell(
            "system_state",
            {"state": "needs_calm", "strength": round(strength, 3), "stabilisers": list(wanted)},
            session_id=session_id,
            source="balance",
        )

    async def reinforce(self, session_id: str, wanted: Sequence[Stabiliser]) -> None:
        """Let stabilisers come into force because of an alert, where the controller is welcome.

        Raises:
            SessionNotFoundError: The session is gone.
        """
        if not self.is_welcome(session_id):
            return
        session = await self._context.sessions.session(SYSTEM, SessionId(session_id))
        conversation = await self._engine.measuring.conversation(SYSTEM, session_id)
        await self._stabilising.begin(session.principal_id, session_id, wanted, _REINFORCED, conversation)

    # Learning --------------------------------------------------------------------------------------------------------

    def _newly_applied(self, balance: SessionBalance, session_id: str) -> float:
        """Return the strongest intensity that acted on the answers of this turn, 0 for none."""
        processes = self._engine.journal.of_session(session_id)[-5:]
        acted = [each.intensity for each in processes if each.applied > balance.applied.get(each.id, 0)]
        balance.applied = {each.id: each.applied for each in processes}
        return max(acted, default=0.0)

    async def _note(self, balance: SessionBalance, readings: Mapping[str, float], intensity: float) -> None:
        if self._faults_act():
            return  # what faults do to a conversation says nothing about operations
        segment = balance.recording.note(tension(readings["chaos"], readings["stability"]), intensity)
        if segment is not None:
            await self.learned.add(segment)

    # Sessions --------------------------------------------------------------------------------------------------------

    def _of(self, session_id: str, tenant: str) -> SessionBalance:
        if session_id not in self._sessions:
            while len(self._sessions) >= _SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[session_id] = SessionBalance.begun(tenant, self.calibration.of(tenant))
        return self._sessions[session_id]

    @property
    def sessions(self) -> dict[str, SessionBalance]:
        """The sessions that were looked at."""
        return self._sessions

    def state_of(self, tenant: str) -> SystemState | None:
        """Return what a tenant's sessions read now, on average; ``None`` where none of them was looked at."""
        measuring = self._engine.measuring
        found = [
            (values, measuring.confidence_of(session_id), balance.turns)
            for session_id, balance in self._sessions.items()
            if balance.tenant == tenant and (values := measuring.last_of(session_id))
        ]
        if not found:
            return None
        return SystemState(
            chaos_level=sum(values["chaos"] for values, _, _ in found) / len(found),
            stability_level=sum(values["stability"] for values, _, _ in found) / len(found),
            n_turns=sum(turns for _, _, turns in found),
            confidence=max(confidence for _, confidence, _ in found),
        )

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._sessions.pop(session_id, None)

    def forget_tenant(self, tenant: str) -> None:
        """Begin a tenant's sessions anew, with the calibration of now."""
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept.tenant != tenant}
