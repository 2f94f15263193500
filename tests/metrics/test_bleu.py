import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.bleu import bleu

WORDS = st.lists(st.sampled_from("abcde"), max_size=12)


@given(WORDS.filter(bool), st.lists(WORDS, max_size=4))
def test_a_copy_among_the_references_scores_one(words: list[str], others: list[list[str]]) -> None:
    assert bleu(words, [*others, words]) == pytest.approx(1.0)


@given(WORDS, st.lists(WORDS, max_size=4))
def test_score_lies_between_zero_and_one(words: list[str], references: list[list[str]]) -> None:
    assert 0.0 <= bleu(words, references) <= 1.0


def test_words_that_never_match_score_nothing() -> None:
    assert bleu(["x", "y"], [["a", "b"]]) == 0.0
    assert bleu([], [["a"]]) == 0.0
    assert bleu(["a"], [[], []]) == 0.0


def test_score_is_that_worked_out_by_hand() -> None:
    hypothesis = ["the", "cat", "sat", "on", "the", "mat"]
    reference = ["the", "cat", "lay", "on", "the", "mat"]
    # Matches of one to four words: 5 of 6, 3 of 5, 1 of 4, none (counted .1) of 3; the lengths are equal.
    expected = math.exp((math.log(5 / 6) + math.log(3 / 5) + math.log(1 / 4) + math.log(0.1 / 3)) / 4)

    assert bleu(hypothesis, [reference]) == pytest.approx(expected)


def test_a_fragment_of_a_reference_is_held_back_by_its_brevity() -> None:
    assert bleu(["a", "b"], [["a", "b", "c", "d"]]) == pytest.approx(math.exp(1 - 4 / 2))
