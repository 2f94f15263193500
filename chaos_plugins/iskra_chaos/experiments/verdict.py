"""What an experiment says in the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

VerdictName = Literal["held", "deviated", "aborted", "failed", "invalid"]

EndingKind = Literal["interrupted", "aborted", "failed", "deviated"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run was cut short.

    Attributes:
        kind: ``interrupted`` by a signal or the caller, ``aborted`` by a guard, a lost fault or the time limit,
            ``failed`` by a mistake, ``deviated`` as the answer was known already.
        reason: One sentence.
    """

    kind: EndingKind
    reason: str


@dataclass(slots=True)
class Findings:
    """Everything the verdict rests on.

    Attributes:
        ending: Set if the run was cut short.
        failures: What went wrong with the experiment itself.
        deviations: What the system did that it should not have done.
        failed_undo: What could not be taken back.
        faults: Summaries of the leases.
        unseen: Activities that should have shown that something happened, and did not.
        judgements: How many results were held against a tolerance.
        is_dry: Whether nothing was really done.
    """

    ending: Ending | None = None
    failures: list[str] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    failed_undo: list[str] = field(default_factory=list)
    faults: Sequence[dict[str, Any]] = ()
    unseen: Sequence[str] = ()
    judgements: int = 0
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with its reasons."""

    name: VerdictName
    reasons: tuple[str, ...]


def judge(findings: Findings) -> Verdict:
    """Return the verdict.

    What makes a result worthless comes before the result: something could not be taken back, the run was cut short,
    the experiment itself went wrong, or a fault was never seen, be it counted or shown by evidence. Only then the
    system's behaviour counts. The other findings follow as further reasons.
    """
    name = _name(findings)
    ending = [findings.ending.reason] if findings.ending else []
    unseen = _doubts(findings)
    by_name = {
        "failed": [*findings.failed_undo, *findings.failures],
        "aborted": ending,
        "invalid": unseen,
        "deviated": findings.deviations,
        "held": [],
    }
    rest = [*findings.failed_undo, *ending, *findings.failures, *findings.deviations]
    if not findings.ending and not findings.failures:
        rest += unseen
    reasons = list(dict.fromkeys([*by_name[name], *rest]))
    if not reasons:
        reasons = [f"All {findings.judgements} checks were within their tolerances, and everything was taken back."]
    return Verdict(name, tuple(reasons))


def _name(findings: Findings) -> VerdictName:
    if findings.failed_undo:
        return "failed"
    if findings.ending and findings.ending.kind in ("interrupted", "aborted"):
        return "aborted"
    if findings.failures or (findings.ending and findings.ending.kind == "failed"):
        return "failed"
    if _doubts(findings):
        return "invalid"
    return "deviated" if findings.deviations else "held"


def _doubts(findings: Findings) -> list[str]:
    if findings.is_dry:
        return ["This was a dry run: nothing was done, so nothing was shown."]
    doubts = [
        f"The fault {fault['name']!r} was observed {fault['observed']} times, and at least "
        f"{fault['minimum_observed']} were expected: whatever was measured, it was not its effect."
        for fault in findings.faults
        if fault["observed"] < fault["minimum_observed"]
    ]
    observed: Counter[str] = Counter()
    for fault in findings.faults:
        observed[fault.get("operation", "")] += fault["observed"]
    doubts += [
        f"None of the faults of the operation {name!r} was observed: whatever was measured, it was not its effect."
        for name, times in observed.items()
        if name and not times
    ]
    doubts += [
        f"{name!r} did not show that what the experiment does has happened: whatever was measured, it was not its "
        "effect."
        for name in findings.unseen
    ]
    if not findings.judgements:
        doubts.append("Nothing was held against a tolerance, so there is no result.")
    return doubts


def journal_status(findings: Findings) -> str:
    """Return the status that the Chaos Toolkit's journal format has for this."""
    if findings.ending and findings.ending.kind in ("interrupted", "aborted"):
        return findings.ending.kind
    failed = findings.failed_undo or findings.failures or findings.deviations or findings.ending
    return "failed" if failed else "completed"
