"""One run of an experiment, from the first check of the steady state to the last."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from iskra_chaos.experiments.activity_runs import ActivityRuns, Record, what_was_wrong
from iskra_chaos.experiments.document import Activity, Experiment
from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.extension import Arm, FaultSpec
from iskra_chaos.experiments.fault_leases import FaultLeases, Lease
from iskra_chaos.experiments.guards import GuardWatch
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.providers import Providers
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.statistics import SequentialTest
from iskra_chaos.experiments.undo import UndoRecord, UndoStack, to_the_end
from iskra_chaos.experiments.variables import Variables
from iskra_chaos.experiments.verdict import Ending, EndingKind, Findings, journal_status, judge

logger = logging.getLogger(__name__)

Keep = Callable[[Coroutine[Any, Any, None]], None]
"""Does something beside the method until the run ends."""

_SAVE_EVERY = 1.0  # seconds between two saves while nothing in particular happens


class ExperimentRun:
    """Runs one experiment once.

    Args:
        experiment: What to run; it has been checked against the allow-list.
        variables: Its configuration and secrets.
        journal: Where everything is written down.
        providers: Run its activities.
        context: What its probes may look at.
        leases: Hold its faults.
        load: Its load block, ready to start.
        clearance: Asked for the token of a fault that has none.
    """

    def __init__(
        self,
        experiment: Experiment,
        variables: Variables,
        journal: Journal,
        providers: Providers,
        context: RunContext,
        leases: FaultLeases,
        load: Callable[[Callable[[object, object], Awaitable[bool]], Variables], LoadRun] | None = None,
        clearance: Callable[[FaultSpec], Awaitable[str]] | None = None,
    ) -> None:
        self._experiment = experiment
        self._variables = variables
        self._journal = journal
        self._context = context
        self._leases = leases
        self._make_load = load
        self._clearance = clearance
        self._runs = ActivityRuns(providers, variables, is_dry=bool(experiment.dry))
        self._findings = Findings(is_dry=bool(experiment.dry))
        self._undo = UndoStack()
        self._body: asyncio.Task[None] | None = None
        self._has_begun_method = False
        own = experiment.iskra
        self._sequential: SequentialTest | None = None
        if (bounds := own.sequential) is not None:
            self._sequential = SequentialTest(bounds.p0, bounds.p1, bounds.alpha, bounds.beta)
        self._guards = [GuardWatch(guard, experiment.guard_probes.get(guard.name)) for guard in own.guards]
        self._faults: list[Lease] = []

    def end(self, kind: EndingKind, reason: str) -> None:
        """Cut the run short and take everything back; only the first reason counts, none once the end has begun."""
        if self._body is None or self._body.done() or self._findings.ending is not None:
            return
        logger.info("experiment is cut short", extra={"kind": kind})
        self._findings.ending = Ending(kind, reason)
        self._journal.note("end", kind, reason)
        self._body.cancel()

    def lost(self, lease: Lease) -> None:
        """Take notice of a fault that the server has ended."""
        because = f": {lease.reason}" if lease.reason else ""
        self._journal.note("fault", lease.spec.title, f"ended by the server{because}")
        if lease.spec.on_lost == "abort":
            self.end("aborted", f"The server ended the fault {lease.spec.title!r}{because}.")

    async def run(self) -> None:
        """Run to the end, whatever happens on the way.

        Raises:
            asyncio.CancelledError: The caller was cancelled; everything has been taken back before.
        """
        loop = asyncio.get_running_loop()
        limit = self._experiment.iskra.time_limit
        was_cancelled = False
        timer: asyncio.TimerHandle | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._body = group.create_task(self._go())
                timer = loop.call_later(
                    limit, self.end, "aborted", f"The experiment took longer than its time limit of {limit:g} s."
                )
        except asyncio.CancelledError:
            was_cancelled = True
            self._findings.ending = self._findings.ending or Ending("interrupted", "The run was cancelled.")
        except ExceptionGroup as exc:
            self._findings.failures.append(f"The runner itself failed: {_causes(exc)}.")
            logger.exception("experiment runner failed")
        finally:
            if timer is not None:
                timer.cancel()
            was_cancelled |= await to_the_end(self._finish())
        if was_cancelled:
            raise asyncio.CancelledError

    async def _go(self) -> None:
        strategy = self._experiment.runtime.hypothesis.strategy
        await self._find_out_configuration()
        if strategy in ("default", "before-method-only", "continuously"):
            self._journal.enter("steady state before")
            state = await self._check("before")
            if state is not None and not state["steady_state_met"]:
                self._findings.failures.append(
                    f"The system was not in its steady state to begin with: {what_was_wrong(state['probes'][-1])}."
                )
                return
        self._journal.enter("method")
        await self._journal.save()
        self._has_begun_method = True
        async with asyncio.TaskGroup() as group:
            keepers: list[asyncio.Task[None]] = []

            def keep(work: Coroutine[Any, Any, None]) -> None:
                keepers.append(group.create_task(self._kept(work)))

            keep(self._save_regularly())
            await self._method(group, keep)
            if strategy in ("default", "after-method-only", "continuously"):
                self._journal.enter("steady state after")
                state = await self._check("after")
                if state is not None and not state["steady_state_met"]:
                    self._findings.deviations.append(
                        f"After the method the system was not in its steady state: "
                        f"{what_was_wrong(state['probes'][-1])}."
                    )
            await self._check_expectations()
            for task in keepers:
                task.cancel()

    async def _kept(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the method; when it fails the run ends, instead of going on without it."""
        try:
            await work
        except ActivityError as exc:
            self.end("failed", exc.message)
        except Exception as exc:
            self.end("failed", f"The runner itself failed: {type(exc).__name__}: {exc}.")
            logger.exception("experiment runner failed")

    async def _find_out_configuration(self) -> None:
        for name, probe in self._experiment.configuration_probes().items():
            record = await self._runs.run(probe)
            output = record["output"]
            if record["status"] == "failed":
                self._findings.failures.append(f"The configuration {name!r} is unknown: {what_was_wrong(record)}.")
                self.end("failed", f"The configuration {name!r} could not be found out.")
                await asyncio.sleep(0)
            elif probe.provider.type == "process":
                output = str(output["stdout"]).strip()
            elif probe.provider.type == "http":
                output = output["body"]
            self._variables = Variables({**self._variables.configuration, name: output}, self._variables.secrets)
            self._runs.use(self._variables)

    async def _check(self, when: str) -> Record | None:
        hypothesis = self._experiment.hypothesis
        if hypothesis is None or not hypothesis.probes:
            return None
        state = await self._runs.check(self._experiment.resolve(hypothesis.probes))
        self._journal.note("hypothesis", when, "met" if state["steady_state_met"] else "not met")
        if when == "during":
            self._journal.document["steady_states"]["during"].append(state)
        elif when in ("before", "after"):
            self._journal.document["steady_states"][when] = state
        else:
            self._journal.own["steady_state_after_rollback"] = state
        return state

    async def _method(self, group: asyncio.TaskGroup, keep: Keep) -> None:
        """Everything that happens at the same time: activities, load, faults, guards, continuous checks."""
        own, strategy = self._experiment.iskra, self._experiment.runtime.hypothesis
        if self._make_load is not None and not self._experiment.dry:
            self._context.load = self._make_load(self._runs.judge, self._variables)
            await self._or_fail(self._context.load.prepare())
        timed: list[asyncio.Task[None]] = []
        for spec in own.faults if not self._experiment.dry else ():
            lease = Lease(spec)
            self._faults.append(lease)
            self._context.faults[spec.title] = lease
            if spec.starts_after == 0.0:
                # One after the other and before everything else: the method begins with its faults in place.
                await self._or_fail(self._start_fault(lease, keep))
            if spec.starts_after or spec.lasts is not None:
                timed.append(group.create_task(self._kept(self._time_fault(lease, keep))))
        if strategy.strategy in ("continuously", "during-method-only"):
            keep(self._check_continuously())
        for watch in self._guards:
            keep(watch.watch(self._runs.look, self._context.load, functools.partial(self.end, "aborted")))
        load = [] if self._context.load is None else [group.create_task(self._kept(self._run_load()))]
        self._journal.document["run"] = await self._play(self._experiment.resolve(self._experiment.method), group)
        for task in (*load, *timed):
            await task
        self._journal.note("phase", "method done")

    async def _or_fail(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ActivityError as exc:
            self.end("failed", exc.message)
            await asyncio.sleep(0)  # where the cancellation arrives

    async def _start_fault(self, lease: Lease, keep: Keep) -> None:
        spec, load, arms = lease.spec, self._context.load, self._experiment.iskra.arms
        self._undo.push(f"fault {spec.title}", functools.partial(self._stop_fault, lease))
        clearance = str(self._variables.fill(spec.clearance))
        if not clearance and self._clearance is not None:
            clearance = await self._clearance(spec)
        await self._leases.acquire(
            lease,
            sessions=load.experiment_sessions if load is not None and spec.scope.experiment_arm else (),
            label=arms.label if arms is not None and arms.by == "request" and spec.scope.experiment_arm else "",
            clearance=clearance,
            parameters=self._variables.fill(spec.parameters),
        )
        self._journal.note("fault", spec.title, "started")
        keep(self._leases.keep(lease))

    async def _time_fault(self, lease: Lease, keep: Keep) -> None:
        if lease.spec.starts_after:
            await asyncio.sleep(lease.spec.starts_after)
            await self._start_fault(lease, keep)
        if lease.spec.lasts is not None:
            await asyncio.sleep(lease.spec.lasts)
            await self._stop_fault(lease)

    async def _stop_fault(self, lease: Lease) -> None:
        was_active = lease.state == "active"
        await self._leases.release(lease)
        if was_active and lease.is_over:
            self._journal.note("fault", lease.spec.title, "ended")

    async def _run_load(self) -> None:
        load = self._context.load
        assert load is not None  # noqa: S101 - the only caller has looked
        self._journal.note("load", "load", "started")
        await load.run(self._on_sample)
        self._journal.note("load", "load", "ended")

    def _on_sample(self, arm: Arm, failed: bool) -> None:
        own, test = self._experiment.iskra.sequential, self._sequential
        if own is None or test is None or arm != own.arm or test.decision != "continue":
            return
        decision = test.observe(failed)
        if decision == "reject":
            reason = (
                f"The sequential test found after {test.requests} requests, {test.failures} of them failed, that the "
                f"error rate is nearer to {own.p1:.2%} than to the acceptable {own.p0:.2%}."
            )
            self._findings.deviations.append(reason)
            self.end("deviated", reason)
        elif decision == "accept" and own.stop_when_accepted and self._context.load is not None:
            self._context.load.stop()

    async def _check_continuously(self) -> None:
        runtime = self._experiment.runtime.hypothesis
        while True:
            state = await self._check("during")
            if state is None:
                return
            if not state["steady_state_met"]:
                reason = f"During the method the system left its steady state: {what_was_wrong(state['probes'][-1])}."
                self._findings.deviations.append(reason)
                if runtime.fail_fast:
                    self.end("deviated", reason)
                    return
            await asyncio.sleep(runtime.frequency)

    async def _play(self, activities: Sequence[Activity], group: asyncio.TaskGroup) -> list[Record]:
        """Run activities in their order, those in the background beside the others, and wait for all."""
        shown: list[Record | None] = [None] * len(activities)
        background: list[asyncio.Task[None]] = []
        try:
            for index, activity in enumerate(activities):
                if self._variables.fill(activity.background) in (True, "true", "True"):
                    background.append(group.create_task(self._kept(self._do(activity, shown, index))))
                else:
                    await self._do(activity, shown, index)
            for task in background:
                await task
        finally:
            self._journal.document["run"] = [record for record in shown if record is not None]
        return [record for record in shown if record is not None]

    async def _do(self, activity: Activity, shown: list[Record | None], index: int) -> None:
        undo = self._experiment.undo.get(activity.name)
        if undo is not None and not self._experiment.dry:
            self._undo.push(f"undo {activity.name}", functools.partial(self._undo_activity, undo))
        self._journal.note(activity.type, activity.name, "started")
        record = await self._runs.run(activity)
        shown[index] = record
        self._journal.document["run"] = [known for known in shown if known is not None]
        self._journal.note(activity.type, activity.name, record["status"])
        if activity.type == "action" and record["status"] == "failed":
            self._findings.failures.append(f"The action {what_was_wrong(record)}.")
        elif record.get("tolerance_met") is False:
            self._findings.deviations.append(f"The probe {what_was_wrong(record)}.")
        await self._journal.save()

    async def _undo_activity(self, activity: Activity) -> None:
        record = await self._runs.run(activity)
        if record["status"] == "failed":
            raise ActivityError("; ".join(record.get("exception", ())))

    async def _check_expectations(self) -> None:
        if not self._experiment.expectations:
            return
        self._journal.enter("expectations")
        await self._leases.refresh(self._faults)
        for probe in self._experiment.expectations:
            record = await self._runs.run(probe)
            self._journal.own["expectations"].append(record)
            if record.get("tolerance_met") is False:
                self._findings.deviations.append(f"The expectation {what_was_wrong(record)}.")

    async def _save_regularly(self) -> None:
        while True:
            self._sum_up()
            await self._journal.save()
            await asyncio.sleep(_SAVE_EVERY)

    def _sum_up(self) -> None:
        own, test = self._journal.own, self._sequential
        own["faults"] = [lease.summary() for lease in self._faults]
        own["load"] = self._context.load and self._context.load.summary()
        own["guards"] = [watch.summary() for watch in self._guards]
        if test is not None:
            own["sequential_test"] = {
                "p0": test.p0,
                "p1": test.p1,
                "alpha": test.alpha,
                "beta": test.beta,
                "requests": test.requests,
                "failures": test.failures,
                "decision": test.decision,
            }

    async def _finish(self) -> None:
        """Take everything back, look whether the system is well again, and write down the verdict."""
        self._journal.enter("rollback")
        await self._save()
        await self._undo.unwind(self._on_undone)
        await self._step(self._roll_back())
        await self._step(self._leases.refresh(self._faults))
        if self._has_begun_method and self._experiment.runtime.hypothesis.strategy != "skip":
            await self._step(self._check_recovery())
        self._sum_up()
        findings = self._findings
        findings.faults = self._journal.own["faults"]
        findings.judgements = self._runs.judgements
        self._journal.close(judge(findings), journal_status(findings), deviated=bool(findings.deviations))
        await self._save()

    async def _step(self, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of the end; whatever goes wrong with it, the other parts have their turn."""
        try:
            await work
        except Exception as exc:
            self._findings.failures.append(f"The runner itself failed at the end: {type(exc).__name__}: {exc}.")
            logger.exception("experiment runner failed")

    async def _save(self) -> None:
        try:
            await self._journal.save()
        except OSError as exc:
            # A full disk must not keep faults alive.
            logger.critical("journal could not be written", extra={"cause": exc.strerror})

    async def _on_undone(self, record: UndoRecord) -> None:
        self._journal.own["undo"].append(record.summary())
        self._journal.note("undo", record.name, "succeeded" if record.succeeded else f"failed: {record.error}")
        if not record.succeeded:
            self._critical(f"{record.name!r} could not be taken back: {record.error}.")
        await self._save()

    def _critical(self, text: str) -> None:
        self._findings.failed_undo.append(text)
        self._journal.own["critical"].append(text)
        logger.critical("rollback failed", extra={"experiment": self._experiment.title})

    async def _roll_back(self) -> None:
        strategy, findings = self._experiment.runtime.rollbacks.strategy, self._findings
        has_gone_wrong = bool(findings.deviations or findings.ending)
        wanted = {
            "always": True,
            "never": False,
            # Unlike the Chaos Toolkit's default this includes failures and interruptions of the method.
            "default": self._has_begun_method,
            "deviated": self._has_begun_method and has_gone_wrong,
        }[strategy]
        if not wanted:
            return
        for activity in self._experiment.resolve(self._experiment.rollbacks):
            record = await self._runs.run(activity)
            self._journal.document["rollbacks"].append(record)
            self._journal.note("rollback", activity.name, record["status"])
            if record["status"] == "failed":
                self._critical(f"The rollback {what_was_wrong(record)}.")
            await self._save()

    async def _check_recovery(self) -> None:
        """Check the steady state until it is back, or the time for it is over."""
        self._journal.enter("steady state after rollback")
        loop, recovery = asyncio.get_running_loop(), self._experiment.iskra.recovery
        began = loop.time()
        while True:
            state = await self._check("after rollback")
            if state is None:
                return
            if state["steady_state_met"]:
                self._journal.own["recovery_seconds"] = loop.time() - began
                return
            if loop.time() - began >= recovery.within:
                self._findings.deviations.append(
                    f"The steady state did not come back within {recovery.within:g} s after everything was taken "
                    f"back: {what_was_wrong(state['probes'][-1])}."
                )
                return
            await asyncio.sleep(recovery.every)


def _causes(group: BaseExceptionGroup[BaseException]) -> str:
    parts = [
        _causes(exc) if isinstance(exc, BaseExceptionGroup) else f"{type(exc).__name__}: {exc}"
        for exc in group.exceptions
    ]
    return "; ".join(parts)
