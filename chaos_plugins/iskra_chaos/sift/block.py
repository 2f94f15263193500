"""The SIFT block: where a thought comes from, how it was inferred, what is known, and what happened to it."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, from_json, to_json

from iskra_chaos.sift.canonical_json import canonical_json
from iskra_chaos.sift.json_bounds import MAX_BYTES, MAX_CHARACTERS, MAX_ITEMS, OutOfBoundsError, check_bounds, escaped
from iskra_chaos.sift.refusals import BlockSchemaError
from iskra_chaos.sift.trace import ChaosIntervention, PhaseTransition
from iskra_chaos.sift.wire_model import WireModel
from iskra_sdk.errors import InputTooLargeError

__all__ = [
    "Fact",
    "Inference",
    "SIFTBlock",
    "Source",
    "Trace",
    "canonical_json",
    "content_hash",
    "content_of",
    "read_block",
]

Unit = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], Field(max_length=MAX_ITEMS)]
Object = dict[str, JsonValue]
Objects = Annotated[list[Object], Field(max_length=MAX_ITEMS)]


class Source(WireModel):
    """Where the content comes from and how far it can be relied on."""

    origin: Text = Field(default="", description="Who or what said it: `user`, `assistant(model, voice)`, a URI.")
    reliability: Unit = Field(default=0.3, description="How far the source can be relied on; .3 is a model alone.")
    context: Object = Field(
        default_factory=dict,
        description="More about the source. Read here: `language`, `evidence` (id to source), `corroboration`.",
    )
    chaos_sensitivity: Unit = Field(default=0.0, description="How much harm unsettling could do; chaos ends at .5.")


class Inference(WireModel):
    """What was concluded, from what, and how surely."""

    logic_chain: Texts = Field(
        default_factory=list,
        description="Steps in order, named s0, s1, …; a trailing `[f0, s1]` names what a step stands on.",
    )
    confidence_level: Unit = Field(default=0.5, description="Confidence in the last conclusion.")
    paradoxical_elements: Texts = Field(
        default_factory=list, description="Tensions held open, and pairs that contradict each other."
    )
    chaos_potential: Unit = Field(default=0.0, description=".4 staleness + .3 contradiction + .3 openness.")


class Fact(WireModel):
    """What is known, what is not, and where something new could start."""

    verified_data: Texts = Field(
        default_factory=list,
        description="Atomic statements, named f0, f1, …; a trailing `[evidence: id]` names the source in the context.",
    )
    uncertainty_zones: Objects = Field(
        default_factory=list, description="What is not certain: `span`, `text`, `reason`, `width`, and more."
    )
    emergence_triggers: Texts = Field(default_factory=list, description="Pairs of concepts far from each other.")
    stability_level: Unit = Field(default=0.5, description="Share of facts that are verified and uncontradicted.")


class Trace(WireModel):
    """What happened to the block. Records are added, never changed; the content hash leaves them out."""

    processing_history: Objects = Field(default_factory=list, description="Operations with actor, time and hashes.")
    chaos_interventions: Annotated[list[ChaosIntervention], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=list, description="Injections with the patches there and back."
    )
    phase_transitions: Annotated[list[PhaseTransition], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=list, description="Changes of phase."
    )


class SIFTBlock(WireModel):
    """Source, inference, fact and trace of one turn or one span of a document.

    A block is at most 1,000,000 bytes as JSON, a list 1,000 items, a string 20,000 characters, and there are at most
    50,000 values, 32 levels in one another. `context` and the entries of `uncertainty_zones` and `processing_history`
    are open objects; all others know their members only.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Unique id of the block.")
    source: Source = Field(description="Where it comes from.")
    inference: Inference = Field(description="What was concluded.")
    fact: Fact = Field(description="What is known.")
    trace: Trace = Field(description="What happened to the block.")

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, raw: Any) -> Any:
        if not isinstance(raw, SIFTBlock):
            check_bounds(raw)
        return raw

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        if len(to_json(self)) > MAX_BYTES:
            raise OutOfBoundsError("", f"the whole is larger than {MAX_BYTES:,} bytes")
        return self

    @field_validator("id")
    @classmethod
    def _is_visible(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError("an id has visible characters only")
        return value


def content_of(block: SIFTBlock) -> dict[str, Any]:
    """Return source, inference and fact as plain JSON values of the caller's own."""
    return block.model_dump(mode="json", include={"source", "inference", "fact"})


def content_hash(block: SIFTBlock) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical JSON of source, inference and fact.

    Members that were left out count with their defaults, and neither the id nor the trace count.
    """
    return hashlib.sha256(canonical_json(content_of(block)).encode()).hexdigest()


def read_block(raw: bytes | str | Mapping[str, object]) -> SIFTBlock:
    """Make a block of JSON text or of a parsed object.

    Raises:
        InputTooLargeError: The text is longer than any block may be; it was not parsed.
        BlockSchemaError: It is no SIFT block; each problem is named with its JSON Pointer.
    """
    if isinstance(raw, bytes | str):
        if len(raw) > 2 * MAX_BYTES:  # spaces and escapes may double what counts
            raise InputTooLargeError(f"A SIFT block has at most {MAX_BYTES:,} bytes, this one {len(raw):,}.")
        try:
            raw = from_json(raw, allow_inf_nan=False)
        except ValueError as exc:
            raise BlockSchemaError([("", f"not JSON: {exc}")]) from exc
    try:
        return SIFTBlock.model_validate(raw)
    except ValidationError as exc:
        raise BlockSchemaError([_problem(error) for error in exc.errors(include_url=False)]) from exc


def _problem(error: ErrorDetails) -> tuple[str, str]:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, OutOfBoundsError):
        path, _, reason = str(cause).partition(": ")
        return path, reason
    return "".join(f"/{escaped(str(step))}" for step in error["loc"]), error["msg"]
