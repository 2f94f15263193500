"""The first depth of analysis: one block, no model, tens of milliseconds at most."""

from collections.abc import Sequence

from iskra_chaos.sift.analysis import BlockCounts, MetricReading, SurfaceAnalysis
from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.block_text import language_of_block, text_of, zone_statements
from iskra_chaos.sift.depths.recommendation import band_of, recommend
from iskra_chaos.sift.grounding import broken_marks, reliability_of, sources_of
from iskra_chaos.sift.markers import facts_of, main_chain
from iskra_chaos.sift.potential import chaos_potential
from iskra_metrics.claims import hedge_rate
from iskra_metrics.utterance import Utterance


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
