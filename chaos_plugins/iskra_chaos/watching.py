"""What runs as long as the plugin does: leases run out, and the ethics monitor looks again."""

import logging

from iskra_chaos.balance.alerts import Alert
from iskra_chaos.ethics import Operation
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_sdk.event import Severity
from iskra_sdk.principal import SYSTEM

logger = logging.getLogger(__name__)

_TICK = 1.0
_SEVERITY = {"critical": Severity.CRITICAL, "high": Severity.ERROR, "medium": Severity.WARNING, "low": Severity.INFO}
_ETHICS_EVERY = 5
"""Ticks between two looks of the ethics monitor; the specification's five seconds."""


async def start(parts: ChaosParts) -> None:
    """Read what was kept, then watch in a task that ends with the plugin."""
    await parts.choices.load()
    interrupted = await parts.engine.journal.load()
    for process in interrupted:
        parts.context.logger.info("chaos process was interrupted by a restart", extra={"process": process.id})

    async def watch() -> None:
        tick = 0
        while True:
            await parts.context.clock.sleep(_TICK)
            tick += 1
            parts.board.expire()
            await parts.engine.sweep()
            if tick % _ETHICS_EVERY == 0:
                await review_running(parts)
            parts.balancing.is_frozen = any(fault.lease.is_active for fault in parts.board.faults())
            for alert in parts.overview.tick():
                await act_on(parts, alert)

    await parts.balancing.load()
    await parts.overview.load()
    parts.context.tasks.start(watch, name="chaos watch")
    parts.context.tasks.start(parts.balancing.run, name="chaos balance")


async def act_on(parts: ChaosParts, alert: Alert) -> None:
    """Tell of an alert, and do what its rule says; a stop concerns its session and never the whole server."""
    session_id = dict(part.split("=", 1) for part in alert.key.split("|") if "=" in part).get("session_id", "")
    await parts.telling.tell(
        "system_state",
        {"state": "alert", "rule": alert.rule.name, "alert": alert.state, "action": alert.rule.action},
        session_id=session_id,
        severity=_SEVERITY.get(alert.rule.severity, Severity.WARNING),
        source="alerts",
    )
    if alert.state != "firing":
        return
    session = parts.engine.sessions.get(session_id)
    if session is not None and alert.rule.action in ("emergency_stabilization", "halt_operations"):
        await parts.engine.abort(session.process, f"alert: {alert.rule.name}")


async def review_running(parts: ChaosParts) -> None:
    """Ask the ethics rules again about everything that acts, with the readings of now."""
    for session in list(parts.engine.sessions.values()):
        try:
            await _review(parts, session)
        except Exception:
            logger.exception("ethics monitor failed", extra={"process": session.process.id})
            await parts.engine.abort(session.process, "the ethics monitor could not look at it")


async def _review(parts: ChaosParts, session: PerturbedSession) -> None:
    process = session.process
    conversation = await parts.engine.measuring.conversation(SYSTEM, process.session_id)
    facts = await parts.engine.facts(process.session_id, conversation)
    running = Operation(
        operation_type=process.type,
        form="creative",
        intensity=process.intensity,
        # How long ago the operation before was counts when one starts, not while it runs; nor does the staleness that
        # it is there to lower.
        session=facts.model_copy(
            update={
                "turns_since_operation": None,
                "turns_since_reset": None,
                "readings": {**facts.readings, "staleness": 1.0},
            }
        ),
        initiator=process.initiator,
        prompt_card=session.perturbation.instruction[:4000],
        disclosed=True,
        hypotheses_labelled="[HYP]" in session.perturbation.instruction,
    )
    found = parts.engine.review(running, conversation)
    rejecting = [violation for violation in found.violations if found.decision == "reject"]
    if rejecting:
        await parts.engine.abort(process, f"ethics: {rejecting[0].rule}")
        await parts.alert(process.session_id, rejecting[0].rule, rejecting[0].message, Severity.CRITICAL)
