"""Which statements of a block stand on a source."""

from collections.abc import Mapping

from iskra_chaos.sift.argument_graph import ArgumentGraph, argument_graph
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.block_text import language_of_block, zone_statements
from iskra_chaos.sift.markers import facts_of, main_chain
from iskra_chaos.sift.reliability import UNKNOWN, may_hold_facts
from iskra_metrics.text import Language

_MISSING: Mapping[Language, str] = {
    "en": "{0} names {1}, which the block does not have",
    "ru": "{0} ссылается на {1}, чего в блоке нет",
}
NO_ORIGIN = 0.30
"""The most that a block without an origin can be relied on: as much as a model alone."""


def graph_of(block: SIFTBlock) -> ArgumentGraph:
    """Return what stands on what in a block; injected steps are left out."""
    return argument_graph(facts_of(block), main_chain(block))


def sources_of(block: SIFTBlock) -> list[str]:
    """Return the ids of the sources that the context describes."""
    evidence = block.source.context.get("evidence")
    return sorted(evidence) if isinstance(evidence, dict) else []


def reliability_of(block: SIFTBlock) -> float:
    """Return how far the block can be relied on: what it says of itself, but little where it names no origin."""
    stated = block.source.reliability
    return stated if block.source.origin.strip() else min(stated, NO_ORIGIN)


def supported_facts(block: SIFTBlock) -> frozenset[str]:
    """Return the facts that a source holds up.

    A fact that names evidence needs an entry of that name in the context; one that names none stands on the block's own
    source, if that one may be quoted as fact.
    """
    known = set(sources_of(block))
    corroboration = block.source.context.get("corroboration")
    level = float(corroboration) if isinstance(corroboration, (int, float)) else UNKNOWN
    has_origin = bool(block.source.origin.strip()) and may_hold_facts(block.source.reliability, level)
    return frozenset(
        fact.id for fact in facts_of(block) if (known.intersection(fact.evidence) if fact.evidence else has_origin)
    )


def unsupported(block: SIFTBlock, graph: ArgumentGraph | None = None) -> list[str]:
    """Return the ids of facts without a source, steps without a supported fact below them, and uncertain statements."""
    facts = supported_facts(block)
    graph = graph or graph_of(block)
    standing = graph.standing(facts)
    return [
        *(fact for fact in graph.facts if fact not in facts),
        *(step for step in graph.steps if step not in standing),
        *(zone.id for zone in zone_statements(block)),
    ]


def broken_marks(block: SIFTBlock) -> list[str]:
    """Return what the marks of a block name and the block does not have, in words of its language."""
    words = _MISSING[language_of_block(block)]
    facts, steps = facts_of(block), main_chain(block)
    known = {statement.id for statement in (*facts, *steps)}
    sources = set(sources_of(block))
    missing = [(step.id, name) for step in steps for name in step.references if name not in known]
    missing += [(fact.id, name) for fact in facts for name in fact.evidence if name not in sources]
    return [words.format(statement, name) for statement, name in missing]
