from typing import Any

import pytest

from chaos.sift.sift_blocks import english_block, russian_block
from iskra_chaos.sift.analysis import ChaosAnalysisResult
from iskra_chaos.sift.block import SIFTBlock, read_block
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.depths.surface import surface
from iskra_chaos.sift.injections.injection import inject
from iskra_chaos.sift.markers import main_chain
from iskra_metrics.claims import negate
from iskra_metrics.utterance import Utterance

BLOCKS = pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])

TALK = {
    "en": [
        "We sell old maps and the shop is slow tonight.",
        "Let us look at the cache of the shop and at the disk.",
        "The disk looks fine to me, and the network does too.",
        "Then the cache of queries is what remains to be seen.",
    ],
    "ru": [
        "Мы продаём старые карты, и магазин сегодня медленный.",
        "Посмотрим на кэш магазина и на диск сервера.",
        "Диск выглядит хорошо, и сеть тоже в порядке.",
        "Тогда остаётся проверить кэш запросов магазина.",
    ],
}


def with_raw(block: SIFTBlock, part: str, **members: Any) -> SIFTBlock:
    raw = block.model_dump(mode="json")
    raw[part].update(members)
    return read_block(raw)


def shuffled_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled_keys(value[name]) for name in reversed(value)}
    return [shuffled_keys(item) for item in value] if isinstance(value, list) else value


@BLOCKS
def test_the_surface_of_a_sound_block(block: SIFTBlock) -> None:
    seen = surface(block)
    assert seen.valid
    assert seen.unsupported == ["z0"]
    assert (seen.counts.facts, seen.counts.claims, seen.counts.sources) == (3, 3, 3)
    assert seen.language == block.source.context["language"]
    assert seen.hedge_rate == pytest.approx(1 / 6, abs=1e-3)
    assert seen.chaos_potential == pytest.approx(
        0.4 * seen.potential_parts["staleness"]
        + 0.3 * seen.potential_parts["contradiction"]
        + 0.3 * seen.potential_parts["openness"],
        abs=1e-3,
    )


@BLOCKS
@pytest.mark.parametrize("position", range(4))
def test_to_repeat_a_turn_never_lowers_the_staleness(block: SIFTBlock, position: int) -> None:
    talk = [Utterance("user", text) for text in TALK[surface(block).language]]
    before, after = surface(block, talk), surface(block, [*talk, talk[position]])
    assert after.staleness.value >= before.staleness.value
    assert after.chaos_potential >= before.chaos_potential


@BLOCKS
def test_the_negation_of_a_claim_is_one_contradiction_more(block: SIFTBlock) -> None:
    last = main_chain(block)[-1].text
    more = with_raw(block, "inference", logic_chain=[*block.inference.logic_chain, negate(last)])
    assert surface(more).counts.contradictions == surface(block).counts.contradictions + 1
    assert len(deep(more, []).contradictions) == len(deep(block, []).contradictions) + 1


@BLOCKS
def test_a_neighbour_that_denies_a_fact_is_one_contradiction_more(block: SIFTBlock) -> None:
    denial = negate(block.fact.verified_data[2].partition(" [")[0])
    neighbour = read_block({"id": "n", "source": {}, "inference": {}, "fact": {"verified_data": [denial]}, "trace": {}})
    (pair,) = deep(block, [neighbour]).contradictions
    assert (pair.first_block, pair.first, pair.second_block, pair.second) == ("n", "f0", block.id, "f2")
    assert pair.kind == "negation"


@BLOCKS
def test_without_sources_reliability_falls_and_more_is_unsupported(block: SIFTBlock) -> None:
    bare = with_raw(block, "source", origin="", context={})
    before, after = surface(block), surface(bare)
    assert after.reliability < before.reliability
    assert set(before.unsupported) < set(after.unsupported)
    assert {"f0", "f1", "f2", "s0", "s1"} <= set(after.unsupported)
    assert not after.valid


@BLOCKS
def test_the_order_of_keys_does_not_matter(block: SIFTBlock) -> None:
    turned = read_block(shuffled_keys(block.model_dump(mode="json")))
    assert surface(turned).model_dump_json() == surface(block).model_dump_json()
    others = [english_block(id="o")]
    assert deep(turned, others).model_dump_json() == deep(block, others).model_dump_json()


def test_facts_without_evidence_stand_on_a_source_that_may_be_quoted() -> None:
    facts = {"fact__verified_data": ["The query cache is off"], "inference__logic_chain": []}
    assert "f0" not in surface(english_block(**facts)).unsupported
    assert "f0" in surface(english_block(**facts, source__reliability=0.7)).unsupported
    corroborated = english_block(**facts, source={"origin": "x", "reliability": 0.7, "context": {"corroboration": 0.6}})
    assert "f0" not in surface(corroborated).unsupported


def test_marks_that_lead_nowhere_are_told() -> None:
    seen = surface(english_block(inference__logic_chain=["It is slow [f9]"]))
    assert seen.problems == ["s0 names f9, which the block does not have"]
    assert "s0" in seen.unsupported
    russian = surface(english_block(inference__logic_chain=["Это медленно [f9]"], source__context={"language": "ru"}))
    assert "s0 ссылается на f9, чего в блоке нет" in russian.problems


def test_a_calm_block_is_left_alone() -> None:
    calm = english_block(fact__emergence_triggers=[], inference__logic_chain=[], fact__uncertainty_zones=[])
    seen = surface(calm)
    assert seen.band == "maintenance"
    assert seen.recommendation.operation is None
    assert seen.recommendation.intensity is None


@BLOCKS
def test_what_is_recommended_has_a_cause(block: SIFTBlock) -> None:
    denied = with_raw(
        block, "inference", logic_chain=[*block.inference.logic_chain, negate(main_chain(block)[-1].text)]
    )
    assert surface(denied).recommendation.operation == "paradox_generation"
    talk = [Utterance("user", TALK[surface(block).language][0])] * 8
    stale = surface(block, talk)
    assert stale.recommendation.operation == "pattern_break"
    assert stale.recommendation.intensity is not None
    assert stale.recommendation.intensity <= stale.staleness.value + 0.3
    sensitive = surface(with_raw(block, "source", chaos_sensitivity=0.5), talk)
    assert sensitive.recommendation.operation is None


@BLOCKS
def test_conclusions_fall_with_the_facts_below_them(block: SIFTBlock) -> None:
    seen = deep(block, [])
    first, *rest = seen.fact_ranking
    assert (first.fact, first.falls, first.share, first.fells_conclusion) == ("f0", ["s0", "s1"], 1.0, True)
    assert all(not each.falls for each in rest)
    assert seen.argument.fragile == ["f0"]


@BLOCKS
def test_a_fact_that_another_origin_tells_is_not_fragile(block: SIFTBlock) -> None:
    other = with_raw(block, "source", origin="another")
    other = other.model_copy(update={"id": "other"})
    assert deep(block, [other]).argument.fragile == []


@BLOCKS
def test_each_depth_includes_the_one_before(block: SIFTBlock) -> None:
    talk = [Utterance("user", text) for text in TALK[surface(block).language]]
    above = surface(block, talk).model_dump()
    below = deep(block, [], talk, goal="fast shop").model_dump()
    assert above.items() <= below.items()


@BLOCKS
def test_drift_is_measured_to_the_goal(block: SIFTBlock) -> None:
    near = deep(block, [], goal=main_chain(block)[0].text).drift_to_goal
    far = deep(block, [], goal="bake bread with honey / печь хлеб с мёдом").drift_to_goal
    assert near is not None
    assert far is not None
    assert near < far == 1.0
    assert deep(block, []).drift_to_goal is None


@pytest.mark.parametrize(
    ("changes", "turns", "voice"),
    [
        ({}, [], "iskra"),
        ({}, [("user", "I want to kill myself")], "anhantha"),
        ({"fact__verified_data": ["Nobody says this [evidence: nowhere]"]}, [], "iskriv"),
        (
            {"inference__logic_chain": ["The cache of the shop is full", "The cache of the shop is not full"]},
            [],
            "kain",
        ),
        ({}, [("assistant", "The old maps of the shop load slowly in the evening.")] * 2, "hundun"),
    ],
)
def test_the_voice_fits_what_is_found(changes: dict[str, Any], turns: list[Any], voice: str) -> None:
    talk = [Utterance(role, text) for role, text in turns]
    assert deep(english_block(**changes), [], talk).voice.voice == voice


def test_injected_hypotheses_are_no_claims_and_a_canary_is_one() -> None:
    block = english_block()
    branched, _ = inject(block, "perspective_shifts", 1.0)
    assert surface(branched).unsupported == surface(block).unsupported
    assert surface(branched).counts == surface(block).counts
    shadow, _ = inject(block, "contradiction_points", 1.0, sandbox=True)
    assert surface(shadow).counts.contradictions > surface(block).counts.contradictions


def test_the_neighbours_that_are_looked_at_are_bounded() -> None:
    others = [english_block(id=f"o{number}") for number in range(30)]
    seen = deep(english_block(), others)
    assert seen.others_considered == 20
    assert not seen.truncated


def test_a_large_block_is_cut_and_says_so() -> None:
    large = english_block(
        fact__verified_data=[f"Pump {number} of hall {number % 7} runs" for number in range(1000)],
        inference__logic_chain=[f"Hall {number} is warm because pump {number} runs" for number in range(1000)],
    )
    assert deep(large, []).truncated


def test_an_empty_block_can_be_analysed() -> None:
    empty = read_block({"id": "e", "source": {}, "inference": {}, "fact": {}, "trace": {}})
    seen = deep(empty, [], goal="anything")
    assert (seen.chaos_potential, seen.unsupported, seen.argument.nodes) == (0.0, [], [])


def test_the_answer_over_the_wire_keeps_its_depth() -> None:
    for analysis, depth in ((surface(english_block()), "surface"), (deep(english_block(), []), "deep")):
        result = ChaosAnalysisResult.of(analysis, elapsed_ms=1.5)
        assert result.analysis_depth == depth
        again = ChaosAnalysisResult.model_validate_json(result.model_dump_json())
        assert again.analysis == analysis


@pytest.mark.parametrize(
    "piece", [" ", ", ", "[", "[f0]", "if ", "because ", "1 ", '"', "[HYP] ", "[evidence: ", 'a claims: "', "если то "]
)
def test_strings_made_to_be_slow_are_read_in_the_end(piece: str) -> None:
    odd = "x " + piece * (9_000 // len(piece))  # an expression that looks back at each place would take minutes
    block = english_block(inference__logic_chain=[odd] * 12, fact__verified_data=[odd] * 4)
    assert deep(block, []).counts.facts == 4
