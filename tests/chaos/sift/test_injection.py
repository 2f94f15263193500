from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.sift.sift_blocks import english_block, russian_block, sift_blocks
from iskra_chaos.sift.block import SIFTBlock, canonical_json, content_hash, content_of, read_block
from iskra_chaos.sift.injections.injection import active_interventions, inject, revert
from iskra_chaos.sift.injections.patches import apply
from iskra_chaos.sift.injections.result import SIFTChaosInjectionResult
from iskra_chaos.sift.markers import canaries, parse, steps_of
from iskra_chaos.sift.refusals import InjectionBoundError, OverlappingEditError
from iskra_chaos.sift.trace import InjectionType
from iskra_metrics.claims import contradictions
from iskra_metrics.text import language_of
from iskra_sdk.errors import BadInputError, NotFoundError

TYPES: tuple[InjectionType, ...] = get_args(InjectionType)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def spelled(block: SIFTBlock) -> str:
    return canonical_json(content_of(block))


def edited(block: SIFTBlock, part: str, **members: Any) -> SIFTBlock:
    raw = block.model_dump(mode="json")
    raw[part].update(members)
    return read_block(raw)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(raw=sift_blocks(), intensity=st.sampled_from((0.1, 0.4, 0.7, 1.0)), seed=st.integers(0, 9))
def test_reverting_an_injection_gives_the_content_back_byte_for_byte(
    raw: dict[str, Any], intensity: float, seed: int
) -> None:
    block = read_block(raw)
    content = spelled(block)
    for injection_type in TYPES:
        injected, intervention = inject(block, injection_type, intensity, seed=seed, sandbox=True)
        assert spelled(injected) != content, injection_type
        assert injected.fact.verified_data == block.fact.verified_data
        restored = revert(injected, intervention.id)
        assert spelled(restored) == content, injection_type
        assert revert(restored, intervention.id) == restored


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(raw=sift_blocks())
def test_an_injected_block_survives_the_wire(raw: dict[str, Any]) -> None:
    for injection_type in TYPES:
        injected, record = inject(read_block(raw), injection_type, 0.5, at=NOON, sandbox=True)
        received = read_block(injected.model_dump_json())
        assert received == injected
        assert spelled(revert(received, record.id)) == spelled(read_block(raw))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(raw=sift_blocks(), order=st.permutations(TYPES))
def test_injections_are_taken_back_last_first(raw: dict[str, Any], order: list[InjectionType]) -> None:
    block = read_block(raw)
    stages, taken = [block], []
    for injection_type in order:
        injected, intervention = inject(stages[-1], injection_type, 0.3, sandbox=True)
        stages.append(injected)
        taken.append(intervention.id)
    current = stages.pop()
    with pytest.raises(OverlappingEditError) as refusal:
        revert(current, taken[0])
    assert refusal.value.later == tuple(taken[1:])
    while taken:
        current = revert(current, taken.pop())
        assert spelled(current) == spelled(stages.pop())
    assert not active_interventions(current)


@pytest.mark.parametrize("injection_type", TYPES)
@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
def test_the_stored_patches_lead_there_and_back(block: SIFTBlock, injection_type: InjectionType) -> None:
    injected, record = inject(block, injection_type, 0.8, seed=3, at=NOON, actor="ann", sandbox=True)
    there = apply(content_of(block), [step.as_operation() for step in record.forward])
    assert canonical_json(there) == spelled(injected)
    assert canonical_json(apply(there, [step.as_operation() for step in record.inverse])) == spelled(block)
    assert (record.before_hash, record.after_hash) == (content_hash(block), content_hash(injected))
    assert injected.trace.chaos_interventions == [record]
    assert (record.at, record.actor, record.seed) == (NOON, "ann", 3)


def test_the_trace_keeps_both_records() -> None:
    block = english_block()
    injected, record = inject(block, "paradox_seeds", 0.5, actor="ann", at=NOON)
    restored = revert(injected, record.id, actor="bob", at=NOON)
    first, second = restored.trace.chaos_interventions
    assert first == record
    assert (second.reverts, second.actor, second.after_hash) == (record.id, "bob", record.before_hash)
    assert [entry["op"] for entry in restored.trace.processing_history] == [
        "inject:paradox_seeds",
        "revert:paradox_seeds",
    ]


@pytest.mark.parametrize("injection_type", TYPES)
def test_an_injection_is_decided_by_its_seed(injection_type: InjectionType) -> None:
    first = inject(russian_block(), injection_type, 0.5, seed=1, sandbox=True)
    assert first == inject(russian_block(), injection_type, 0.5, seed=1, sandbox=True)
    others = {spelled(inject(russian_block(), injection_type, 0.5, seed=seed, sandbox=True).block) for seed in range(9)}
    assert len(others) > 1


def added(before: list[Any], after: list[Any]) -> list[Any]:
    assert after[: len(before)] == before
    return after[len(before) :]


@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
@pytest.mark.parametrize(("intensity", "seeds"), [(0.1, 1), (0.4, 2), (1.0, 3)])
def test_paradox_seeds_pair_a_claim_with_its_counter(block: SIFTBlock, intensity: float, seeds: int) -> None:
    injected, _ = inject(block, "paradox_seeds", intensity)
    new = added(block.inference.paradoxical_elements, injected.inference.paradoxical_elements)
    assert len(new) == seeds
    rise = injected.inference.chaos_potential - block.inference.chaos_potential
    assert rise == pytest.approx(0.1 * seeds)
    for element in map(parse, new):
        assert element.tag == "HYP"
        assert element.references
        assert language_of(element.text) == language_of(block.inference.logic_chain[0])


def test_a_paradox_prefers_a_statement_of_the_block_that_contradicts_the_claim() -> None:
    block = english_block(
        fact__verified_data=["The query cache is off on node three", "The query cache is not off on node three"],
        inference__logic_chain=[],
    )
    injected, _ = inject(block, "paradox_seeds", 0.1)
    (element,) = injected.inference.paradoxical_elements
    assert set(parse(element).references) == {"f0", "f1"}


def test_confidence_falls_only_where_a_seed_touches_a_used_fact() -> None:
    block = english_block(inference__logic_chain=[], fact__verified_data=["Backups run at midnight"])
    assert inject(block, "paradox_seeds", 0.1)[0].inference.confidence_level == block.inference.confidence_level
    used = english_block(
        inference__logic_chain=["Restores work because backups run at midnight [f0]"],
        fact__verified_data=["Backups run at midnight"],
    )
    assert inject(used, "paradox_seeds", 0.5)[0].inference.confidence_level == pytest.approx(0.7 * 0.95)


@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
def test_perspective_shifts_tell_the_chain_again_in_parallel_branches(block: SIFTBlock) -> None:
    injected, _ = inject(block, "perspective_shifts", 1.0)
    steps = steps_of(injected)[len(block.inference.logic_chain) :]
    assert {step.branch for step in steps} == {"b1", "b2", "b3"}
    assert all(step.tag == "HYP" and step.references for step in steps)
    for name in ("b1", "b2", "b3"):
        ending = [step for step in steps if step.branch == name][-1].text
        assert any(word in ending for word in ("differs", "stays", "другой", "тот же"))
        assert language_of(ending) == language_of(block.inference.logic_chain[0])


def test_a_conclusion_with_a_quantity_differs_at_another_scale() -> None:
    for seed in range(40):
        injected, _ = inject(english_block(), "perspective_shifts", 1.0, seed=seed)
        scaled = [raw for raw in injected.inference.logic_chain if " scale]" in raw and "differs" in raw]
        if scaled:
            assert "90000 milliseconds" in scaled[0] or "900000 milliseconds" in scaled[0]
            return
    pytest.fail("no seed chose the lens of scale")


@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
def test_a_canary_contradicts_a_fact_in_a_shadow_copy(block: SIFTBlock) -> None:
    for seed in range(6):
        shadow, record = inject(block, "contradiction_points", 0.9, seed=seed, sandbox=True)
        (planted,) = canaries(shadow)
        assert shadow.id != block.id
        assert record.tag == "CANARY"
        assert any(contradictions([parse(fact).text, planted]) for fact in block.fact.verified_data)


@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
def test_uncertainty_lowers_confidence_and_asks_for_verification(block: SIFTBlock) -> None:
    injected, _ = inject(block, "uncertainty_zones", 0.5)
    assert injected.inference.confidence_level == pytest.approx(0.7 * 0.75)
    zones = added(block.fact.uncertainty_zones, injected.fact.uncertainty_zones)
    assert len(zones) == 2
    assert all(zone["request"] and zone["tag"] == "HYP" for zone in zones)


def test_a_zone_that_is_there_becomes_wider() -> None:
    zone = {"span": "f0", "width": 0.3, "note": "ours"}
    block = english_block(fact__uncertainty_zones=[zone], fact__verified_data=["The query cache is off"])
    injected, record = inject(block, "uncertainty_zones", 1.0)
    (wider,) = injected.fact.uncertainty_zones
    assert (wider["width"], wider["note"]) == (0.8, "ours")
    assert revert(injected, record.id).fact.uncertainty_zones == [zone]


def test_confidence_has_a_floor() -> None:
    injected = english_block(inference__confidence_level=0.15)
    for _ in range(3):
        injected, _record = inject(injected, "uncertainty_zones", 1.0)
    assert injected.inference.confidence_level == 0.1
    lower = english_block(inference__confidence_level=0.05)
    assert inject(lower, "uncertainty_zones", 1.0)[0].inference.confidence_level == 0.05


@pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
def test_emergence_triggers_join_distant_facts_by_a_question(block: SIFTBlock) -> None:
    injected, _ = inject(block, "emergence_triggers", 1.0)
    triggers = [parse(raw) for raw in injected.fact.emergence_triggers]
    assert len({frozenset(trigger.references) for trigger in triggers}) == len(triggers) == 3
    assert all(trigger.text.endswith("?") and len(trigger.references) == 2 for trigger in triggers)


@pytest.mark.parametrize(
    ("injection_type", "intensity", "bound"),
    [
        ("paradox_seeds", 0.0999, "intensity"),
        ("paradox_seeds", 1.01, "intensity"),
        ("paradox_seeds", float("nan"), "intensity"),
        ("contradiction_points", 0.5, "sandbox"),
        ("chaos", 0.5, "injection_type"),
    ],
)
def test_a_request_over_a_bound_is_refused_by_its_name(injection_type: Any, intensity: float, bound: str) -> None:
    with pytest.raises(BadInputError) as refusal:
        inject(english_block(), injection_type, intensity)
    assert refusal.value.facts == {"bound": bound}
    assert refusal.value.http_status == 422


@pytest.mark.parametrize(
    ("injection_type", "fitting"),
    [("paradox_seeds", 3), ("perspective_shifts", 3), ("contradiction_points", 1), ("emergence_triggers", 3)],
)
def test_a_block_holds_so_many_elements_at_a_time(injection_type: InjectionType, fitting: int) -> None:
    block, record = inject(english_block(), injection_type, 0.1, sandbox=True)
    for _ in range(fitting - 1):
        block, record = inject(block, injection_type, 0.1, sandbox=True)
    with pytest.raises(InjectionBoundError) as refusal:
        inject(block, injection_type, 0.1, sandbox=True)
    assert refusal.value.bound == injection_type
    again, _ = inject(revert(block, record.id), injection_type, 0.1, sandbox=True)
    assert len(active_interventions(again)) == fitting


def test_a_sensitive_block_takes_no_paradox() -> None:
    with pytest.raises(InjectionBoundError, match="chaos_sensitivity"):
        inject(english_block(source__chaos_sensitivity=0.5), "paradox_seeds", 0.1)


@pytest.mark.parametrize("injection_type", TYPES)
def test_an_empty_block_has_nothing_to_inject_into(injection_type: InjectionType) -> None:
    empty = read_block({"id": "empty", "source": {}, "inference": {}, "fact": {}, "trace": {}})
    with pytest.raises(InjectionBoundError):
        inject(empty, injection_type, 0.5, sandbox=True)


def test_edits_elsewhere_survive_a_revert() -> None:
    injected, record = inject(english_block(), "paradox_seeds", 0.5)
    later = edited(injected, "fact", verified_data=["Something else was measured"], stability_level=0.1)
    later = edited(
        later, "inference", paradoxical_elements=[*later.inference.paradoxical_elements, "a later element of others"]
    )
    restored = revert(later, record.id)
    assert restored.inference.paradoxical_elements == ["a later element of others"]
    assert restored.fact == later.fact
    assert restored.inference.chaos_potential == english_block().inference.chaos_potential


def test_edits_of_what_was_injected_are_named() -> None:
    injected, record = inject(english_block(), "paradox_seeds", 0.1)
    later = edited(injected, "inference", paradoxical_elements=["rewritten"], chaos_potential=0.9)
    with pytest.raises(OverlappingEditError) as refusal:
        revert(later, record.id)
    assert refusal.value.http_status == 409
    assert set(refusal.value.paths) == {"/inference/paradoxical_elements/0", "/inference/chaos_potential"}


def test_an_unknown_injection_cannot_be_reverted() -> None:
    with pytest.raises(NotFoundError):
        revert(english_block(), "injection-0")


def test_a_forged_record_cannot_edit_what_is_verified() -> None:
    injected, record = inject(english_block(), "paradox_seeds", 0.1)
    raw = injected.model_dump(mode="json")
    raw["trace"]["chaos_interventions"][0]["inverse"] = [{"op": "remove", "path": "/fact/verified_data/0"}]
    with pytest.raises(InjectionBoundError, match="/fact/verified_data/0"):
        revert(read_block(raw), record.id)


def test_a_record_that_leads_elsewhere_is_refused() -> None:
    injected, record = inject(english_block(), "paradox_seeds", 0.1)
    raw = injected.model_dump(mode="json")
    raw["trace"]["chaos_interventions"][0]["inverse"] = []
    with pytest.raises(BadInputError, match="does not lead back"):
        revert(read_block(raw), record.id)


def test_a_block_that_is_full_takes_no_more() -> None:
    full = english_block(trace={"processing_history": [{"op": "seen"}] * 1000})
    with pytest.raises(InjectionBoundError, match="block_size"):
        inject(full, "paradox_seeds", 0.1)


def test_the_answer_over_the_wire_tells_what_changed() -> None:
    block = english_block()
    result = SIFTChaosInjectionResult.of(block, inject(block, "uncertainty_zones", 0.5))
    assert result.confidence_after < result.confidence_before
    assert "/inference/confidence_level" in result.added_paths
    assert SIFTChaosInjectionResult.model_validate_json(result.model_dump_json()) == result
