"""The answers of `/sift/chaos_analyze`: what an analysis tells, at each of its three depths.

The models stand apart from what fills them, so that a server can describe its interface without importing the latter.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from iskra_chaos.sift.trace import InjectionType
from iskra_chaos.sift.wire_model import WireModel

if TYPE_CHECKING:
    from iskra_metrics.reading import Reading

Depth = Literal["surface", "deep", "comprehensive"]
Language = Literal["ru", "en"]
Operation = Literal[
    "micro_disturbance",
    "pattern_break",
    "paradox_generation",
    "fire_reset",
    "quantum_flux",
    "emergent_stimulation",
]
Band = Literal["paradox", "disturbance", "maintenance"]
EdgeKind = Literal["cited", "inferred", "next"]


class MetricReading(WireModel):
    """One metric with what it was made of."""

    value: float = Field(ge=0, le=1, description="The metric.")
    n_turns: int = Field(ge=0, description="Turns, or statements of the block, that it stands on.")
    confidence: float = Field(ge=0, le=1, description="min(1, n_turns / 6).")
    parts: dict[str, float] = Field(description="Its components by name.")

    @classmethod
    def of(cls, reading: "Reading") -> "MetricReading":
        """Return a reading as it goes over the wire."""
        return cls(
            value=round(reading.value, 4),
            n_turns=reading.n_turns,
            confidence=round(reading.confidence, 4),
            parts={name: round(part, 4) for name, part in reading.parts.items()},
        )


class BlockCounts(WireModel):
    """How much of each kind a block holds."""

    claims: int = Field(description="Steps of the main chain and uncertain statements.")
    facts: int = Field(description="Verified statements.")
    sources: int = Field(description="Sources that the context describes, and the origin.")
    contradictions: int = Field(description="Pairs of statements within the block that cannot both hold.")


class Recommendation(WireModel):
    """An operation and an injection that would fit, or none of them."""

    operation: Operation | None = Field(description="The operation that fits; null where nothing should be unsettled.")
    injection: InjectionType | None = Field(description="The injection that fits; null with the operation.")
    intensity: float | None = Field(ge=0.1, le=1, description="How much; at most staleness + .3 where it is stale.")
    why: str = Field(description="The reason, in the language of the block.")


class SurfaceAnalysis(WireModel):
    """What one block shows without a model and without its neighbours."""

    block_id: str = Field(description="Id of the block.")
    content_hash: str = Field(description="SHA-256 of its canonical source, inference and fact.")
    language: Language = Field(description="Language of the block.")
    valid: bool = Field(description="Whether all marks in it name something it has.")
    problems: list[str] = Field(description="The marks that do not, in words.")
    staleness: MetricReading = Field(description="How much the conversation, or the block, repeats itself.")
    hedge_rate: float = Field(ge=0, le=1, description="Share of sentences that are hedged.")
    counts: BlockCounts = Field(description="Claims, facts, sources and contradictions.")
    unsupported: list[str] = Field(description="Ids of statements without a source below them (f0, s1, z2).")
    reliability: float = Field(ge=0, le=1, description="Stated reliability; at most .3 without an origin.")
    chaos_sensitivity: float = Field(ge=0, le=1, description="How much harm unsettling could do.")
    chaos_potential: float = Field(ge=0, le=1, description=".4 staleness + .3 contradiction + .3 openness.")
    potential_parts: dict[str, float] = Field(description="These three, in [0, 1].")
    band: Band = Field(description="What the potential is worth: above .7 a paradox, above .4 a disturbance.")
    recommendation: Recommendation = Field(description="What fits, how much, and why.")


class GraphNode(WireModel):
    """A fact or a step of the argument."""

    id: str = Field(description="f0, s1, …")
    kind: Literal["fact", "step"] = Field(description="Which of the two.")
    text: str = Field(description="What it says, at most 300 characters.")
    supported: bool = Field(description="Whether a source holds it up, directly or through its premises.")


class GraphEdge(WireModel):
    """One thing that another stands on."""

    source: str = Field(description="What supports.")
    target: str = Field(description="What is supported.")
    kind: EdgeKind = Field(description='`cited` by a mark, `inferred` from the words, `next` for a "therefore".')


class ArgumentView(WireModel):
    """What stands on what."""

    nodes: list[GraphNode] = Field(description="Facts, then steps.")
    edges: list[GraphEdge] = Field(description="From what supports to what is supported.")
    cycles: list[list[str]] = Field(description="Steps that stand on one another: circular reasoning.")
    fragile: list[str] = Field(description="Facts that a conclusion needs and one source alone tells.")


class ContradictingPair(WireModel):
    """Two statements that cannot both hold."""

    first_block: str = Field(description="Id of the block of the first statement.")
    first: str = Field(description="Id of the first statement (f0, s1, z2).")
    second_block: str = Field(description="Id of the block of the second statement.")
    second: str = Field(description="Id of the second statement.")
    kind: Literal["negation", "antonym", "number"] = Field(description="What they differ in.")
    texts: tuple[str, str] = Field(description="What they say, at most 300 characters each.")


class ConceptNovelty(WireModel):
    """Two concepts and how new their meeting would be."""

    first: str = Field(description="A word of the block or its neighbours.")
    second: str = Field(description="Another one.")
    novelty: float = Field(ge=0, le=1, description="1 where they never keep the same company.")
    in_block: bool = Field(description="Whether the block itself names both.")


class FactSensitivity(WireModel):
    """What depends on one fact."""

    fact: str = Field(description="Id of the fact.")
    falls: list[str] = Field(description="Steps that no longer stand without it.")
    share: float = Field(ge=0, le=1, description="Their share of the steps that stand with it.")
    fells_conclusion: bool = Field(description="Whether the last step is among them.")


class VoiceChoice(WireModel):
    """A voice and the reason for it."""

    voice: str = Field(description="Id of the voice: kain, pino, sam, anhantha, hundun, iskriv or iskra.")
    why: str = Field(description="The reason, in the language of the block.")


class DeepAnalysis(SurfaceAnalysis):
    """What a block shows among its neighbours, with all that it shows alone."""

    argument: ArgumentView = Field(description="The argument graph.")
    contradictions: list[ContradictingPair] = Field(description="Within the block, and with its neighbours.")
    uncertainty_zones: list[dict[str, JsonValue]] = Field(description="The doubts of the block, the widest first.")
    concept_pairs: list[ConceptNovelty] = Field(description="Concepts far from each other, the farthest first.")
    drift_to_goal: float | None = Field(ge=0, le=1, description="1 − cosine to the goal; null without a goal.")
    fact_ranking: list[FactSensitivity] = Field(description="Facts by how much depends on them, most first.")
    voice: VoiceChoice = Field(description="The voice that suits.")
    others_considered: int = Field(ge=0, description="Neighbours that were looked at.")
    truncated: bool = Field(description="Whether something was left out because there was too much of it.")


class AnswerSpread(WireModel):
    """How far apart the answers to one question lie."""

    answers: int = Field(description="Answers that came in time.")
    clusters: list[int] = Field(description="How many answers each meaning has, in the order they came up.")
    semantic_entropy: float = Field(ge=0, le=1, description="Entropy over the meanings: 0 all agree, 1 all differ.")
    kernel_entropy: float = Field(ge=0, le=1, description="The same over how alike they look.")
    conclusion: str = Field(description="The first answer of the largest cluster, at most 600 characters.")


class CounterfactualFlips(WireModel):
    """Whether the conclusion changes when a fact does."""

    rate: float = Field(ge=0, le=1, description="Share of the tried facts whose change changes the conclusion.")
    flipped: list[str] = Field(description="Ids of these facts.")
    tried: list[str] = Field(description="Ids of the facts that were tried, the most needed first.")
    by: Literal["model", "structure"] = Field(
        description="`model`: it was asked with the fact negated. `structure`: the last step falls without the fact."
    )


class TensionChange(WireModel):
    """What one operation is expected to do."""

    operation: Operation = Field(description="The operation.")
    intensity: float = Field(ge=0.1, le=1, description="At which intensity.")
    before: float = Field(ge=-1, le=1, description="Tension now: stability − chaos.")
    after: float = Field(ge=-1, le=1, description="Tension expected afterwards.")
    change: float = Field(ge=-2, le=2, description="The difference; below zero is looser.")


class EthicsPrecheck(WireModel):
    """Concerns that need no review to be seen. No concern is no approval."""

    clear: bool = Field(description="Whether nothing was found; a request is still to be reviewed.")
    concerns: list[str] = Field(description="`crisis`, `sensitivity`, `topic:…`, `certainty`, `canary`.")


class ComprehensiveAnalysis(DeepAnalysis):
    """What a model makes of a block, with all that shows without one."""

    seed: int = Field(description="What the paraphrases were made with.")
    with_model: bool = Field(description="Whether a model was asked; without one, parts that need it are null.")
    failed_samples: int = Field(ge=0, description="Calls that failed or came too late.")
    spread: AnswerSpread | None = Field(description="How far apart the answers lie; null without two answers.")
    counterfactuals: CounterfactualFlips | None = Field(description="Which facts decide; null where none was tried.")
    paraphrase_robustness: float | None = Field(
        ge=0, le=1, description="Share of paraphrased questions with the same conclusion; null where none was answered."
    )
    tension_changes: list[TensionChange] = Field(description="Expected per operation; a prior, not a measurement.")
    ethics: EthicsPrecheck = Field(description="Concerns that need no review to be seen.")


class ChaosAnalysisResult(WireModel):
    """An analysis with its depth and what it cost; each depth includes the ones before it."""

    analysis_depth: Depth = Field(description="The depth that was asked for.")
    chaos_potential: float = Field(ge=0, le=1, description="How much the block could gain from being unsettled.")
    elapsed_ms: float = Field(ge=0, description="How long the analysis took, in milliseconds.")
    analysis: ComprehensiveAnalysis | DeepAnalysis | SurfaceAnalysis = Field(
        description="What was found; its members grow with the depth."
    )

    @classmethod
    def of(cls, analysis: SurfaceAnalysis, elapsed_ms: float) -> "ChaosAnalysisResult":
        """Return an analysis as it goes over the wire."""
        depth: Depth = "surface"
        if isinstance(analysis, DeepAnalysis):
            depth = "comprehensive" if isinstance(analysis, ComprehensiveAnalysis) else "deep"
        return cls(
            analysis_depth=depth, chaos_potential=analysis.chaos_potential, elapsed_ms=elapsed_ms, analysis=analysis
        )
