"""The bodies of the voices' routes. Names and values are those of the specification."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iskra_metrics.reading import Reading
from iskra_voices.choice import Signals
from iskra_voices.policy import Purpose
from iskra_voices.tension import CONFLICT_FROM, ESCALATIONS, STRATEGIES, Conflict

Protocol = Literal["sequential", "parallel", "emergent", "adaptive"]
_NAMES = ["kain", "pino", "sam", "anhantha", "hundun", "iskriv", "искра", "iskra"]

VoiceName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="A voice by its id or an alias, in any case and script.",
        json_schema_extra={"examples": _NAMES},
    ),
]
Share = Annotated[float, Field(ge=0, le=1)]


class ActivationContext(BaseModel):
    """Why a voice is wanted."""

    model_config = ConfigDict(extra="ignore")

    session_id: str = Field(default="", max_length=100, description="The session.")
    chaos_intent: str = Field(
        default="", max_length=2000, description="What it is wanted for, in words; the voice is told in these turns."
    )
    sensitivity_level: Share = Field(default=0.0, description="From .5, playful and breaking voices are damped.")
    urgency_level: Share = Field(default=0.0, description="The least activation level.")


class VoiceActivationRequest(BaseModel):
    """Ask for a voice."""

    voice_type: VoiceName
    interaction_purpose: Purpose
    context: ActivationContext
    turns: int = Field(default=6, ge=1, le=50, description="Coming turns of `voice:auto` for which it holds.")
    session_id: str = Field(default="", max_length=100, description="The session, where the context does not name it.")


class MetricReading(BaseModel):
    """One metric."""

    value: float
    n_turns: int
    confidence: float
    parts: dict[str, float]


class VoiceConflict(BaseModel):
    """Two voices that do not go together now."""

    voices: list[str]
    tension: Share
    kind: Literal["function", "statement"]
    resolver: str
    resolution: str = ""


class VoiceActivationResponse(BaseModel):
    """What came of asking for a voice."""

    session_id: str
    voice_type: str = Field(description="The canonical id.")
    activation_level: Share
    coordination_role: str
    interaction_purpose: Purpose
    fits_purpose: bool = Field(description="Whether the voice is there for this purpose.")
    reason: str
    model: str = Field(description="The model id whose coming turns it answers.")
    turns: int
    metrics: dict[str, MetricReading]
    conflicts: list[VoiceConflict]
    activated_at: datetime


class CollaborativeTask(BaseModel):
    """What the voices work on."""

    model_config = ConfigDict(extra="ignore")

    task_type: str = Field(default="", max_length=200, description="What kind of task it is; the voices are told.")
    content: str = Field(
        default="", max_length=20_000, description="The task in words; the session's last message by default."
    )
    priority: float = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="Who waits with a higher one goes first, up to two minutes before who came earlier.",
    )
    success_criteria: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=list, max_length=20
    )


class CollaborationRequest(BaseModel):
    """Have several voices work on a task."""

    primary_voice: VoiceName
    collaborating_voices: list[VoiceName] = Field(max_length=8)
    collaborative_task: CollaborativeTask
    coordination_protocol: Protocol = "adaptive"
    round_budget: int = Field(default=1, ge=1, le=3)
    session_id: str = Field(default="", max_length=100)


class Contribution(BaseModel):
    """What one voice said."""

    voice_type: str
    round: int
    text: str
    unmet_demands: list[str]
    at: datetime


class CriterionResult(BaseModel):
    """Whether a success criterion is met, and how that was found out."""

    criterion: str
    met: bool
    how: str


class LeftOut(BaseModel):
    """A voice that did not speak, or could not."""

    voice_type: str
    reason: str


class ActiveVoice(BaseModel):
    """A voice that took part in a session."""

    voice_type: str
    activation_level: Share
    coordination_role: str
    last_interaction: datetime


class ConflictResolution(BaseModel):
    """How conflicts between voices are found and resolved."""

    conflict_detection_threshold: float = CONFLICT_FROM
    resolution_strategies: list[str] = list(STRATEGIES)
    escalation_triggers: list[str] = list(ESCALATIONS)


class VoiceCoordination(BaseModel):
    """How the voices of a session stand."""

    session_id: str
    active_voices: list[ActiveVoice]
    coordination_protocol: Protocol
    conflict_resolution: ConflictResolution = Field(default_factory=ConflictResolution)


class CollaborationResponse(BaseModel):
    """What came of working together."""

    collaboration_id: str
    status: Literal["completed", "criteria_unmet", "out_of_time"]
    coordination_protocol: Literal["sequential", "parallel", "emergent"] = Field(description="The one that was used.")
    rounds: int
    contributions: list[Contribution] = Field(description="In the order in which they were given.")
    synthesis: Contribution | None = Field(description="Iskra's closing answer.")
    conflicts: list[VoiceConflict]
    success_criteria: list[CriterionResult]
    left_out: list[LeftOut]
    metrics: dict[str, float]
    model_calls: int
    usage: dict[str, int]
    waited_seconds: float = Field(description="Until there was a place to work in.")
    coordination: VoiceCoordination


class ConversationMetricsResponse(BaseModel):
    """The metrics of a session."""

    session_id: str
    turn: int = Field(description="Number of the last turn that is counted; 0 before the first.")
    metrics: dict[str, MetricReading]


def reading_wire(reading: Reading) -> MetricReading:
    """Return a reading as it goes over the wire."""
    return MetricReading(
        value=reading.value, n_turns=reading.n_turns, confidence=reading.confidence, parts=dict(reading.parts)
    )


def conflict_wire(conflict: Conflict, resolution: str = "") -> VoiceConflict:
    """Return a conflict as it goes over the wire."""
    return VoiceConflict(
        voices=list(conflict.voices),
        tension=max(0.0, min(1.0, conflict.tension)),
        kind=conflict.kind,
        resolver=conflict.resolver,
        resolution=resolution,
    )


def signals_wire(signals: Signals) -> dict[str, Any]:
    """Return the metrics that the choice of voices looks at."""
    names = ("staleness", "drift", "clarity", "chaos", "trust", "pain", "silence")
    return {name: round(getattr(signals, name), 4) for name in names}
