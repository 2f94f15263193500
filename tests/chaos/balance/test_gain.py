"""What is learned of a session's gain."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.gain import GAIN_RANGE, INTERVENTIONS_NEEDED, SCALE_RANGE, GainEstimate

_anything = st.floats(allow_nan=True, allow_infinity=True)


def _learned(gain: float, interventions: int, *, noise: float = 0.03, seed: int = 1) -> GainEstimate:
    random, estimate = Random(seed), GainEstimate()
    for _ in range(interventions):
        change = random.choice((-1, 1)) * random.uniform(0.1, 0.5)
        estimate.observe(change, -gain * change + random.gauss(0, noise))
    return estimate


@pytest.mark.parametrize("gain", [0.3, 0.5, 1.0, 1.5, 1.9])
def test_the_gain_is_found_within_a_tenth_after_sixty_interventions(gain: float) -> None:
    estimate = _learned(gain, 60)
    assert estimate.gain == pytest.approx(gain, rel=0.1)
    assert estimate.scale == pytest.approx(min(max(1 / gain, 0.5), 2.0), rel=0.1)


def test_nothing_is_scaled_before_twenty_interventions() -> None:
    assert _learned(0.5, INTERVENTIONS_NEEDED - 1).scale == 1.0
    assert _learned(0.5, INTERVENTIONS_NEEDED).scale > 1.5


def test_a_gain_that_changes_is_followed() -> None:
    random, estimate = Random(3), _learned(1.6, 100)
    for _ in range(150):
        change = random.choice((-0.3, 0.3))
        estimate.observe(change, -0.5 * change + random.gauss(0, 0.03))
    assert estimate.gain == pytest.approx(0.5, rel=0.25)


@given(st.lists(st.tuples(_anything, _anything), max_size=60))
def test_no_reading_takes_the_estimate_out_of_its_range(interventions: list[tuple[float, float]]) -> None:
    estimate = GainEstimate()
    for change, answer in interventions:
        estimate.observe(change, answer)
        assert GAIN_RANGE[0] <= estimate.gain <= GAIN_RANGE[1]
        assert SCALE_RANGE[0] <= estimate.scale <= SCALE_RANGE[1]
        assert estimate.variance > 0.0


def test_a_session_that_answers_the_wrong_way_round_is_held_at_the_least_gain() -> None:
    assert _learned(-1.0, 60).gain == GAIN_RANGE[0]


def test_changes_that_tell_nothing_are_not_counted() -> None:
    estimate = GainEstimate()
    for change, answer in ((0.0, 0.3), (0.01, 0.3), (float("nan"), 0.1), (0.3, float("inf")), (1e308, 0.1)):
        estimate.observe(change, answer)
    assert estimate == GainEstimate()
