import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.experiments.statistics import (
    SequentialTest,
    compare_quantiles,
    quantile,
    rule_of_three,
    wilson_interval,
)


def decide(rate: float, draw: random.Random, limit: int = 20_000) -> tuple[str, int]:
    test = SequentialTest(0.005, 0.02)
    while test.decision == "continue" and test.requests < limit:
        test.observe(draw.random() < rate)
    return test.decision, test.requests


@pytest.mark.parametrize(("rate", "wrong", "bound"), [(0.005, "reject", 0.05), (0.02, "accept", 0.05)])
def test_the_sequential_test_keeps_its_error_rates(rate: float, wrong: str, bound: float) -> None:
    draw = random.Random(20261)
    runs = [decide(rate, draw)[0] for _ in range(1500)]
    # Wald: alpha / (1 - beta) bounds the rate; three standard errors of 1,500 runs are .017.
    assert runs.count(wrong) / len(runs) <= bound / 0.95 + 0.017
    assert "continue" not in runs


def test_the_sequential_test_needs_fewer_requests_than_a_fixed_sample() -> None:
    draw = random.Random(7)
    stops = [decide(0.02, draw)[1] for _ in range(600)]
    # The fixed design for the same errors takes 1,185 requests in each arm.
    assert 150 <= sum(stops) / len(stops) <= 400
    bad = sorted(decide(0.05, draw)[1] for _ in range(600))
    assert bad[300] <= 100


def test_a_decision_stands() -> None:
    test = SequentialTest(0.01, 0.5)
    while test.decision == "continue":
        test.observe(True)
    counted = test.requests
    assert test.decision == "reject"
    assert all(test.observe(False) == "reject" for _ in range(100))
    assert test.requests == counted


@pytest.mark.parametrize("arguments", [(0.02, 0.01), (0.0, 0.1), (0.1, 1.0), (0.01, 0.02, 0.5), (0.01, 0.02, 0.1, 0.0)])
def test_impossible_tests_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"between|hold"):
        SequentialTest(*arguments)


@given(st.integers(1, 2000), st.data())
def test_wilson_holds_the_estimate_within_zero_and_one(requests: int, data: st.DataObject) -> None:
    failures = data.draw(st.integers(0, requests))
    interval = wilson_interval(failures, requests)
    assert 0.0 <= interval.low <= interval.estimate == failures / requests <= interval.high <= 1.0


def test_wilson_gives_known_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 15 of 148.
    assert wilson_interval(81, 263).low == pytest.approx(0.2553, abs=1e-4)
    assert wilson_interval(81, 263).high == pytest.approx(0.3662, abs=1e-4)
    assert wilson_interval(15, 148).low == pytest.approx(0.0624, abs=1e-4)
    assert wilson_interval(0, 0) == wilson_interval(0, 0).__class__(0.0, 0.0, 1.0)


def test_more_failures_than_requests_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 failures of 2"):
        wilson_interval(3, 2)


def test_the_rule_of_three() -> None:
    assert rule_of_three(10_000) == pytest.approx(0.0003, rel=0.01)
    assert rule_of_three(0) == 1.0
    assert (1 - rule_of_three(50)) ** 50 == pytest.approx(0.05)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_a_value_that_enough_values_do_not_exceed(values: list[float], q: float) -> None:
    ordered = sorted(values)
    value = quantile(ordered, q)
    assert value in ordered
    assert sum(other <= value for other in ordered) >= q * len(ordered) - 1e-6


def test_the_short_way_to_resample_a_quantile_is_the_long_one() -> None:
    draw = random.Random(3)
    control = [draw.lognormvariate(0, 0.5) for _ in range(150)]
    experiment = [draw.lognormvariate(0.4, 0.5) for _ in range(150)]

    def resampled(values: list[float]) -> float:
        return quantile(sorted(draw.choices(values, k=len(values))), 0.9)

    plain = sorted(resampled(experiment) / resampled(control) for _ in range(4000))
    short = compare_quantiles(control, experiment, 0.9, resamples=4000)
    assert short.ratio.low == pytest.approx(quantile(plain, 0.025), rel=0.06)
    assert short.ratio.high == pytest.approx(quantile(plain, 0.975), rel=0.06)


def test_the_comparison_finds_a_slower_arm_and_no_difference_where_there_is_none() -> None:
    draw = random.Random(5)
    same = [draw.lognormvariate(0, 0.3) for _ in range(2000)]
    slow = [3 * draw.lognormvariate(0, 0.3) for _ in range(2000)]
    assert compare_quantiles(same[:1000], slow).ratio.low > 2.0
    even = compare_quantiles(same[:1000], same[1000:]).ratio
    assert even.low <= 1.0 <= even.high


def test_the_comparison_repeats_itself_for_a_seed() -> None:
    values = [float(number % 17) for number in range(1, 400)]
    assert compare_quantiles(values, values, seed=4) == compare_quantiles(values, values, seed=4)
    assert compare_quantiles(values, values[::-1], seed=4) == compare_quantiles(values, values, seed=4)
