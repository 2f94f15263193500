"""The gate: no operation without a cause, the fitting one for each, and none too soon."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.bounds import DWELL
from iskra_chaos.balance.causes import CauseGate, Circumstances, fitting, opens_gate, stabilisers
from iskra_chaos.balance.controller import Intensity

_share = st.floats(0.0, 1.0)
_circumstances = st.builds(
    Circumstances,
    staleness=_share,
    drift=_share,
    contradictions=st.integers(0, 3),
    has_loop=st.booleans(),
    user_asked=st.booleans(),
    source_reliability=st.none() | _share,
    open_branches=st.integers(0, 5),
)
_STRONG = Intensity(0.6, "acting")


@pytest.mark.parametrize(
    ("circumstances", "expected"),
    [
        (Circumstances(), None),
        (Circumstances(staleness=0.34), None),
        (Circumstances(staleness=0.35), ("micro_disturbance", "half_stale")),
        (Circumstances(staleness=0.54, drift=0.3), ("micro_disturbance", "half_stale")),
        (Circumstances(staleness=0.54, drift=0.31), None),
        (Circumstances(staleness=0.55, drift=0.9), ("pattern_break", "stale")),
        (Circumstances(has_loop=True), ("pattern_break", "loop")),
        (Circumstances(contradictions=1), ("paradox_generation", "contradiction")),
        (Circumstances(staleness=0.4, source_reliability=0.3), ("paradox_generation", "poor_sources")),
        (Circumstances(source_reliability=0.1), None),
        (Circumstances(user_asked=True), ("micro_disturbance", "user_request")),
        (Circumstances(staleness=0.9, open_branches=3), None),
        (Circumstances(staleness=0.9, has_loop=True, contradictions=1, user_asked=True), ("pattern_break", "loop")),
    ],
)
def test_each_cause_has_its_operation(circumstances: Circumstances, expected: tuple[str, str] | None) -> None:
    assert fitting(circumstances) == expected


@given(_circumstances, st.floats(0.1, 1.0))
def test_tension_alone_is_never_a_reason(circumstances: Circumstances, intensity: float) -> None:
    choice = CauseGate().choose(Intensity(intensity, "acting"), circumstances)
    if choice is not None:
        assert opens_gate(circumstances)
        assert choice.intensity == intensity
    if not opens_gate(circumstances):
        assert choice is None


@given(_circumstances)
def test_nothing_starts_frozen_or_without_intensity_or_on_the_stabilising_side(circumstances: Circumstances) -> None:
    for wanted in (Intensity(0.6, "frozen"), Intensity(0.0, "acting"), Intensity(-0.6, "acting")):
        assert CauseGate().choose(wanted, circumstances) is None


@given(st.lists(_circumstances, max_size=40))
def test_operations_start_at_least_three_turns_apart(turns: list[Circumstances]) -> None:
    gate = CauseGate()
    starts = [number for number, turn in enumerate(turns) if gate.choose(_STRONG, turn) is not None]
    assert all(later - earlier >= DWELL for earlier, later in pairwise(starts))


@given(_share, _share)
def test_stronger_stabilising_adds_measures_and_drops_none(one: float, other: float) -> None:
    weak, strong = sorted((one, other))
    assert set(stabilisers(weak)) <= set(stabilisers(strong))
    assert stabilisers(0.0) == ()
    assert stabilisers(1.0)[-1] == "cooldown"
