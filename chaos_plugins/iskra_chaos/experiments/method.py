"""The method of an experiment: activities, load, faults, guards and checks, all at the same time."""

import asyncio
import functools
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from iskra_chaos.experiments.activity_runs import Record, what_was_wrong
from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.fault_leases import Lease
from iskra_chaos.experiments.files.document import Activity
from iskra_chaos.experiments.files.extension import Arm
from iskra_chaos.experiments.guards import GuardWatch
from iskra_chaos.experiments.run_state import RunState
from iskra_chaos.experiments.statistics import SequentialTest

logger = logging.getLogger(__name__)

_SAVE_EVERY = 1.0  # seconds between two saves while nothing in particular happens

Work = Coroutine[Any, Any, None]


class Method:
    """Does what the experiment is about.

    Args:
        state: Of the run.
        group: Owns the tasks of the method.
    """

    def __init__(self, state: RunState, group: asyncio.TaskGroup) -> None:
        self._state = state
        self._experiment = state.experiment
        self._journal = state.journal
        self._group = group
        self._beside: list[asyncio.Task[None]] = []
        own = state.experiment.iskra
        self._guards = [GuardWatch(guard, self._experiment.guard_probes.get(guard.name)) for guard in own.guards]
        self._sequential: SequentialTest | None = None
        if (bounds := own.sequential) is not None:
            self._sequential = SequentialTest(bounds.p0, bounds.p1, bounds.alpha, bounds.beta)

    async def run(self) -> None:
        """Run until the activities, the load and the faults with a time of their own have ended.

        What holds the faults and watches the system goes on until :meth:`stop`.
        """
        own, is_dry, context = self._experiment.iskra, bool(self._experiment.dry), self._state.context
        self._keep(self._save_regularly())
        if self._state.make_load is not None and not is_dry:
            context.load = self._state.make_load(self._state.runs.judge, self._state.variables)
            await self._or_end(context.load.prepare())
        waited_for: list[asyncio.Task[None]] = []
        for spec in own.all_faults if not is_dry else ():
            lease = Lease(spec)
            self._state.faults.append(lease)
            context.faults[spec.title] = lease
            if spec.starts_after == 0.0:
                # One after the other and before everything else: the method begins with its faults in place.
                await self._or_end(self._start_fault(lease))
            if spec.starts_after or spec.lasts is not None:
                waited_for.append(self._task(self._time_fault(lease)))
        if self._experiment.runtime.hypothesis.strategy in ("continuously", "during-method-only"):
            self._keep(self._check_continuously())
        for watch in self._guards:
            self._keep(watch.watch(self._state.runs.look, context.load, functools.partial(self._state.end, "aborted")))
        if context.load is not None:
            waited_for.append(self._task(self._run_load()))
        await self._play(self._experiment.resolve(self._experiment.method))
        for task in waited_for:
            await task
        self._journal.note("phase", "method done")

    def stop(self) -> None:
        """Let go of what goes on beside the method."""
        for task in self._beside:
            task.cancel()

    def sum_up(self) -> None:
        """Write down how faults, load, guards and the sequential test stand."""
        own, test, load = self._journal.own, self._sequential, self._state.context.load
        own["faults"] = [lease.summary() for lease in self._state.faults]
        own["evidence"] = [
            {"name": name, "seen": self._state.evidence.get(name, False)} for name in self._experiment.iskra.evidence
        ]
        own["load"] = load.summary() if load is not None else None
        own["guards"] = [watch.summary() for watch in self._guards]
        if test is not None:
            own["sequential_test"] = {
                name: getattr(test, name) for name in ("p0", "p1", "alpha", "beta", "requests", "failures", "decision")
            }

    def _task(self, work: Work) -> asyncio.Task[None]:
        task = self._group.create_task(self._guarded(work))
        task.add_done_callback(lambda _: work.close())  # a task that is cancelled before its first step never begins it
        return task

    def _keep(self, work: Work) -> None:
        self._beside.append(self._task(work))

    async def _guarded(self, work: Work) -> None:
        """Do something beside the rest; when it fails the run ends, instead of going on without it."""
        try:
            await work
        except ActivityError as exc:
            self._state.end("failed", exc.message)
        except Exception as exc:
            self._state.end("failed", f"The runner itself failed: {type(exc).__name__}: {exc}.")
            logger.exception("experiment runner failed")

    async def _or_end(self, work: Work) -> None:
        try:
            await work
        except ActivityError as exc:
            await self._state.end_here(exc.message)

    async def _start_fault(self, lease: Lease) -> None:
        spec, load, arms = lease.spec, self._state.context.load, self._experiment.iskra.arms
        self._state.undo.push(f"fault {spec.title}", functools.partial(self._stop_fault, lease))
        clearance = str(self._state.variables.fill(spec.clearance))
        if not clearance and self._state.clearance is not None:
            clearance = await self._state.clearance(spec)
        is_split = spec.scope.experiment_arm
        await self._state.leases.acquire(
            lease,
            sessions=load.experiment_sessions if load is not None and is_split else (),
            label=arms.label if arms is not None and arms.by == "request" and is_split else "",
            clearance=clearance,
            parameters=self._state.variables.fill(spec.parameters),
        )
        self._journal.note("fault", spec.title, "started")
        self._keep(self._state.leases.keep(lease))

    async def _time_fault(self, lease: Lease) -> None:
        if lease.spec.starts_after:
            await asyncio.sleep(lease.spec.starts_after)
            await self._start_fault(lease)
        if lease.spec.lasts is not None:
            await asyncio.sleep(lease.spec.lasts)
            await self._stop_fault(lease)

    async def _stop_fault(self, lease: Lease) -> None:
        was_active = lease.state == "active"
        await self._state.leases.release(lease)
        if was_active and lease.is_over:
            self._journal.note("fault", lease.spec.title, "ended")

    async def _run_load(self) -> None:
        load = self._state.context.load
        assert load is not None  # noqa: S101 - the only caller has looked
        self._journal.note("load", "load", "started")
        await load.run(self._on_sample)
        self._journal.note("load", "load", "ended")

    def _on_sample(self, arm: Arm, failed: bool) -> None:
        own, test, load = self._experiment.iskra.sequential, self._sequential, self._state.context.load
        if own is None or test is None or arm != own.arm or test.decision != "continue":
            return
        decision = test.observe(failed)
        if decision == "reject":
            reason = (
                f"The sequential test found after {test.requests} requests, {test.failures} of them failed, that the "
                f"error rate is nearer to {own.p1:.2%} than to the acceptable {own.p0:.2%}."
            )
            self._state.deviated(reason)
            self._state.end("deviated", reason)
        elif decision == "accept" and own.stop_when_accepted and load is not None:
            load.stop()

    async def _check_continuously(self) -> None:
        runtime = self._experiment.runtime.hypothesis
        while (state := await self._state.check("during")) is not None:
            if not state["steady_state_met"]:
                reason = f"During the method the system left its steady state: {what_was_wrong(state['probes'][-1])}."
                self._state.deviated(reason)
                if runtime.fail_fast:
                    self._state.end("deviated", reason)
                    return
            await asyncio.sleep(runtime.frequency)

    async def _play(self, activities: Sequence[Activity]) -> None:
        """Run activities in their order, those in the background beside the others, and wait for all."""
        shown: list[Record | None] = [None] * len(activities)
        background: list[asyncio.Task[None]] = []
        for index, activity in enumerate(activities):
            if self._state.variables.fill(activity.background) in (True, "true", "True"):
                background.append(self._task(self._do(activity, shown, index)))
            else:
                await self._do(activity, shown, index)
        for task in background:
            await task

    async def _do(self, activity: Activity, shown: list[Record | None], index: int) -> None:
        undo = self._experiment.undo.get(activity.name)
        if undo is not None and not self._experiment.dry:
            self._state.undo.push(f"undo {activity.name}", functools.partial(self._undo, undo))
        self._journal.note(activity.type, activity.name, "started")
        record = await self._state.runs.run(activity)
        shown[index] = record
        # In the order of the file, whatever ended first.
        self._journal.document["run"] = [known for known in shown if known is not None]
        self._journal.note(activity.type, activity.name, record["status"])
        await self._state.weigh(record)
        if activity.type == "action" and record["status"] == "failed":
            self._state.findings.failures.append(f"The action {what_was_wrong(record)}.")
        elif record.get("tolerance_met") is False:
            self._state.deviated(f"The probe {what_was_wrong(record)}.")
        await self._journal.save()

    async def _undo(self, activity: Activity) -> None:
        record = await self._state.runs.run(activity)
        if record["status"] == "failed" or record.get("tolerance_met") is False:
            raise ActivityError("; ".join(record.get("exception", ())) or what_was_wrong(record))

    async def _save_regularly(self) -> None:
        while True:
            self.sum_up()
            await self._journal.save()
            await asyncio.sleep(_SAVE_EVERY)
