"""The safety envelope: circumstances make it tighter, and nothing makes it wider."""

from dataclasses import fields, replace
from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.bounds import (
    ENVELOPE,
    MOST_POSTPONEMENTS,
    READY_FROM,
    Bounds,
    Postponing,
    Surroundings,
    bounds_in,
    is_within_hours,
)
from iskra_chaos.balance.causes import CauseGate, Circumstances, opens_gate
from iskra_chaos.balance.controller import DEAD_ZONE, Intensity

_anything = st.floats(allow_nan=True, allow_infinity=True)
_share = st.floats(0.0, 1.0)
_surroundings = st.builds(
    Surroundings,
    sensitivity=_anything,
    pain=_anything,
    clarity=_anything,
    stability=_anything,
    chaos=_anything,
    health=_anything,
    is_experimenting=st.booleans(),
    is_quiet_hour=st.booleans(),
)
_sane = st.builds(
    Surroundings,
    sensitivity=_share,
    pain=_share,
    clarity=_share,
    stability=_share,
    chaos=_share,
    health=_share,
    is_experimenting=st.booleans(),
    is_quiet_hour=st.booleans(),
)
_WORSE: dict[str, Any] = {
    "sensitivity": 1.0,
    "pain": 1.0,
    "clarity": 0.0,
    "stability": 0.0,
    "chaos": 1.0,
    "health": 0.0,
    "is_experimenting": True,
    "is_quiet_hour": True,
}


@given(_surroundings)
def test_no_surroundings_whatever_loosen_a_bound(surroundings: Surroundings) -> None:
    assert bounds_in(surroundings).is_within(ENVELOPE)


@given(_sane, st.sampled_from(sorted(_WORSE)))
def test_what_gets_worse_never_loosens_a_bound(surroundings: Surroundings, name: str) -> None:
    worse = replace(surroundings, **{name: _WORSE[name]})
    assert bounds_in(worse).is_within(bounds_in(surroundings))
    assert worse.readiness <= surroundings.readiness


@given(_surroundings, st.sampled_from(sorted(_WORSE)))
def test_what_is_no_number_counts_as_the_worst(surroundings: Surroundings, name: str) -> None:
    if name.startswith("is_"):
        return
    no_number: dict[str, Any] = {name: float("nan")}
    unknown = bounds_in(replace(surroundings, **no_number))
    assert unknown == bounds_in(replace(surroundings, **{name: _WORSE[name]}))


@given(_surroundings, _share)
def test_a_dose_is_never_more_than_was_wanted(surroundings: Surroundings, wanted: float) -> None:
    dose = bounds_in(surroundings).dose(wanted)
    assert dose <= wanted
    assert dose == 0.0 or dose >= DEAD_ZONE


@given(
    st.builds(Circumstances, staleness=_share, drift=_share, contradictions=st.integers(0, 1), has_loop=st.booleans()),
    st.builds(
        Bounds,
        may_start=st.just(True),
        most_intensity=st.floats(0.0, 5.0),
        damping=st.floats(0.0, 5.0),
        half_stale=st.floats(-1.0, 1.0),
        stale=st.floats(-1.0, 1.0),
        dwell=st.integers(-3, 9),
    ),
    _share,
    st.integers(0, 2),
)
def test_bounds_that_somebody_made_too_wide_count_as_the_envelope(
    circumstances: Circumstances, bounds: Bounds, wanted: float, since: int
) -> None:
    choice = CauseGate(since).choose(Intensity(wanted, "acting"), circumstances, bounds)
    if choice is not None:
        assert opens_gate(circumstances)
        assert since == 2, "three turns pass between two starts"
        assert choice.intensity <= wanted


@pytest.mark.parametrize(
    ("surroundings", "most"),
    [
        (Surroundings(), 1.0),
        (Surroundings(sensitivity=0.5), 0.7),
        (Surroundings(chaos=0.48), 0.69),
        (Surroundings(chaos=0.64), 0.39),
        (Surroundings(chaos=0.76), 0.1),
        (Surroundings(chaos=0.80), 0.0),
        (Surroundings(pain=0.49), 0.1),
        (Surroundings(pain=0.50), 0.0),
        (Surroundings(clarity=0.30), 0.0),
        (Surroundings(stability=0.40), 0.0),
        (Surroundings(health=0.8), 0.8),
        (Surroundings(health=0.49), 0.0),
        (Surroundings(is_quiet_hour=True), 0.39),
        (Surroundings(is_experimenting=True), 0.0),
    ],
)
def test_the_published_doses(surroundings: Surroundings, most: float) -> None:
    assert bounds_in(surroundings).dose(1.0) == pytest.approx(most)
    assert bool(bounds_in(surroundings).reasons) == (most < 1.0)


@pytest.mark.parametrize(
    ("chaos", "word"),
    [(0.0, "none"), (0.47, "none"), (0.48, "watch"), (0.64, "caution"), (0.76, "last_call"), (0.8, "stop")],
)
def test_warning_lines(chaos: float, word: str) -> None:
    assert Surroundings(chaos=chaos).warning == word


def test_every_field_of_the_surroundings_matters() -> None:
    assert {each.name for each in fields(Surroundings)} == set(_WORSE)
    for name, worst in _WORSE.items():
        assert bounds_in(replace(Surroundings(), **{name: worst})) != ENVELOPE, name


@given(st.lists(_share, max_size=60))
def test_nothing_is_put_off_more_than_twice_in_a_row(readiness: list[float]) -> None:
    postponing, running = Postponing(), 0
    for each in readiness:
        decision = postponing.decide(each)
        assert (decision == "start") == (each >= READY_FROM)
        running = running + 1 if decision == "postpone" else 0
        assert running <= MOST_POSTPONEMENTS


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        ("", time(3), False),
        ("22:00-07:00", time(22), True),
        ("22:00-07:00", time(6, 59), True),
        ("22:00-07:00", time(7), False),
        ("01:00-05:00", time(3), True),
        ("01:00-05:00", time(0, 30), False),
    ],
)
def test_quiet_hours_may_cross_midnight(hours: str, now: time, *, expected: bool) -> None:
    assert is_within_hours(hours, now) is expected
