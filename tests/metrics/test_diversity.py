"""Measures of how different answers are, and intervals of paired changes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iskra_metrics.bootstrap import paired_change
from iskra_metrics.diversity import compression_ratio, distinct_n, diversity, equally_long, self_bleu, vendi_share

ALIKE = ["The fair begins with a song about the sea."] * 4
UNLIKE = [
    "The fair begins with a song about the sea.",
    "Nobody enters before guessing today's colour of ink.",
    "Twelve bakers race across town carrying warm bread.",
    "Силуэты аистов плывут над старой площадью.",
]


def test_copies_are_less_diverse_by_every_measure() -> None:
    same, other = diversity(ALIKE), diversity(UNLIKE)
    assert same.vendi == pytest.approx(0.25)
    assert other.vendi > 0.8
    assert same.distinct == pytest.approx(0.25)
    assert other.distinct == 1.0
    assert same.self_bleu == pytest.approx(1.0)
    assert other.self_bleu < 0.3
    assert same.compression > other.compression


def test_distinct_is_taken_at_equal_length() -> None:
    long = "one two three one two three one two three one two three"
    cut = equally_long([long, "four five six", ""])
    assert cut == [["one", "two", "three"], ["four", "five", "six"], []]
    assert distinct_n(cut) == 1.0
    assert distinct_n([[], []]) == 0.0
    assert compression_ratio([[], []]) == 0.0


def test_one_sample_has_no_diversity() -> None:
    with pytest.raises(ValueError, match="cannot differ"):
        diversity(["alone"])


@given(st.lists(st.text(max_size=60), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_measures_keep_their_bounds_and_no_order(samples: list[str]) -> None:
    found = diversity(samples)
    assert 0.0 <= found.vendi <= 1.0 + 1e-9
    assert 0.0 <= found.distinct <= 1.0
    assert 0.0 <= found.self_bleu <= 1.0
    assert vendi_share(samples[::-1]) == pytest.approx(found.vendi)
    assert self_bleu(samples[::-1]) == pytest.approx(found.self_bleu)


# Intervals -----------------------------------------------------------------------------------------------------------


def test_a_change_that_all_pairs_share_is_certain_however_they_scatter() -> None:
    before = [0.1, 0.9, 0.5, 0.3]
    change = paired_change([value + 0.1 for value in before], before)
    assert (change.mean, change.low, change.high) == pytest.approx((0.1, 0.1, 0.1))
    assert change.relative == pytest.approx(0.1 / 0.45)


def test_noise_alone_has_zero_within_its_interval_about_as_often_as_promised() -> None:
    draw = random.Random(1)
    outside = 0
    for seed in range(200):
        before, after = ([draw.gauss(0, 1) for _ in range(30)] for _ in range(2))
        change = paired_change(after, before, seed=seed)
        outside += not change.low <= 0 <= change.high
    assert outside <= 24  # 5 % promised; the percentile interval of 30 pairs is a little too narrow


@pytest.mark.parametrize(("after", "before"), [([], []), ([1.0], [1.0, 2.0])])
def test_what_is_not_paired_is_refused(after: list[float], before: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_change(after, before)
