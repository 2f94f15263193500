"""The second depth of analysis: a block among its neighbours, without a model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import from_json

from iskra_chaos.sift.argument_graph import ArgumentGraph, EdgeKind
from iskra_chaos.sift.attribution import claimed
from iskra_chaos.sift.block import SIFTBlock, canonical_json
from iskra_chaos.sift.block_text import statements_of, text_of
from iskra_chaos.sift.concepts import distant_pairs
from iskra_chaos.sift.grounding import graph_of, supported_facts
from iskra_chaos.sift.likeness import is_same, stem_set
from iskra_chaos.sift.markers import Statement, facts_of
from iskra_chaos.sift.surface import SurfaceAnalysis, surface
from iskra_chaos.sift.voice_choice import VoiceChoice, choose_voice
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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GraphNode(_Part):
    """A fact or a step of the argument."""

    id: str = Field(description="f0, s1, …")
    kind: Literal["fact", "step"] = Field(description="Which of the two.")
    text: str = Field(description="What it says, at most 300 characters.")
    supported: bool = Field(description="Whether a source holds it up, directly or through its premises.")


class GraphEdge(_Part):
    """One thing that another stands on."""

    source: str = Field(description="What supports.")
    target: str = Field(description="What is supported.")
    kind: EdgeKind = Field(description='`cited` by a mark, `inferred` from the words, `next` for a "therefore".')


class ArgumentView(_Part):
    """What stands on what."""

    nodes: list[GraphNode] = Field(description="Facts, then steps.")
    edges: list[GraphEdge] = Field(description="From what supports to what is supported.")
    cycles: list[list[str]] = Field(description="Steps that stand on one another: circular reasoning.")
    fragile: list[str] = Field(description="Facts that a conclusion needs and one source alone tells.")


class ContradictingPair(_Part):
    """Two statements that cannot both hold."""

    first_block: str = Field(description="Id of the block of the first statement.")
    first: str = Field(description="Id of the first statement (f0, s1, z2).")
    second_block: str = Field(description="Id of the block of the second statement.")
    second: str = Field(description="Id of the second statement.")
    kind: Literal["negation", "antonym", "number"] = Field(description="What they differ in.")
    texts: tuple[str, str] = Field(description="What they say, at most 300 characters each.")


class ConceptNovelty(_Part):
    """Two concepts and how new their meeting would be."""

    first: str = Field(description="A word of the block or its neighbours.")
    second: str = Field(description="Another one.")
    novelty: float = Field(ge=0, le=1, description="1 where they never keep the same company.")
    in_block: bool = Field(description="Whether the block itself names both.")


class FactSensitivity(_Part):
    """What depends on one fact."""

    fact: str = Field(description="Id of the fact.")
    falls: list[str] = Field(description="Steps that no longer stand without it.")
    share: float = Field(ge=0, le=1, description="Their share of the steps that stand with it.")
    fells_conclusion: bool = Field(description="Whether the last step is among them.")


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
