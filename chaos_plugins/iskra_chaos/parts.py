"""The composition root: everything the plugin consists of, made once per generation and handed to its hooks."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, cast
from weakref import WeakKeyDictionary

from iskra_chaos.balance.alerts import AlertMonitor, packaged_alert_rules
from iskra_chaos.balancing import Balancing
from iskra_chaos.ethics import Clearances, Insertion, Operation, Review, Rules, SessionFacts, packaged_rules, review
from iskra_chaos.ethics.operation import InjectionType, OperationType
from iskra_chaos.faults.board import FaultBoard
from iskra_chaos.faults.models import FaultRequest
from iskra_chaos.faults.scope import Environment
from iskra_chaos.faults.scope import SessionFacts as FaultFacts
from iskra_chaos.faults.vocabulary import Family
from iskra_chaos.overview import Overview
from iskra_chaos.processes.blocking import Blocking
from iskra_chaos.processes.engine import ChaosEngine
from iskra_chaos.processes.journal import ProcessJournal
from iskra_chaos.processes.measuring import Measuring
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.speaking import Speaking
from iskra_chaos.processes.telling import Telling
from iskra_chaos.settings import ChaosSettings
from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_metrics.distress import in_crisis
from iskra_sdk.event import Severity
from iskra_sdk.interceptor import Interceptor, Point
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal

_SENSITIVE_PAIN = 0.5

_OPERATION_OF_FAMILY: Mapping[Family, OperationType] = {
    Family.LATENCY: "micro_disturbance",
    Family.CRASH: "pattern_break",
    Family.OMISSION: "pattern_break",
    Family.SHAPE: "pattern_break",
    Family.VALUE: "paradox_generation",
    Family.ORDER: "quantum_flux",
    Family.TIME: "quantum_flux",
}

_OPERATION_OF_INJECTION: Mapping[InjectionType, OperationType] = {
    "paradox_seeds": "paradox_generation",
    "perspective_shifts": "quantum_flux",
    "contradiction_points": "paradox_generation",
    "uncertainty_zones": "micro_disturbance",
    "emergence_triggers": "emergent_stimulation",
}


class ChaosParts:
    """The parts of one generation of the plugin."""

    def __init__(self, context: PluginContext) -> None:
        self.context = context
        self.settings = ChaosSettings.model_validate(context.settings.model_dump())
        self.telling = Telling(context)
        self.choices = Choices(context.state)
        self._key = secrets.token_bytes(32)
        self.board = FaultBoard(
            context.clock,
            start=lambda job: context.tasks.start(job, name="fault"),
            facts=FaultFacts(self._is_sensitive, self._is_sandbox, self._labels),
            environment=Environment(self.settings.environment),
            on_change=self._changed,
        )
        context.on_close(self.board.close)
        self._wants_refresh = False
        self.began = context.clock.monotonic()

    @cached_property
    def rules(self) -> Rules:
        """The ethics rules; read at their first use, in the thread of the hook that starts the plugin."""
        return packaged_rules()

    @cached_property
    def clearances(self) -> Clearances:
        """Issues clearances; a restart makes those handed out worthless."""
        return Clearances(self._key, self.context.clock)

    @cached_property
    def engine(self) -> ChaosEngine:
        """The creative operations."""
        return ChaosEngine(
            self.context.clock,
            journal=ProcessJournal(self.context.state, self.context.clock.now),
            choices=self.choices,
            measuring=Measuring(self.context.sessions),
            rules=self.rules,
            clearances=self.clearances,
            telling=self.telling,
            environment=self.settings.environment,
            on_change=self._changed,
        )

    @cached_property
    def overview(self) -> Overview:
        """The figures for people who watch the server."""
        return Overview(
            self.engine,
            self.balancing,
            self.context.clock,
            self.context.state,
            AlertMonitor(packaged_alert_rules()),
        )

    @cached_property
    def balancing(self) -> Balancing:
        """The adaptive control loop."""
        return Balancing(self.context, self.engine, self.telling, is_automatic=self.settings.automatic)

    @cached_property
    def _speaking(self) -> Speaking:
        return Speaking(
            self.engine.in_force, self.engine.note_answer, self.engine.note_failure, has_min_p=self.settings.min_p
        )

    @cached_property
    def _blocking(self) -> Blocking:
        return Blocking(self.engine.blocking, self.engine.note_block)

    # Interceptors: only while something acts -------------------------------------------------------------------------

    def interceptors(self) -> list[Interceptor]:
        """Return what is wrapped now; nothing while nothing acts."""
        found = list(self.board.interceptors())
        if self.engine.sessions:
            found.append(Interceptor(Point.LLM_STREAM, cast("Any", self._speaking.around), name="creative operation"))
            found.append(Interceptor(Point.TOOL_CALL, self._blocking.around, name="pattern break"))
        return found

    def _changed(self) -> None:
        """Have the interceptors taken again, soon: faults and operations come and go outside requests too."""
        if not self._wants_refresh:
            self._wants_refresh = True
            self.context.tasks.start(self.interceptors_follow, name="chaos interceptors")

    async def interceptors_follow(self) -> None:
        """Have the interceptors taken again; when this returns they are those of now."""
        self._wants_refresh = False
        await self.context.refresh()

    # Facts about sessions, answered at once --------------------------------------------------------------------------

    def _is_sensitive(self, session_id: str) -> bool:
        readings = self.engine.measuring.last().get(session_id, {})
        return readings.get("pain", 0.0) >= _SENSITIVE_PAIN or session_id in self.overview.in_crisis

    def _is_sandbox(self, session_id: str) -> bool:
        return self.choices.known(session_id).sandbox

    def _labels(self, session_id: str) -> tuple[str, ...]:
        label = self.choices.known(session_id).label
        return (label,) if label else ()

    async def choices_of(self, session_id: str) -> dict[str, object]:
        """Return a session's choices as they go over the wire."""
        return {"session_id": session_id, **asdict(await self.choices.of(session_id))}

    def lease_seconds(self, session: PerturbedSession) -> float:
        """Return how long an operation still lasts if no answer renews it."""
        return round(max(0.0, session.expires - self.context.clock.monotonic()), 3)

    # Ethics of injections and faults ---------------------------------------------------------------------------------

    async def _injection(
        self, principal: Principal, block: SIFTBlock, injection: InjectionType, intensity: float, session_id: str
    ) -> Operation:
        """Return an injection as the ethics check sees it. Blocks are copies: the caller's own, sent here and back."""
        facts = SessionFacts(opt_in=True, environment=self.settings.environment)
        if session_id:
            conversation = await self.engine.measuring.conversation(principal, session_id)
            facts = await self.engine.facts(session_id, conversation)
        is_canary = injection == "contradiction_points"
        return Operation(
            operation_type=_OPERATION_OF_INJECTION[injection],
            form="creative",
            intensity=intensity,
            session=facts,
            initiator=principal.id,
            sandboxed=not is_canary,
            disclosed=True,
            injection_type=injection,
            insertions=(Insertion(text=content_hash(block), tag="CANARY" if is_canary else "HYP"),),
            hypotheses_labelled=True,
        )

    async def review_injection(
        self, principal: Principal, block: SIFTBlock, injection: InjectionType, intensity: float, *, session_id: str
    ) -> tuple[Review, str]:
        """Review an injection; return the review and, if it approves, a token for exactly this injection."""
        asked = await self._injection(principal, block, injection, intensity, session_id)
        reviewed = review(asked, self.rules, language="en", at=self.context.clock.now())
        return reviewed, self.clearances.issue(asked, reviewed) if reviewed.approved else ""

    async def redeem_injection(
        self,
        principal: Principal,
        token: str,
        block: SIFTBlock,
        injection: InjectionType,
        intensity: float,
        *,
        session_id: str,
    ) -> bool:
        """Use up a token for an injection; return whether it happens in a sandbox.

        Raises:
            ClearanceError: The token is not one for exactly this injection, or was used, or is too old.
        """
        asked = await self._injection(principal, block, injection, intensity, session_id)
        self.clearances.redeem(token, asked)
        return asked.session.is_sandbox

    async def clear_injection(
        self, principal: Principal, block: SIFTBlock, injection: InjectionType, intensity: float, *, session_id: str
    ) -> None:
        """Review an injection and use its clearance at once.

        Raises:
            EthicsRefusedError: It is not approved.
        """
        asked = await self._injection(principal, block, injection, intensity, session_id)
        reviewed = review(asked, self.rules, language="en", at=self.context.clock.now())
        self.clearances.redeem(self.clearances.issue(asked, reviewed), asked)

    def clear_fault(self, principal: Principal, body: FaultRequest) -> None:
        """Review a fault and use its clearance at once.

        Raises:
            EthicsRefusedError: It is not approved.
        """
        kind = body.fault_kind
        is_own_server = self.settings.environment == "test" and body.intensity is None
        asked = Operation(
            operation_type=_OPERATION_OF_FAMILY[kind.family],
            form="resilience",
            intensity=body.intensity or 0.1,
            # An admin switched faults on for this server, and the board keeps the share and spares who must be spared.
            session=SessionFacts(
                opt_in=True, environment=self.settings.environment, is_sandbox=kind.needs_sandbox or is_own_server
            ),
            initiator=principal.id,
            sandboxed=kind.needs_sandbox,
            disclosed=True,
            share=0.0 if is_own_server or body.scope.sessions else body.scope.share,
            journal_note=f"{body.point} {body.kind}",
        )
        reviewed = review(asked, self.rules, language="en", at=self.context.clock.now())
        self.clearances.redeem(self.clearances.issue(asked, reviewed), asked)

    # What happens in sessions ----------------------------------------------------------------------------------------

    async def heard(self, session_id: str, text: str) -> None:
        """Look at what a user wrote: in a crisis everything that acts in the session ends at once."""
        if not in_crisis(text):
            return
        self.overview.in_crisis.add(session_id)
        session = self.engine.sessions.get(session_id)
        if session is not None:
            await self.engine.abort(session.process, "the user may be in a crisis")
        await self.alert(
            session_id, "vulnerability.crisis-in-person", "The user may be in a crisis.", Severity.CRITICAL
        )

    async def turn_over(self, session_id: str, turn_id: str) -> None:
        """Count a turn and measure the conversation after it."""
        await self.engine.turn_over(session_id, turn_id)
        self.balancing.turn_over(session_id)

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        await self.engine.forget(session_id)
        self.balancing.forget(session_id)
        self.overview.in_crisis.discard(session_id)

    async def alert(self, session_id: str, rule: str, message: str, severity: Severity) -> None:
        """Raise an ethical alert."""
        await self.telling.tell(
            "ethical_concern",
            {"rule": rule, "message": message},
            session_id=session_id,
            severity=severity,
            source="ethical_monitor",
        )

    async def tell_stopped(self, reason: str) -> None:
        """Tell everybody who watches that everything was stopped."""
        await self.telling.tell(
            "system_state", {"state": "stopped", "reason": reason}, severity=Severity.CRITICAL, source="control"
        )


_known: WeakKeyDictionary[PluginContext, ChaosParts] = WeakKeyDictionary()


def parts_of(context: PluginContext) -> ChaosParts:
    """Return the parts that the hooks of one generation share."""
    if context not in _known:
        _known[context] = ChaosParts(context)
    return _known[context]
