"""One run of an experiment, from the first check of the steady state to the verdict."""

import asyncio
import logging

from iskra_chaos.experiments.activity_runs import what_was_wrong
from iskra_chaos.experiments.aftermath import take_back
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.method import Method
from iskra_chaos.experiments.run_state import RunState
from iskra_chaos.experiments.undo import to_the_end
from iskra_chaos.experiments.verdict import Ending, journal_status, judge

logger = logging.getLogger(__name__)


class ExperimentRun:
    """Runs one experiment once.

    Args:
        state: What to run and with what.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._method: Method | None = None

    async def run(self) -> None:
        """Run to the end, whatever happens on the way.

        Raises:
            asyncio.CancelledError: The caller was cancelled; everything has been taken back before.
        """
        state, limit = self._state, self._state.experiment.iskra.time_limit
        was_cancelled = False
        too_long = f"The experiment took longer than its time limit of {limit:g} s."
        timer = asyncio.get_running_loop().call_later(limit, state.end, "aborted", too_long)
        try:
            async with asyncio.TaskGroup() as group:
                state.body = group.create_task(self._go())
        except asyncio.CancelledError:
            was_cancelled = True
            state.findings.ending = state.findings.ending or Ending("interrupted", "The run was cancelled.")
        except ExceptionGroup as exc:
            state.findings.failures.append(f"The runner itself failed: {_causes(exc)}.")
            logger.exception("experiment runner failed")
        finally:
            timer.cancel()
            was_cancelled |= await to_the_end(self._finish())
        if was_cancelled:
            raise asyncio.CancelledError

    async def _go(self) -> None:
        state = self._state
        strategy = state.experiment.runtime.hypothesis.strategy
        await self._find_out_configuration()
        if strategy in ("default", "before-method-only", "continuously"):
            state.journal.enter("steady state before")
            found = await state.check("before")
            if found is not None and not found["steady_state_met"]:
                state.findings.failures.append(
                    f"The system was not in its steady state to begin with: {what_was_wrong(found['probes'][-1])}."
                )
                return
        state.journal.enter("method")
        await state.journal.save()
        state.has_begun_method = True
        async with asyncio.TaskGroup() as group:
            self._method = Method(state, group)
            await self._method.run()
            if strategy in ("default", "after-method-only", "continuously"):
                state.journal.enter("steady state after")
                found = await state.check("after")
                if found is not None and not found["steady_state_met"]:
                    wrong = what_was_wrong(found["probes"][-1])
                    state.deviated(f"After the method the system was not in its steady state: {wrong}.")
            await self._check_expectations()
            self._method.stop()

    async def _find_out_configuration(self) -> None:
        state = self._state
        for name, probe in state.experiment.configuration_probes().items():
            record = await state.runs.run(probe)
            if record["status"] == "failed":
                await state.end_here(f"The configuration {name!r} could not be found out: {what_was_wrong(record)}.")
            output = record["output"]
            if probe.provider.type == "process" and output is not None:
                output = str(output["stdout"]).strip()
            elif probe.provider.type == "http" and output is not None:
                output = output["body"]
            state.use(Variables({**state.variables.configuration, name: output}, state.variables.secrets))

    async def _check_expectations(self) -> None:
        state = self._state
        if not state.experiment.expectations:
            return
        state.journal.enter("expectations")
        await state.leases.refresh(state.faults)
        for probe in state.experiment.expectations:
            record = await state.runs.run(probe)
            state.journal.own["expectations"].append(record)
            await state.weigh(record)
            if record.get("tolerance_met") is False:
                state.deviated(f"The expectation {what_was_wrong(record)}.")

    async def _finish(self) -> None:
        state, findings = self._state, self._state.findings
        await take_back(state)
        if self._method is not None:
            self._method.sum_up()
        findings.faults = state.journal.own["faults"]
        findings.unseen = [name for name in state.experiment.iskra.evidence if not state.evidence.get(name)]
        findings.judgements = state.runs.judgements
        state.journal.close(judge(findings), journal_status(findings), deviated=bool(findings.deviations))
        await state.save()


def _causes(group: BaseExceptionGroup[BaseException]) -> str:
    parts = [
        _causes(exc) if isinstance(exc, BaseExceptionGroup) else f"{type(exc).__name__}: {exc}"
        for exc in group.exceptions
    ]
    return "; ".join(parts)
