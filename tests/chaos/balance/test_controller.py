"""The controller's laws, whatever the tension does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.controller import DEAD_ZONE, LEAST_CONFIDENCE, SLEW, ControllerState, PIController
from iskra_chaos.balance.tension import TensionAverage, status_of, tension

_tensions = st.floats(-1.0, 1.0)
_histories = st.lists(_tensions, max_size=30)
_anything = st.floats(allow_nan=True, allow_infinity=True)


def _after(history: list[float]) -> PIController:
    controller = PIController()
    for value in history:
        controller.step(value)
    return controller


@given(_histories, _tensions, _tensions)
def test_more_tension_never_asks_for_less_perturbation(history: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    state = _after(history).state
    assert PIController(state=state).step(low).value <= PIController(state=state).step(high).value


@given(_histories, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_staleness_never_lowers_the_intensity(history: list[float], one: float, other: float, rest: float) -> None:
    """By the definition of chaos: .35 times what is not stale, and the rest."""
    fresh, stale = sorted((one, other))
    state, values = _after(history).state, []
    for staleness in (fresh, stale):
        chaos = 0.35 * (1.0 - staleness) + 0.65 * rest
        values.append(PIController(state=state).step(tension(chaos, 0.85)).value)
    assert values[0] <= values[1]


@given(st.lists(_anything, max_size=60), st.floats(0.5, 2.0))
def test_the_output_keeps_its_range_its_slew_and_its_dead_zone(readings: list[float], scale: float) -> None:
    controller = PIController()
    before = 0.0
    for reading in readings:
        value = controller.step(reading, scale=scale).value
        output = controller.state.output
        assert abs(output) <= 1.0
        assert abs(output - before) <= SLEW + 1e-12
        assert value == (output if abs(output) >= DEAD_ZONE else 0.0)
        assert math.isfinite(controller.state.integral)
        before = output


@given(_histories, _anything, st.sampled_from(("forbidden", "unsure", "no confidence", "no tension")))
def test_frozen_changes_neither_output_nor_integral(history: list[float], reading: float, why: str) -> None:
    controller = _after(history)
    state = controller.state
    intensity = {
        "forbidden": lambda: controller.step(reading, may_act=False),
        "unsure": lambda: controller.step(reading, confidence=LEAST_CONFIDENCE - 0.01),
        "no confidence": lambda: controller.step(reading, confidence=math.nan),
        "no tension": lambda: controller.step(math.nan),
    }[why]()
    assert intensity.phase == "frozen"
    assert controller.state == state


def test_it_acts_beyond_the_outer_line_and_rests_within_the_inner_one() -> None:
    controller = PIController()
    assert controller.step(0.35).phase == "resting"
    assert controller.step(0.36).phase == "acting"
    assert controller.step(0.33).phase == "acting"
    assert controller.step(0.31).phase == "acting"
    held = controller.step(0.345)
    assert held.phase == "resting"
    assert controller.step(0.26) == held
    assert controller.step(0.24).phase == "acting"


def test_it_perturbs_the_rigid_and_stabilises_the_loose() -> None:
    wanted, unwanted = _after([0.65] * 5).step(0.65), _after([-0.05] * 5).step(-0.05)
    assert wanted.creative > 0.0 == wanted.stabilising
    assert unwanted.stabilising > 0.0 == unwanted.creative


def test_a_state_goes_on_where_it_was_left() -> None:
    readings = [0.6, 0.55, 0.4, 0.3, 0.2, 0.5]
    whole = PIController()
    expected = [whole.step(reading) for reading in readings]
    first = PIController()
    head = [first.step(reading) for reading in readings[:3]]
    kept = ControllerState(**{name: getattr(first.state, name) for name in ("output", "integral", "is_resting")})
    second = PIController(state=kept)
    assert head + [second.step(reading) for reading in readings[3:]] == expected


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_tension_has_a_sign_and_changes_it_when_the_readings_change_places(chaos: float, stability: float) -> None:
    assert tension(chaos, stability) == -tension(stability, chaos)
    assert (status_of(tension(chaos, stability)) == "critical") == (chaos > stability)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (-0.01, "critical"),
        (0.0, "low_tension"),
        (0.2499, "low_tension"),
        (0.25, "optimal"),
        (0.30, "optimal"),
        (0.35, "optimal"),
        (0.3501, "high_tension"),
    ],
)
def test_a_tension_has_a_word(value: float, word: str) -> None:
    assert status_of(value) == word


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_a_reading_out_of_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="chaos is a number"):
        tension(bad, 0.5)
    with pytest.raises(ValueError, match="stability is a number"):
        TensionAverage().update(0.5, bad)


def test_the_average_starts_at_the_first_reading_and_carries_the_offset() -> None:
    average = TensionAverage(offset=-0.15)
    assert average.update(0.4, 0.85) == pytest.approx(0.30)
    assert average.update(0.4, 1.0) == pytest.approx(0.30 + 0.35 * 0.15)
