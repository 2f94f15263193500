"""The end of a run: take everything back, look whether the system is well again."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from iskra_chaos.experiments.activity_runs import what_was_wrong
from iskra_chaos.experiments.rollback_alarm import raise_alarm
from iskra_chaos.experiments.run_state import RunState
from iskra_chaos.experiments.undo import UndoRecord

logger = logging.getLogger(__name__)


async def take_back(state: RunState) -> None:
    """Undo faults and actions, the latest first, then play the file's rollbacks, then check the steady state again.

    Whatever goes wrong with one part, the others have their turn; it is written down, and the verdict knows of it.
    """
    state.journal.enter("rollback")
    await state.save()

    async def note(record: UndoRecord) -> None:
        state.journal.own["undo"].append(record.summary())
        state.journal.note("undo", record.name, "succeeded" if record.succeeded else f"failed: {record.error}")
        if not record.succeeded:
            _critical(state, f"{record.name!r} could not be taken back: {record.error.rstrip('.')}.")
        await state.save()

    await state.undo.unwind(note)
    await _step(state, _roll_back(state))
    await _step(state, state.leases.refresh(state.faults))
    if state.has_begun_method and state.experiment.runtime.hypothesis.strategy != "skip":
        await _step(state, _check_recovery(state))
    if state.findings.failed_undo:
        await _step(state, _lock_experiments(state))


async def _step(state: RunState, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as exc:
        state.findings.failures.append(f"The runner itself failed at the end: {type(exc).__name__}: {exc}.")
        logger.exception("experiment runner failed")


def _critical(state: RunState, text: str) -> None:
    state.findings.failed_undo.append(text)
    state.journal.own["critical"].append(text)
    logger.critical("rollback failed", extra={"experiment": state.experiment.title})


def _is_wanted(state: RunState) -> bool:
    strategy = state.experiment.runtime.rollbacks.strategy
    if strategy in ("always", "never"):
        return strategy == "always"
    # Unlike the Chaos Toolkit's, the default includes failures and interruptions of the method.
    has_gone_wrong = bool(state.findings.deviations or state.findings.ending)
    return state.has_begun_method and (strategy == "default" or has_gone_wrong)


async def _roll_back(state: RunState) -> None:
    if not _is_wanted(state):
        return
    for activity in state.experiment.resolve(state.experiment.rollbacks):
        record = await state.runs.run(activity)
        state.journal.document["rollbacks"].append(record)
        state.journal.note("rollback", activity.name, record["status"])
        if record["status"] == "failed" or record.get("tolerance_met") is False:
            _critical(state, f"The rollback {what_was_wrong(record)}.")
        await state.save()


async def _check_recovery(state: RunState) -> None:
    """Check the steady state until it is back, or the time for it is over."""
    state.journal.enter("steady state after rollback")
    loop, recovery = asyncio.get_running_loop(), state.experiment.iskra.recovery
    began = loop.time()
    while (found := await state.check("after rollback")) is not None:
        if found["steady_state_met"]:
            state.journal.own["recovery_seconds"] = loop.time() - began
            return
        if loop.time() - began >= recovery.within:
            for title in await state.leases.remaining():
                _critical(
                    state, f"The fault {title!r} is still at work on the server, and the steady state is not back."
                )
            state.deviated(
                f"The steady state did not come back within {recovery.within:g} s after everything was taken back: "
                f"{what_was_wrong(found['probes'][-1])}."
            )
            return
        await asyncio.sleep(recovery.every)


async def _lock_experiments(state: RunState) -> None:
    """Raise the alarm on the server, which then takes no new experiments until an admin has looked."""
    own = state.journal.own
    reasons = [state.journal.without_secrets(reason) for reason in state.findings.failed_undo]
    why_not = await raise_alarm(state.context.client, state.experiment.title, own["id"], reasons)
    own["experiments_locked"] = not why_not
    state.journal.note("alarm", "failed rollback", f"not told: {why_not}" if why_not else "experiments are locked")
    await state.save()
