"""From intensity to faults, and what the wire accepts."""

from itertools import combinations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.faults.bus import ORDERS
from iskra_chaos.faults.gate import INJECTORS
from iskra_chaos.faults.models import FaultRequest, FaultSpec
from iskra_chaos.faults.parameters import Parameters
from iskra_chaos.faults.resilience_form import _COMBINED, combinations_of, faults_of
from iskra_chaos.faults.vocabulary import VOCABULARY, Family
from iskra_sdk.interceptor import Point

INTENSITIES = st.floats(0.1, 1.0)
SEEDS = st.integers(0, 2**32)
SINGLE = [operation for operation in get_args(OperationType) if operation != "emergent_stimulation"]


def kind_of(fault: FaultSpec) -> Any:
    return VOCABULARY[fault.point][fault.kind]


@given(st.sampled_from(SINGLE), INTENSITIES, SEEDS)
def test_every_operation_gives_valid_faults_of_its_own_family(operation: OperationType, i: float, seed: int) -> None:
    faults = faults_of(operation, i, seed=seed, experiment="e")
    assert faults
    assert faults == faults_of(operation, i, seed=seed, experiment="e")
    families = {
        "micro_disturbance": {Family.LATENCY},
        "pattern_break": {Family.CRASH, Family.OMISSION, Family.SHAPE},
        "paradox_generation": {Family.VALUE},
        "fire_reset": {Family.CRASH, Family.OMISSION},
        "quantum_flux": {Family.ORDER, Family.TIME},
    }[operation]
    assert {kind_of(fault).family for fault in faults} <= families


@given(INTENSITIES, st.floats(0.1, 60.0), st.sampled_from([Point.LLM_REQUEST, Point.STORE_READ, Point.BUS_DELIVER]))
def test_a_delay_leaves_half_of_the_deadline(i: float, deadline: float, point: Point) -> None:
    faults = faults_of("micro_disturbance", i, point=point, deadline=deadline)
    assert {fault.point for fault in faults} == {point}, "one point at a time"
    limit = (deadline / 2 if i < 0.7 else deadline) * 1000
    for fault in faults:
        parameters = fault.validated_parameters.model_dump()
        longest = float(parameters["longest"] if "longest" in parameters else parameters["delay_ms"])
        assert longest <= limit + 1e-6
        assert parameters.get("latency", 0.0) <= longest
        assert fault.strategy.probability == pytest.approx(0.05 + 0.25 * i)


@pytest.mark.parametrize(
    ("i", "name"), [(0.1, "single"), (0.3, "burst"), (0.6, "intermittent"), (0.75, "persistent"), (1.0, "persistent")]
)
def test_failures_come_more_often_as_the_intensity_grows(i: float, name: str) -> None:
    [fault] = faults_of("pattern_break", i)
    assert fault.strategy.name == name


def test_truncation_grows_with_the_intensity() -> None:
    cut = [fault for seed in range(200) for fault in faults_of("pattern_break", 1.0, seed=seed)]
    kept = [fault.parameters["keep"] for fault in cut if fault.kind == "truncated"]
    assert kept == [pytest.approx(0.3)] * len(kept)
    assert kept
    assert len({fault.kind for fault in cut}) > 8, "the seed chooses among the kinds"


@given(INTENSITIES, SEEDS)
def test_lies_are_for_sandboxes_and_bounded(i: float, seed: int) -> None:
    [fault] = faults_of("paradox_generation", i, seed=seed)
    assert kind_of(fault).needs_sandbox
    assert kind_of(fault).reads_only
    assert fault.strategy.probability == 0.3


@given(INTENSITIES, SEEDS)
def test_order_and_time_are_bounded(i: float, seed: int) -> None:
    *events, skew = faults_of("quantum_flux", i, seed=seed)
    assert abs(skew.parameters["seconds"]) <= 120 * i
    assert skew.intensity is None
    assert {fault.kind: fault.strategy.probability for fault in events} == {
        "duplicate": pytest.approx(0.3 * i),
        "reorder": pytest.approx(0.3 * i),
        "drop_redeliver": pytest.approx(0.1 * i),
        "partition": 1.0,
    }
    assert events[-1].parameters == {"heals_after_ms": pytest.approx(100 + 900 * i)}


@pytest.mark.parametrize("i", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_combinations_cover_every_pair(i: float, seed: int) -> None:
    rows = combinations_of(i, seed=seed)
    assert {len(row) for row in rows} == {2 + round(2 * i)}
    assert all(len({fault.point for fault in row}) == len(row) for row in rows)
    covered = {
        frozenset(pair) for row in rows for pair in combinations([(fault.point, fault.kind) for fault in row], 2)
    }
    factors = [(point, kind) for point, *kinds in _COMBINED for kind in kinds]
    wanted = {frozenset(pair) for pair in combinations(factors, 2) if pair[0][0] is not pair[1][0]}
    assert covered == wanted
    assert rows == combinations_of(i, seed=seed)
    if i == 1.0:
        assert len(rows) < len(wanted) / 3, "far fewer runs than pairs"


@pytest.mark.parametrize("i", [0.0, 0.09, 1.01, float("nan")])
def test_an_intensity_out_of_range_is_refused(i: float) -> None:
    with pytest.raises(ValueError, match="an intensity is in"):
        faults_of("fire_reset", i)
    with pytest.raises(ValueError, match="an intensity is in"):
        combinations_of(i)


def test_a_point_without_anything_to_offer_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be slowed down"):
        faults_of("micro_disturbance", 0.5, point=Point.CLOCK)
    with pytest.raises(ValueError, match="nothing that breaks"):
        faults_of("pattern_break", 0.5, point=Point.BUS_DELIVER)
    with pytest.raises(ValueError, match="combinations_of"):
        faults_of("emergent_stimulation", 0.5)


@given(st.sampled_from(sorted({kind.parameters for kinds in VOCABULARY.values() for kind in kinds.values()}, key=str)))
def test_a_fading_fault_keeps_valid_parameters_and_comes_to_a_bound(model: type[Parameters]) -> None:
    given = model()
    for _ in range(5):
        given = given.faded(0.5)
        assert model.model_validate(given.model_dump()) == given
        assert all(abs(getattr(given, name)) <= abs(getattr(model(), name)) for name in model.FADES)


# The vocabulary and the wire ---------------------------------------------------------------------------------------


def test_every_kind_has_an_injector_and_no_other_has() -> None:
    for point, kinds in VOCABULARY.items():
        if point is Point.CLOCK:
            continue
        injectors = set(INJECTORS[point]) | (set(ORDERS) if point is Point.BUS_DELIVER else set())
        assert injectors == set(kinds), point
    assert set(VOCABULARY) == set(Point) - {Point.TURN}


def test_every_kind_is_described_and_has_defaults() -> None:
    for point, kinds in VOCABULARY.items():
        for name, kind in kinds.items():
            assert kind.name == name
            assert kind.about.endswith(".")
            assert kind.parameters.model_json_schema()["type"] == "object"
            assert isinstance(FaultSpec(point=point, kind=name).validated_parameters, kind.parameters)


def test_toxics_have_their_names() -> None:
    toxics = {"latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data", "down"}
    assert toxics <= set(VOCABULARY[Point.LLM_STREAM])


def test_the_request_of_the_contract_is_understood() -> None:
    wire = {
        "point": "llm.stream",
        "kind": "rate_limited",
        "parameters": {},
        "strategy": {"name": "intermittent", "probability": 0.3},
        "seed": 1,
        "scope": {"sessions": [], "share": 1.0, "label": ""},
        "ttl": 10,
        "clearance": "token",
    }
    request = FaultRequest.model_validate(wire)
    assert request.validated_parameters.model_dump() == {"retry_after": 1.0}
    assert FaultRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    "change",
    [
        {"point": "turn"},
        {"point": "nowhere"},
        {"kind": "skew"},
        {"kind": "unheard_of"},
        {"parameters": {"latency": -1}},
        {"parameters": {"latency": 1e9}},
        {"parameters": {"latency": "NaN"}},
        {"parameters": {"unknown": 1}},
        {"strategy": {"name": "sometimes"}},
        {"seed": -1},
        {"seed": 2**63},
        {"scope": {"share": 0}},
        {"scope": {"share": 1.5}},
        {"ttl": 0},
        {"ttl": 601},
        {"intensity": 0.05},
        {"extra": True},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FaultRequest.model_validate({"point": "llm.stream", "kind": "latency", **change})
