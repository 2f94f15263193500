"""A chaos process: one operation from its request to its end, and the steps it may take."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.ethics.operation import OperationType
from iskra_sdk.errors import ConflictError


class ProcessStatus(StrEnum):
    """Where a process stands; the specification's five, and three it lacks."""

    INITIATED = "initiated"
    ACTIVE = "active"
    STABILIZING = "stabilizing"
    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    """The ethics check did not let it start."""
    ABORTED = "aborted"
    """It was stopped: by a person, an alert, the ethics monitor, or because its lease ran out."""
    ROLLED_BACK = "rolled_back"
    """What it changed is taken back."""


_NEXT: Mapping[ProcessStatus, frozenset[ProcessStatus]] = {
    ProcessStatus.INITIATED: frozenset(
        {
            ProcessStatus.ACTIVE,
            ProcessStatus.REJECTED,
            ProcessStatus.ABORTED,
            ProcessStatus.FAILED,
            ProcessStatus.ROLLED_BACK,
        }
    ),
    ProcessStatus.ACTIVE: frozenset(
        {ProcessStatus.STABILIZING, ProcessStatus.ABORTED, ProcessStatus.FAILED, ProcessStatus.ROLLED_BACK}
    ),
    ProcessStatus.STABILIZING: frozenset(
        {ProcessStatus.COMPLETED, ProcessStatus.ABORTED, ProcessStatus.FAILED, ProcessStatus.ROLLED_BACK}
    ),
    ProcessStatus.COMPLETED: frozenset({ProcessStatus.ROLLED_BACK}),
    ProcessStatus.ABORTED: frozenset({ProcessStatus.ROLLED_BACK}),
    ProcessStatus.FAILED: frozenset({ProcessStatus.ROLLED_BACK}),
    ProcessStatus.REJECTED: frozenset(),
    ProcessStatus.ROLLED_BACK: frozenset(),
}

RUNNING = frozenset({ProcessStatus.INITIATED, ProcessStatus.ACTIVE, ProcessStatus.STABILIZING})
"""Statuses of a process that still acts or is about to."""


class EthicalApproval(BaseModel, defer_build=True):
    """What the ethics check said to a process.

    Attributes:
        approved_by: The rules' version and the reviewers; never the person who asked.
        violations: Ids of the rules that objected.
    """

    approved: bool
    decision: Literal["approve", "modify", "reject"]
    approved_by: str
    violations: list[str] = Field(default_factory=list)
    concerns: list[str] = Field(default_factory=list)
    modifications_applied: list[str] = Field(default_factory=list)
    at: datetime


class ProcessMetrics(BaseModel, defer_build=True):
    """What was measured on the answers; zeros mean that nothing was measured yet.

    Attributes:
        entropy_increase: Change of the normalised word entropy of answers, in [-1, 1].
        complexity_boost: Concepts per answer that the answers before did not have.
        emergence_indicators: New concepts that were linked to at least two inputs.
    """

    entropy_increase: float = 0.0
    complexity_boost: float = 0.0
    emergence_indicators: list[str] = Field(default_factory=list)


class Transition(BaseModel, defer_build=True):
    """One entry of a process's journal."""

    status: ProcessStatus
    at: datetime
    reason: str = ""


class ChaosProcess(BaseModel):
    """One operation, as the API shows it.

    Attributes:
        estimated_duration: Seconds until its lease runs out at the latest.
        affected_components: What it acts on, e.g. ``session/<id>``.
        owner: Whose it is: who asked, or whose session it concerns.
        initiator: Who started it; ``balance`` where nobody asked.
        requested: Answers or calls that it could have acted on.
        applied: Those it acted on.
        observed: Those where the effect was seen.
        changes: What it changes, in words for the person concerned; they quote the conversation.
        trigger_conditions: What the caller said of the session; it is recorded and decides nothing.
        recommended_operation: The operation that these conditions, and what the server read, call for.
        metrics_before: Conversation metrics when it started.
        metrics_after: The same when it ended; empty before.
        regenerated: An answer did not keep what was asked for, and the plain one was drawn in its place.
        failed_checks: Which checks it failed.
        history: Every status it had.
    """

    model_config = ConfigDict(validate_assignment=True, defer_build=True)

    id: str
    type: OperationType
    intensity: float = Field(ge=0.1, le=1.0)
    status: ProcessStatus
    session_id: str = ""
    owner: str = ""
    initiator: str = ""
    seed: int = 0
    start_time: datetime
    estimated_duration: int = 0
    affected_components: list[str] = Field(default_factory=list)
    ethical_approvals: list[EthicalApproval] = Field(default_factory=list)
    chaos_metrics: ProcessMetrics = Field(default_factory=ProcessMetrics)
    requested: int = 0
    applied: int = 0
    observed: int = 0
    changes: list[str] = Field(default_factory=list)
    trigger_conditions: dict[str, Any] = Field(default_factory=dict)
    recommended_operation: OperationType | None = None
    metrics_before: dict[str, float] = Field(default_factory=dict)
    metrics_after: dict[str, float] = Field(default_factory=dict)
    intermediate_results: list[dict[str, Any]] = Field(default_factory=list)
    cost_calls: int = 0
    regenerated: bool = False
    failed_checks: list[str] = Field(default_factory=list)
    history: list[Transition] = Field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """Whether it still acts or is about to."""
        return self.status in RUNNING

    @property
    def for_others(self) -> "ChaosProcess":
        """The process without anything that quotes the conversation, for people whose it is not."""
        return self.model_copy(
            update={
                "changes": [],
                "intermediate_results": [],
                "ethical_approvals": [
                    approval.model_copy(update={"concerns": [], "modifications_applied": []})
                    for approval in self.ethical_approvals
                ],
                "chaos_metrics": self.chaos_metrics.model_copy(update={"emergence_indicators": []}),
            }
        )

    def move(self, status: ProcessStatus, at: datetime, reason: str = "") -> None:
        """Take the next step.

        Raises:
            ConflictError: A process in its status cannot take it.
        """
        if status not in _NEXT[self.status]:
            raise ConflictError(
                f"The process {self.id} is {self.status} and cannot become {status}.",
                mend="Read its status first.",
                facts={"process_id": self.id, "status": self.status},
            )
        self.status = status
        self.history.append(Transition(status=status, at=at, reason=reason))
