"""The composition root: everything the plugin consists of, made once per generation and handed to its hooks."""

import logging
import secrets
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from iskra_chaos.balance.alerts import AlertMonitor, packaged_alert_rules
from iskra_chaos.balance.service_health import ServiceHealth
from iskra_chaos.balancing import Balancing
from iskra_chaos.ethics import Clearances, Rules, packaged_rules
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.scope import Environment, SessionTraits
from iskra_chaos.interceptor_refresh import InterceptorRefresh
from iskra_chaos.overview import Overview
from iskra_chaos.processes.admission import Admission
from iskra_chaos.processes.blocking import Blocking
from iskra_chaos.processes.branching import Branching
from iskra_chaos.processes.emergency_stop import EmergencyStop
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.ethics_monitor import EthicsMonitor
from iskra_chaos.processes.experiment_lock import ExperimentLock
from iskra_chaos.processes.in_force import InForce
from iskra_chaos.processes.journal import ProcessJournal
from iskra_chaos.processes.judging import ModelJudge
from iskra_chaos.processes.measuring import Measuring, Service
from iskra_chaos.processes.owner_limits import OwnerLimits
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.pinning import Pinning
from iskra_chaos.processes.preparing import Preparing
from iskra_chaos.processes.progress import Progress
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.speaking import Speaking
from iskra_chaos.processes.telling import Telling
from iskra_chaos.settings import ChaosSettings
from iskra_chaos.stabilisers.stabilising import Stabilising
from iskra_chaos.stabilisers.steadying import Steadying
from iskra_sdk.errors import IskraError
from iskra_sdk.interceptor import Interceptor, Point
from iskra_sdk.plugin_context import PluginContext

if TYPE_CHECKING:
    from iskra_chaos.clearing import Clearing

logger = logging.getLogger(__name__)

_SENSITIVE_PAIN = 0.5
"""Reading of pain from which no fault touches a session."""


class ChaosParts:
    """The parts of one generation of the plugin."""

    def __init__(self, context: PluginContext) -> None:
        self.context = context
        self.settings = ChaosSettings.model_validate(context.settings.model_dump())
        self.telling = Telling(context)
        self.choices = Choices(context.state)
        self.began = context.clock.monotonic()
        self.refresh = InterceptorRefresh(context)
        self.board = FaultBoard(
            context.clock,
            start=lambda job: context.tasks.start(job, name="fault"),
            traits=SessionTraits(self._is_sensitive, self._is_sandbox, self._labels),
            environment=Environment(self.settings.environment),
            on_change=self.refresh.changed,
        )
        self.health = ServiceHealth(context.clock)
        self.measuring = Measuring(context.sessions, lambda: Service(self.health.error_rate, self.health.value))
        self.pinning = Pinning(context)
        self.journal = ProcessJournal(context.state, context.clock.now)
        self.in_force = InForce(context.clock, self.refresh.changed)
        self.limits = OwnerLimits(
            context.clock,
            lambda owner: [*self.in_force.left_of(owner), *self.board.left_of(owner)],
            most_held=self.settings.operations_per_owner,
            most_started=self.settings.starts_per_minute,
        )

    @cached_property
    def rules(self) -> Rules:
        """The ethics rules. Reading them takes long: first to be asked for in a thread."""
        return packaged_rules()

    @cached_property
    def _clearances(self) -> Clearances:
        return Clearances(secrets.token_bytes(32), self.context.clock)

    @cached_property
    def _admission(self) -> Admission:
        return Admission(
            self.context.clock,
            lambda: self.rules,
            self._clearances,
            choices=self.choices,
            journal=self.journal,
            telling=self.telling,
            environment=self.settings.environment,
            judge=ModelJudge(self.context.llm, self.settings.ethics_judge),
            cooldown=lambda session_id: self.stabilising.turns_of_cooldown(session_id),
        )

    @cached_property
    def stabilising(self) -> Stabilising:
        """What calms conversations down."""
        return Stabilising(
            self.context,
            self.choices,
            self.telling,
            stopped_because=lambda: self.in_force.stopped_because,
            on_change=self.refresh.changed,
        )

    @cached_property
    def engine(self) -> ChaosEngine:
        """The creative operations."""
        return ChaosEngine(
            self.context.clock,
            in_force=self.in_force,
            journal=self.journal,
            choices=self.choices,
            measuring=self.measuring,
            preparing=Preparing(self.context.clock, self.measuring, self._admission, self.pinning),
            telling=self.telling,
            limits=self.limits,
            in_place=self.refresh.in_place,
            later=self._later,
            is_enabled=self.settings.creative,
        )

    @cached_property
    def progress(self) -> Progress:
        """What happens while an operation is in force."""
        return Progress(self.engine, self.telling, self.context.clock)

    @cached_property
    def clearing(self) -> "Clearing":
        """The ethics check of injections and faults."""
        from iskra_chaos.clearing import Clearing  # with the faults' and blocks' models, for requests alone

        return Clearing(
            self.rules,
            self._clearances,
            self.context.clock,
            measuring=self.measuring,
            admission=self._admission,
            environment=self.settings.environment,
            tools=lambda: self.context.tools,
        )

    @cached_property
    def monitor(self) -> EthicsMonitor:
        """Looks again at what acts."""

        async def comfort(session_id: str) -> None:
            try:
                await self.balancing.reinforce(session_id, ("voice_anhantha",))
            except IskraError as error:
                logger.info("nobody comforts a session", extra={"session": session_id, "code": error.code})

        return EthicsMonitor(self.engine, self._admission, self.telling, comfort)

    @cached_property
    def stop(self) -> EmergencyStop:
        """The emergency stop of everything."""
        return EmergencyStop(
            self.board, self.engine, clock=self.context.clock, state=self.context.state, later=self._later
        )

    @cached_property
    def experiment_lock(self) -> ExperimentLock:
        """Refuses faults after a failed rollback."""
        return ExperimentLock(self.board, self.telling, self.context.clock, self.context.state)

    @cached_property
    def balancing(self) -> Balancing:
        """The adaptive control loop."""
        return Balancing(
            self.context,
            self.engine,
            self.telling,
            self.stabilising,
            health=self.health,
            faults_act=lambda: any(fault.lease.is_active for fault in self.board.faults()),
            is_automatic=self.settings.automatic,
            quiet_hours=self.settings.quiet_hours or "",
        )

    @cached_property
    def overview(self) -> Overview:
        """The figures for people who watch the server."""
        alerts = AlertMonitor(packaged_alert_rules())
        return Overview(self.engine, self.balancing, self.context.clock, self.context.state, alerts)

    @cached_property
    def _speaking(self) -> Interceptor:
        has_min_p = self.settings.min_p
        speaking = Speaking(
            self.in_force.acting,
            self.progress.note_answer,
            self.progress.note_failure,
            self.progress.note_regenerated,
            pinned=self.pinning.of,
            branching=Branching(has_min_p=has_min_p),
            has_min_p=has_min_p,
        )
        return Interceptor(Point.LLM_STREAM, cast("Any", speaking.around), name="creative operation")

    @cached_property
    def _blocking(self) -> Interceptor:
        blocking = Blocking(self._pattern_break, self.progress.note_block)
        return Interceptor(Point.TOOL_CALL, blocking.around, name="pattern break")

    @cached_property
    def _steadying(self) -> Interceptor:
        around = cast("Any", Steadying(self.stabilising).around)
        return Interceptor(Point.LLM_STREAM, around, name="stabilisers")

    def _pattern_break(self, session_id: str) -> PerturbedSession | None:
        session = self.in_force.acting(session_id)
        return session if session is not None and session.perturbation.blocked_calls else None

    def _later(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.context.tasks.start(job, name="chaos records")

    # Interceptors: only while something acts -------------------------------------------------------------------------

    def interceptors(self) -> list[Interceptor]:
        """Return what is wrapped now; nothing while nothing acts."""
        found = list(self.board.interceptors())
        if self.in_force.sessions:
            found += [self._speaking, self._blocking]
        if not self.stabilising.is_empty:
            found.append(self._steadying)  # inside the operations: whatever they ask for is drawn cooler
        return found

    # What faults ask about sessions -----------------------------------------------------------------------------------

    def _is_sensitive(self, session_id: str) -> bool:
        is_in_pain = self.measuring.last_of(session_id).get("pain", 0.0) >= _SENSITIVE_PAIN
        return is_in_pain or self.choices.of(session_id).crisis_left > 0

    def _is_sandbox(self, session_id: str) -> bool:
        return self.choices.of(session_id).sandbox

    def _labels(self, session_id: str) -> tuple[str, ...]:
        label = self.choices.of(session_id).label
        return (label,) if label else ()

    # What happens in sessions ----------------------------------------------------------------------------------------

    async def turn_over(self, session_id: str, turn_id: str) -> None:
        """Count a turn, and have the conversation measured after it where somebody cares."""
        await self.progress.turn_over(session_id, turn_id)
        await self.stabilising.turn_over(session_id)
        if self._is_followed(session_id):
            self.balancing.turn_over(session_id)

    def _is_followed(self, session_id: str) -> bool:
        """Whether a session is measured after each turn: that costs milliseconds, and most sessions want none of it."""
        choices = self.choices.of(session_id)
        return (
            self.settings.all_sessions
            or choices.opt_in
            or choices.automatic
            or session_id in self.engine.sessions
            or bool(self.measuring.last_of(session_id))
        )

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self.balancing.forget(session_id)
        self.stabilising.forget(session_id)
        self.overview.forget(session_id)
        await self.engine.forget(session_id)

    async def close(self) -> None:
        """End what acts, for the end of the plugin; a later generation finds it aborted."""
        self.refresh.close()
        self.in_force.stop("the chaos plugin was stopped")
        await self.board.close()


_known: WeakKeyDictionary[PluginContext, ChaosParts] = WeakKeyDictionary()


def parts_of(context: PluginContext) -> ChaosParts:
    """Return the parts that the hooks of one generation share."""
    if context not in _known:
        _known[context] = ChaosParts(context)
        context.on_close(lambda: _forget(context))  # the parts refer to their context, so no reference ends by itself
    return _known[context]


def _forget(context: PluginContext) -> None:
    _known.pop(context, None)
