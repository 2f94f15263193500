"""What happened to a block: the append-only records in its trace."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from iskra_chaos.sift.wire_model import WireModel

InjectionType = Literal[
    "paradox_seeds", "perspective_shifts", "contradiction_points", "uncertainty_zones", "emergence_triggers"
]
Phase = Literal["order", "edge", "turbulence", "reset", "consolidation"]
Intensity = Annotated[float, Field(ge=0.1, le=1.0, allow_inf_nan=False)]
ContentHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(max_length=200)]


class PatchStep(WireModel):
    """One operation of a JSON Patch (RFC 6902) on a block; injections never move, copy or test."""

    op: Literal["add", "remove", "replace"] = Field(description="What is done at `path`.")
    path: Annotated[str, Field(max_length=1_000)] = Field(description="JSON Pointer (RFC 6901) into the block.")
    value: JsonValue = Field(default=None, description="The new value; absent in meaning for `remove`.")

    def as_operation(self) -> dict[str, JsonValue]:
        """Return the operation as RFC 6902 writes it."""
        operation: dict[str, JsonValue] = {"op": self.op, "path": self.path}
        return operation if self.op == "remove" else {**operation, "value": self.value}


class ChaosIntervention(WireModel):
    """One change that was made to a block on purpose, or the taking back of one."""

    id: Name = Field(description="Unique within the block.")
    injection_type: InjectionType = Field(description="What kind of element was injected.")
    intensity: Intensity = Field(description="How much was asked for.")
    seed: int = Field(default=0, description="The same seed, block and type give the same elements.")
    at: datetime | None = Field(default=None, description="When it was made; null where the caller did not say.")
    actor: Name = Field(default="", description="Who made it.")
    sandbox: bool = Field(default=False, description="Whether the block is a shadow copy that no user sees.")
    tag: Literal["HYP", "CANARY"] = Field(default="HYP", description="The mark on each injected element.")
    forward: list[PatchStep] = Field(default_factory=list, max_length=1_000, description="The change itself.")
    inverse: list[PatchStep] = Field(default_factory=list, max_length=1_000, description="The change back.")
    before_hash: ContentHash = Field(description="Content hash before the change.")
    after_hash: ContentHash = Field(description="Content hash after it.")
    verify: Annotated[str, Field(max_length=1_000)] = Field(
        default="", description="The effect that shows in the answer when the injection works."
    )
    reverts: Name = Field(default="", description="Id of the intervention that this record takes back; else empty.")


class PhaseTransition(WireModel):
    """A change of a block, or of the conversation it is from, from one phase to another."""

    from_phase: Phase = Field(description="The phase that ended.")
    to_phase: Phase = Field(description="The phase that began.")
    at: datetime | None = Field(default=None, description="When; null where it is not known.")
    cause: Annotated[str, Field(max_length=1_000)] = Field(default="", description="What brought it about, in words.")
    chaos_level: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="The chaos metric at that moment."
    )
    stability_level: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="The stability metric at that moment."
    )


class ProcessingRecord(WireModel):
    """One entry of `processing_history` as we write it; entries of others may hold other members."""

    op: Name = Field(description="What was done, e.g. `build`, `inject:paradox_seeds`, `revert`.")
    actor: Name = Field(default="", description="Who did it.")
    at: str = Field(default="", max_length=64, description="ISO 8601 time; empty where it is not known.")
    in_hash: str = Field(default="", max_length=64, description="Content hash before; empty for a new block.")
    out_hash: str = Field(default="", max_length=64, description="Content hash after.")
