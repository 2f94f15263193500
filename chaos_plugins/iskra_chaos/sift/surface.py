"""The first depth of analysis: one block, no model, tens of milliseconds at most."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.block_text import language_of_block, text_of, zone_statements
from iskra_chaos.sift.grounding import broken_marks, reliability_of, sources_of
from iskra_chaos.sift.markers import facts_of, main_chain
from iskra_chaos.sift.potential import chaos_potential
from iskra_chaos.sift.recommendation import Band, Recommendation, band_of, recommend
from iskra_metrics.claims import hedge_rate
from iskra_metrics.reading import Reading
from iskra_metrics.text import Language
from iskra_metrics.utterance import Utterance


class MetricReading(BaseModel):
    """One metric with what it was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(ge=0, le=1, description="The metric.")
    n_turns: int = Field(ge=0, description="Turns, or statements of the block, that it stands on.")
    confidence: float = Field(ge=0, le=1, description="min(1, n_turns / 6).")
    parts: dict[str, float] = Field(description="Its components by name.")

    @classmethod
    def of(cls, reading: Reading) -> "MetricReading":
        """Return a reading as it goes over the wire."""
        return cls(
            value=round(reading.value, 4),
            n_turns=reading.n_turns,
            confidence=round(reading.confidence, 4),
            parts=_rounded(reading.parts),
        )


class BlockCounts(BaseModel):
    """How much of each kind a block holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: int = Field(description="Steps of the main chain and uncertain statements.")
    facts: int = Field(description="Verified statements.")
    sources: int = Field(description="Sources that the context describes, and the origin.")
    contradictions: int = Field(description="Pairs of statements within the block that cannot both hold.")


class SurfaceAnalysis(BaseModel):
    """What one block shows without a model and without its neighbours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


def surface(block: SIFTBlock, recent: Sequence[Utterance] = ()) -> SurfaceAnalysis:
    """Analyse one block within 50 ms and without a model.

    Args:
        block: The block.
        recent: The conversation up to and with the turn the block is from; the staleness is read from it. Without one,
            the statements of the block stand for turns.
    """
    language = language_of_block(block)
    potential = chaos_potential(block, recent)
    problems = broken_marks(block)
    origins = 1 if block.source.origin.strip() else 0
    return SurfaceAnalysis(
        block_id=block.id,
        content_hash=content_hash(block),
        language=language,
        valid=not problems,
        problems=problems[:100],
        staleness=MetricReading.of(potential.staleness),
        hedge_rate=round(hedge_rate(text_of(block)), 4),
        counts=BlockCounts(
            claims=len(main_chain(block)) + len(zone_statements(block)),
            facts=len(facts_of(block)),
            sources=len(sources_of(block)) + origins,
            contradictions=potential.pairs,
        ),
        unsupported=list(potential.unsupported),
        reliability=reliability_of(block),
        chaos_sensitivity=block.source.chaos_sensitivity,
        chaos_potential=potential.value,
        potential_parts=dict(potential.parts),
        band=band_of(potential.value),
        recommendation=recommend(potential, block.source.chaos_sensitivity, language),
    )


def _rounded(parts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(part, 4) for name, part in parts.items()}
