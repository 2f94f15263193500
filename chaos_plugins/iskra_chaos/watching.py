"""What runs as long as the plugin does: leases run out, alerts are acted on, the ethics monitor looks again."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from iskra_chaos.balance.alerts import Alert
from iskra_chaos.balance.causes import Stabiliser
from iskra_chaos.parts import ChaosParts
from iskra_sdk.event import Severity
from iskra_sdk.notifier import Notification

logger = logging.getLogger(__name__)

_TICK = 1.0  # seconds
_SEVERITY = {"critical": Severity.CRITICAL, "high": Severity.ERROR, "medium": Severity.WARNING, "low": Severity.INFO}
_NOTIFIED = frozenset({"critical", "high"})
_ABORTING = frozenset({"emergency_stabilization", "halt_operations", "structure_reinforcement"})
"""Actions that are taken; all others advise people, who know what the numbers do not show."""
_CALLED_FOR: dict[str, tuple[Stabiliser, ...]] = {
    "emergency_stabilization": ("voice_sam", "lower_temperature", "pin_context", "cooldown"),
    "structure_reinforcement": ("voice_sam", "pin_context"),
}
_ETHICS_EVERY = 5
"""Ticks between two looks of the ethics monitor; the specification's five seconds."""


async def start(parts: ChaosParts) -> None:
    """Read what was kept, then watch in a task that ends with the plugin."""
    await parts.choices.load()
    for process in await parts.journal.load():
        parts.context.logger.info("chaos process was interrupted by a restart", extra={"process_id": process.id})
    await parts.stop.load()
    await parts.experiment_lock.load()
    await parts.balancing.load()
    await parts.overview.load()

    async def watch() -> None:
        tick = 0
        while True:
            await parts.context.clock.sleep(_TICK)
            tick += 1
            await watch_once(parts, tick)

    parts.context.tasks.start(watch, name="chaos watch")
    parts.context.tasks.start(parts.balancing.run, name="chaos balance")


async def watch_once(parts: ChaosParts, tick: int) -> None:
    """Do what is due at a tick; whatever fails keeps nothing else from being done."""
    parts.board.expire()
    await _passed_over(parts.engine.sweep, "sweep")
    await _passed_over(parts.stabilising.sweep, "stabilisers")
    if tick == 1:  # what the generation before wrote while this one was loaded
        await _passed_over(parts.choices.load, "choices")
    if tick % _ETHICS_EVERY == 0:
        await _passed_over(parts.monitor.sweep, "ethics")
    await _passed_over(lambda: _alert(parts), "alerts")


async def _passed_over(job: Callable[[], Awaitable[None]], what: str) -> None:
    try:
        await job()
    except Exception:
        logger.exception("chaos watch failed", extra={"what": what})


async def _alert(parts: ChaosParts) -> None:
    for alert in await parts.overview.tick():
        await _passed_over(partial(act_on, parts, alert), "alert")


async def act_on(parts: ChaosParts, alert: Alert) -> None:
    """Tell of an alert, and do what its rule says; a stop concerns its session and never the whole server."""
    labels = dict(part.split("=", 1) for part in alert.key.split("|") if "=" in part)
    session_id = labels.get("session_id", "")
    is_advice = alert.rule.action not in _ABORTING
    severity = _SEVERITY.get(alert.rule.severity, Severity.WARNING)
    await parts.telling.tell(
        "system_state",
        {
            "state": "alert",
            "rule": alert.rule.name,
            "alert": alert.state,
            "action": alert.rule.action,
            "is_advice": is_advice,
        },
        session_id=session_id,
        severity=severity,
        source="alerts",
    )
    if alert.state != "firing":
        return
    session = parts.engine.sessions.get(session_id)
    if session is not None and alert.rule.action in _ABORTING:
        await parts.engine.abort(session.process, f"alert: {alert.rule.name}")
    if alert.rule.severity in _NOTIFIED:
        _notify(parts, alert, labels, severity)
    wanted = _CALLED_FOR.get(alert.rule.action, ())
    if session_id and wanted:
        await parts.balancing.reinforce(session_id, wanted)


def _notify(parts: ChaosParts, alert: Alert, labels: Mapping[str, str], severity: Severity) -> None:
    """Have the person told whom an alert concerns, in a task of its own: notifiers may be slow."""
    owner = _owner_of(parts, labels)
    if not owner:
        return
    words = alert.rule.name.replace("_", " ")
    is_advice = alert.rule.action not in _ABORTING
    text = f"{'Advice' if is_advice else 'What follows'}: {alert.rule.action.replace('_', ' ')}."
    notification = Notification(owner, f"Chaos alert: {words}", text, severity)
    parts.context.tasks.start(lambda: parts.context.notify(notification), name="chaos notice")


def _owner_of(parts: ChaosParts, labels: Mapping[str, str]) -> str:
    balance = parts.balancing.sessions.get(labels.get("session_id", ""))
    if balance is not None:
        return balance.tenant
    process_id = labels.get("process_id", "")
    return next((each.owner for each in parts.journal.all() if each.id == process_id), "")
