"""What clients send and get, as the specification names it, with the schemas that it leaves undefined."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.balance.bounds import LoadWarning
from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.processes.process import ChaosProcess, ProcessMetrics
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.stabilisers.lease import StabiliserLease

Intensity = Annotated[float, Field(ge=0.1, le=1.0, allow_inf_nan=False, strict=True)]
"""A number: ``true`` and ``"0.5"`` are none."""

Name = Annotated[str, Field(max_length=200)]


class TriggerContext(BaseModel):
    """Where an operation acts: a session, or else a SIFT block.

    Attributes:
        voice_target: The operation acts on answers in this voice only.
        ethical_approval: Accepted and never trusted: the server reviews every operation itself.
        request: The person's words that led to it; the ethics check reads them.
    """

    model_config = ConfigDict(extra="forbid")

    session_id: Name = ""
    sift_block: SIFTBlock | None = None
    voice_target: Name = ""
    ethical_approval: bool = False
    request: Annotated[str, Field(max_length=2000)] = ""


class TriggerConditions(BaseModel):
    """What the caller saw; it is recorded, and leads to ``recommended_operation`` in the answer."""

    model_config = ConfigDict(extra="forbid")

    staleness_level: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    innovation_need: bool = False
    phase_transition: bool = False


class TriggerRequest(BaseModel):
    """The body of ``/chaos/trigger`` and ``/chaos/async``.

    Attributes:
        seed: Repeats an earlier operation exactly.
        accept_modifications: Apply what the ethics check suggests, instead of answering 403 with it.
    """

    model_config = ConfigDict(extra="forbid")

    operation_type: OperationType
    intensity: Intensity
    context: TriggerContext
    trigger_conditions: TriggerConditions = TriggerConditions()
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    accept_modifications: bool = False


class ChaosResponse(BaseModel):
    """The answer to ``/chaos/trigger``.

    Attributes:
        sift_block: The block with what was injected, where the operation acted on a block.
        recommended_operation: What would suit the conditions better, if that is another operation.
    """

    process: ChaosProcess
    sift_block: SIFTBlock | None = None
    recommended_operation: OperationType | None = None
    status_endpoint: str
    revert_endpoint: str


class AsyncAccepted(BaseModel):
    """The answer to ``/chaos/async``; ``estimated_completion`` is the time by which the lease is over at the latest."""

    operation_id: str
    estimated_completion: str
    status_endpoint: str


class OperationStatus(BaseModel):
    """How an operation stands.

    Attributes:
        progress: Share of its answers that were given, in [0, 1].
        current_phase: The status of its process.
    """

    operation_id: str
    status: str
    progress: Annotated[float, Field(ge=0.0, le=1.0)]
    current_phase: str
    estimated_completion: str
    intermediate_results: list[dict[str, Any]]
    quality_metrics: ProcessMetrics
    process: ChaosProcess


class ActiveChaosProcess(BaseModel):
    """A process in a list.

    Attributes:
        turns_left: Answers it still lasts.
        lease_seconds: Seconds until it ends if no answer renews it.
    """

    process: ChaosProcess
    turns_left: int
    lease_seconds: float


class BranchChoice(BaseModel):
    """Which of the branches that `quantum_flux` offered is taken: its `number`; 0 keeps the one that was shown."""

    model_config = ConfigDict(extra="forbid")

    branch: Annotated[int, Field(ge=0, le=9)]


class SessionBalanceView(BaseModel):
    """How the controller sees a session; everything but the stabilisers is ``None`` until it was looked at.

    Attributes:
        tension: Averaged, with its sign and the owner's offset.
        output: What the controller asks for, in [-1, 1]: operations above 0, stabilisers below.
        frozen_because: Why it holds; empty while it does not.
        loads: Share of each stop line that is used up.
        bounded_because: Why the bounds are tighter than the safety envelope.
        metrics_taken: Conversation metrics as the controller takes them, a retune in force included.
    """

    session_id: str
    tension: float | None = None
    set_point: float | None = None
    output: float | None = None
    phase: Literal["acting", "resting", "frozen"] | None = None
    frozen_because: str | None = None
    loads: dict[str, float] | None = None
    warning: LoadWarning | None = None
    readiness: float | None = None
    may_start: bool | None = None
    most_intensity: float | None = None
    bounded_because: list[str] | None = None
    interventions: int | None = None
    metrics_taken: dict[str, float] | None = None
    stabilisers: list[StabiliserLease]


class SessionChoicesBody(BaseModel):
    """What the owner of a session chooses; ``sandbox`` is an admin's to set."""

    model_config = ConfigDict(extra="forbid")

    opt_in: bool | None = None
    stopped: bool | None = None
    automatic: bool | None = None
    sandbox: bool | None = None
    label: Annotated[str, Field(max_length=100)] | None = None


class EmergencyStopRequest(BaseModel):
    """The body of ``/control/emergency_stop``."""

    model_config = ConfigDict(extra="forbid")

    stop_scope: Literal["all", "current_session", "specific_process"] = "current_session"
    emergency_reason: Annotated[str, Field(max_length=500)] = ""
    stabilization_mode: Literal["gradual", "immediate"] = "gradual"
    session_id: Name = ""
    process_id: Name = ""


class EmergencyStopResponse(BaseModel):
    """What was stopped.

    Attributes:
        stopped_processes: The newest hundred of them, without contents where they are other people's.
        stopped_count: All of them.
        stopped_faults: Ids of faults that act no more; after a gradual stop, that fade for three seconds.
        stopped_stabilisers: Ids of stabilisers that were in force and act no more.
        is_locked: Nothing starts until the stop is released.
    """

    stopped_processes: list[ChaosProcess]
    stopped_count: int
    stopped_faults: list[str]
    stopped_stabilisers: list[str] = []
    stabilization_mode: Literal["gradual", "immediate"]
    is_locked: bool


class AnalyzeRequest(BaseModel):
    """The body of ``/sift/chaos_analyze``.

    Attributes:
        session_id: Whose latest turns are the block's neighbours.
    """

    model_config = ConfigDict(extra="forbid")

    sift_block: SIFTBlock
    analysis_depth: Literal["surface", "deep", "comprehensive"]
    session_id: Name = ""
    goal: Annotated[str, Field(max_length=2000)] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class EthicalClearance(BaseModel):
    """What a client says of a clearance; only ``token``, which this server issued, counts."""

    model_config = ConfigDict(extra="forbid")

    approved_by: Name = ""
    concerns: Annotated[list[str], Field(max_length=50)] = []
    modifications_applied: Annotated[list[str], Field(max_length=50)] = []
    token: Annotated[str, Field(max_length=512)] = ""


class InjectRequest(BaseModel):
    """The body of ``/sift/chaos_inject``."""

    model_config = ConfigDict(extra="forbid")

    sift_block: SIFTBlock
    injection_type: Literal[
        "paradox_seeds", "perspective_shifts", "contradiction_points", "uncertainty_zones", "emergence_triggers"
    ]
    ethical_clearance: EthicalClearance
    intensity: Intensity = 0.3
    session_id: Name = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class RevertRequest(BaseModel):
    """The body of ``/sift/chaos_revert``."""

    model_config = ConfigDict(extra="forbid")

    sift_block: SIFTBlock
    intervention_id: Name


class ClearanceRequest(BaseModel):
    """The body of ``/sift/clearance``: what will be injected, exactly."""

    model_config = ConfigDict(extra="forbid")

    sift_block: SIFTBlock
    injection_type: Literal[
        "paradox_seeds", "perspective_shifts", "contradiction_points", "uncertainty_zones", "emergence_triggers"
    ]
    intensity: Intensity = 0.3
    session_id: Name = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
