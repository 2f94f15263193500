"""What the parts of one run share: what is being run, what was found so far, and how to cut it short."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from iskra_chaos.experiments.activity_runs import ActivityRuns, Record
from iskra_chaos.experiments.fault_leases import FaultLeases, Lease
from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.journal import Journal
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.run_context import RunContext
from iskra_chaos.experiments.undo import UndoStack
from iskra_chaos.experiments.verdict import Ending, EndingKind, Findings

logger = logging.getLogger(__name__)

MakeLoad = Callable[[Callable[[object, object], Awaitable[bool]], Variables], LoadRun]
"""Makes the load block's run from what judges an answer and what fills its names."""

_MOST_CHECKS = 1000  # checks during the method that the journal keeps, the latest ones
_MOST_DEVIATIONS = 20  # sentences; a long run of failed checks says the same again and again


@dataclass(slots=True)
class RunState:
    """One run.

    Attributes:
        experiment: What is run; it has been checked against the allow-list.
        variables: Its configuration and secrets.
        journal: Where everything is written down.
        context: What its probes may look at.
        leases: Hold its faults.
        runs: Runs its activities.
        make_load: For its load block.
        clearance: Asked for the token of a fault that has none.
        findings: What the verdict will rest on.
        undo: What has to be taken back.
        faults: Those that were asked for, or will be.
        evidence: By the name of an activity that shows whether something happened: whether it did. Those that have not
            run yet are missing.
        body: The task that is cancelled to cut the run short.
        has_begun_method: Whether anything has been done that rollbacks are for.
    """

    experiment: Experiment
    variables: Variables
    journal: Journal
    context: RunContext
    leases: FaultLeases
    runs: ActivityRuns
    make_load: MakeLoad | None = None
    clearance: Callable[[DeclaredFault], Awaitable[str]] | None = None
    findings: Findings = field(default_factory=Findings)
    undo: UndoStack = field(default_factory=UndoStack)
    faults: list[Lease] = field(default_factory=list)
    evidence: dict[str, bool] = field(default_factory=dict)
    body: asyncio.Task[None] | None = None
    has_begun_method: bool = False

    def end(self, kind: EndingKind, reason: str) -> None:
        """Cut the run short and take everything back; only the first reason counts, none once the end has begun."""
        if self.body is None or self.body.done() or self.findings.ending is not None:
            return
        logger.info("experiment is cut short", extra={"kind": kind})
        self.findings.ending = Ending(kind, reason)
        self.journal.note("end", kind, reason)
        self.body.cancel()

    async def end_here(self, reason: str) -> None:
        """End as failed from within the body, and wait for the cancellation to arrive."""
        self.end("failed", reason)
        await asyncio.sleep(0)

    def lost(self, lease: Lease) -> None:
        """Take notice of a fault that the server has ended, or whose server is gone."""
        if lease.state == "unreachable":
            self.journal.note("fault", lease.spec.title, lease.reason)
            told = f"The server is gone: of the fault {lease.spec.title!r} {lease.reason}."
        else:
            because = f": {lease.reason}" if lease.reason else ""
            self.journal.note("fault", lease.spec.title, f"ended by the server{because}")
            told = f"The server ended the fault {lease.spec.title!r}{because}."
        if lease.spec.on_lost == "abort":
            self.end("aborted", told)

    def deviated(self, reason: str) -> None:
        """Remember that the system did what it should not."""
        if len(self.findings.deviations) < _MOST_DEVIATIONS:
            self.findings.deviations.append(reason)

    async def weigh(self, record: Record) -> None:
        """Take notice of an activity whose output shows whether what the experiment does happened at all."""
        name = record["activity"]["name"]
        tolerance = self.experiment.iskra.evidence.get(name)
        if tolerance is None or self.experiment.dry:
            return
        is_seen = record["status"] == "succeeded" and await self.runs.judge(tolerance, record["output"])
        self.evidence[name] = is_seen
        self.journal.note("evidence", name, "seen" if is_seen else "not seen")

    def use(self, variables: Variables) -> None:
        """Fill names from here on with other variables."""
        self.variables = variables
        self.runs.use(variables)

    async def check(self, when: str) -> Record | None:
        """Check the steady state and write it down; ``None`` without a hypothesis.

        Args:
            when: ``before``, ``during``, ``after`` or ``after rollback``.
        """
        hypothesis = self.experiment.hypothesis
        if hypothesis is None or not hypothesis.probes:
            return None
        state = await self.runs.check(self.experiment.resolve(hypothesis.probes))
        self.journal.note("hypothesis", when, "met" if state["steady_state_met"] else "not met")
        states = self.journal.document["steady_states"]
        if when == "during":
            states["during"] = [*states["during"][1 - _MOST_CHECKS :], state]
        elif when in states:
            states[when] = state
        else:
            self.journal.own["steady_state_after_rollback"] = state
        return state

    async def save(self) -> None:
        """Write the journal; where that fails, e.g. on a full disk, the run is undone all the same."""
        try:
            await self.journal.save()
        except OSError as exc:
            logger.critical("journal could not be written", extra={"cause": exc.strerror})
