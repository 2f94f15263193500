"""The adaptive control loop: after each turn it decides whether a session needs an operation, or calming down."""

import asyncio
import logging
from dataclasses import dataclass, field

from iskra_chaos.balance.calibration import Calibration, TenantBalance
from iskra_chaos.balance.causes import CauseGate, Circumstances, opens_gate, stabilisers
from iskra_chaos.balance.controller import PIController
from iskra_chaos.balance.gain import GainEstimate
from iskra_chaos.balance.tension import TensionAverage
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.preparing import Wish
from iskra_chaos.processes.telling import Telling
from iskra_sdk.errors import IskraError
from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import SYSTEM, Principal

logger = logging.getLogger(__name__)

_WAITING = 1000
_SESSIONS = 1000
_KEY = "calibrations"


@dataclass(slots=True)
class SessionBalance:
    """What the loop remembers of a session."""

    tenant: str
    average: TensionAverage
    controller: PIController
    gate: CauseGate = field(default_factory=CauseGate)
    gain: GainEstimate = field(default_factory=GainEstimate)
    turns: int = 0
    intensity: float = 0.0
    tension: float = 0.0


class Balancing:
    """Steps each session's controller once a turn, in one task that belongs to the plugin.

    It never acts on tension alone: a session has to be stale, to contradict itself or to go in circles, its owner must
    have welcomed automatic operations, and every operation passes the ethics check like any other.
    """

    def __init__(self, context: PluginContext, engine: ChaosEngine, telling: Telling, *, is_automatic: bool) -> None:
        self.calibration = Calibration()
        self.is_frozen = False
        """Faults are at work: nothing is adapted to what they cause."""
        self._context = context
        self._engine = engine
        self._telling = telling
        self._is_automatic = is_automatic
        self._sessions: dict[str, SessionBalance] = {}
        self._turns: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    async def load(self) -> None:
        """Read the calibrations."""
        kept = await self._context.state.get(_KEY)
        if isinstance(kept, dict):
            self.calibration = Calibration({tenant: TenantBalance(*values) for tenant, values in kept.items()})

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

    async def _look_at(self, session_id: str) -> None:
        session = await self._context.sessions.session(SYSTEM, SessionId(session_id))
        readings = await self._engine.measuring.readings(session_id)
        balance = self._of(session_id, session.principal_id)
        balance.turns += 1
        before, intensity_before = balance.tension, balance.intensity
        balance.tension = balance.average.update(readings["chaos"], readings["stability"])
        choices = self._engine.choices.of(session_id)
        circumstances = Circumstances(
            staleness=readings["staleness"],
            drift=readings["drift"],
            contradictions=int(readings["contradiction"] > 0),
        )
        is_loose = balance.tension < balance.controller.set_point
        may_act = not (
            choices.stopped or choices.crisis_left or self.is_frozen or self._engine.in_force.stopped_because
        )
        may_act = may_act and (is_loose or opens_gate(circumstances))
        wanted = balance.controller.step(
            balance.tension, may_act=may_act, confidence=min(1.0, balance.turns / 6), scale=balance.gain.scale
        )
        if balance.turns > 1:
            balance.gain.observe(wanted.value - intensity_before, balance.tension - before)
        balance.intensity = wanted.value
        if wanted.phase == "acting" and wanted.stabilising:
            await self._calm(session_id, wanted.stabilising)
        choice = balance.gate.choose(wanted, circumstances)
        if choice is None or not (self._is_automatic and choices.automatic and choices.opt_in):
            return
        owner = Principal(session.principal_id, permissions=frozenset({"sessions:*"}))
        wish = Wish(choice.operation, choice.intensity, accept_modifications=True, initiator="balance")
        await self._engine.start(owner, session_id, wish)

    async def _calm(self, session_id: str, strength: float) -> None:
        """End what stirs the session up, and say what else would help."""
        session = self._engine.sessions.get(session_id)
        if session is not None:
            await self._engine.settle(session.process, "the conversation needs calm")
        await self._telling.tell(
            "system_state",
            {"state": "needs_calm", "strength": round(strength, 3), "stabilisers": list(stabilisers(strength))},
            session_id=session_id,
            source="balance",
        )

    def _of(self, session_id: str, tenant: str) -> SessionBalance:
        if session_id not in self._sessions:
            while len(self._sessions) >= _SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            calibrated = self.calibration.of(tenant)
            self._sessions[session_id] = SessionBalance(
                tenant, TensionAverage(calibrated.offset), PIController(set_point=calibrated.set_point)
            )
        return self._sessions[session_id]

    @property
    def sessions(self) -> dict[str, SessionBalance]:
        """The sessions that were looked at."""
        return self._sessions

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._sessions.pop(session_id, None)

    def forget_tenant(self, tenant: str) -> None:
        """Begin a tenant's sessions anew, with the calibration of now."""
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept.tenant != tenant}
