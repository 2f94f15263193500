"""The second depth of analysis: a block among its neighbours, without a model."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from pydantic_core import from_json

from iskra_chaos.sift.analysis import (
    ArgumentView,
    ConceptNovelty,
    ContradictingPair,
    DeepAnalysis,
    FactSensitivity,
    GraphEdge,
    GraphNode,
)
from iskra_chaos.sift.argument_graph import ArgumentGraph
from iskra_chaos.sift.attribution import claimed
from iskra_chaos.sift.block import SIFTBlock, canonical_json
from iskra_chaos.sift.block_text import statements_of, text_of
from iskra_chaos.sift.concepts import distant_pairs
from iskra_chaos.sift.depths.surface import surface
from iskra_chaos.sift.depths.voice_choice import choose_voice
from iskra_chaos.sift.grounding import graph_of, supported_facts
from iskra_chaos.sift.likeness import is_same, stem_set
from iskra_chaos.sift.markers import Statement, facts_of
from iskra_metrics.claims import contradictions
from iskra_metrics.text import cosine, stems
from iskra_metrics.utterance import Utterance

MOST_OTHERS = 20
"""Other blocks that are looked at; of more, the last ones."""

MOST_STATEMENTS = 400
"""Statements that are compared with one another; of more, the last ones."""

_MOST_PAIRS = 200
_MOST_NODES = 200  # facts and steps each that the graph and the ranking are made of
_MOST_CONCEPT_PAIRS = 5


def deep(
    block: SIFTBlock, others: Sequence[SIFTBlock], recent: Sequence[Utterance] = (), goal: str = ""
) -> DeepAnalysis:
    """Analyse a block among up to 20 others within 500 ms and without a model.

    It holds the processor all that time: call it from a thread where an event loop waits.

    Args:
        block: The block.
        others: Its neighbours, the oldest first; the block itself among them is passed over.
        recent: The conversation up to and with the turn the block is from.
        goal: What the conversation is for; without it there is no drift to it.
    """
    neighbours = [other for other in others if other.id != block.id][-MOST_OTHERS:]
    alone = surface(block, recent)
    graph = graph_of(block)
    placed = [(each.id, statement) for each in (*neighbours, block) for statement in statements_of(each)]
    pairs = _contradictions(block, placed[-MOST_STATEMENTS:])
    supported = supported_facts(block)
    standing = graph.standing(supported)
    ranking = _ranking(graph, supported, standing)
    texts = [claimed(statement.text) for _, statement in placed[-MOST_STATEMENTS:]]
    own = stem_set(text_of(block))
    zones = [from_json(canonical_json(zone)) for zone in block.fact.uncertainty_zones]  # one order of members
    return DeepAnalysis(
        **dict(alone),
        argument=_view(graph, supported | standing, _fragile(block, neighbours, ranking)),
        contradictions=pairs[:_MOST_PAIRS],
        uncertainty_zones=sorted(zones, key=_width, reverse=True),
        concept_pairs=[
            ConceptNovelty(
                first=pair.first,
                second=pair.second,
                novelty=pair.novelty,
                in_block=stem_set(f"{pair.first} {pair.second}") <= own,
            )
            for pair in distant_pairs(texts, _MOST_CONCEPT_PAIRS)
        ],
        drift_to_goal=_drift(goal, text_of(block)) if goal.strip() else None,
        fact_ranking=ranking,
        voice=choose_voice(
            recent,
            staleness=alone.staleness.value,
            contradictions=len(pairs),
            unsupported_facts=sum(name.startswith("f") for name in alone.unsupported),
            goal=goal,
            language=alone.language,
        ),
        others_considered=len(neighbours),
        truncated=len(placed) > MOST_STATEMENTS
        or len(pairs) > _MOST_PAIRS
        or max(len(graph.facts), len(graph.steps)) > _MOST_NODES,
    )


def _contradictions(block: SIFTBlock, placed: Sequence[tuple[str, Statement]]) -> list[ContradictingPair]:
    """Return the pairs that the block is part of, of statements with the ids of their blocks."""
    found = contradictions([statement.text for _, statement in placed])
    return [
        ContradictingPair(
            first_block=placed[pair.first][0],
            first=placed[pair.first][1].id,
            second_block=placed[pair.second][0],
            second=placed[pair.second][1].id,
            kind=pair.kind,
            texts=(placed[pair.first][1].text[:300], placed[pair.second][1].text[:300]),
        )
        for pair in found
        if block.id in (placed[pair.first][0], placed[pair.second][0])
    ]


def _view(graph: ArgumentGraph, held: frozenset[str], fragile: list[str]) -> ArgumentView:
    nodes = [
        GraphNode(id=name, kind="fact" if name in graph.facts else "step", text=text[:300], supported=name in held)
        for group in (graph.facts, graph.steps)
        for name, text in [(name, statement.text) for name, statement in group.items()][:_MOST_NODES]
    ]
    shown = {node.id for node in nodes}
    edges = [
        GraphEdge(source=source, target=target, kind=kind)
        for source, target, kind in graph.edges()
        if source in shown and target in shown
    ]
    return ArgumentView(nodes=nodes, edges=edges[: 5 * _MOST_NODES], cycles=graph.cycles(), fragile=fragile)


def _ranking(graph: ArgumentGraph, held: frozenset[str], standing: frozenset[str]) -> list[FactSensitivity]:
    """Return the supported facts by how much falls without each."""
    last = [*graph.steps, ""][-2] if graph.steps else ""
    used = {source for source, _, _ in graph.edges()}
    ranking = []
    for fact in list(graph.facts)[:_MOST_NODES]:
        if fact not in held:
            continue
        falls = sorted(standing - graph.standing(held - {fact}), key=_position) if fact in used else []
        ranking.append(
            FactSensitivity(
                fact=fact,
                falls=falls,
                share=round(len(falls) / len(standing), 4) if standing else 0.0,
                fells_conclusion=last in falls,
            )
        )
    return sorted(ranking, key=lambda each: (-len(each.falls), _position(each.fact)))


def _fragile(block: SIFTBlock, others: Sequence[SIFTBlock], ranking: Sequence[FactSensitivity]) -> list[str]:
    """Return the facts that steps fall without, and that one source alone tells: no second one, no other origin."""
    needed = {each.fact for each in ranking if each.falls}
    if not needed:
        return []
    elsewhere = [
        stem_set(fact.text)
        for other in others
        if other.source.origin != block.source.origin
        for fact in facts_of(other)
    ]
    return [
        fact.id
        for fact in facts_of(block)
        if fact.id in needed
        and len(fact.evidence) <= 1
        and not any(is_same(stem_set(fact.text), other) for other in elsewhere)
    ]


def _drift(goal: str, text: str) -> float:
    return round(1.0 - max(0.0, cosine(Counter(stems(goal)), Counter(stems(text)))), 4)


def _position(name: str) -> int:
    return int(name[1:])


def _width(zone: Mapping[str, JsonValue]) -> float:
    width = zone.get("width")
    return float(width) if isinstance(width, (int, float)) else 0.0
