import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_plugins.offline.bm25 import K1, BM25Index

TEXTS = [
    {"circuit": 2.0, "breaker": 2.0, "model": 1.0},
    {"model": 3.0, "router": 1.0},
    {"plugin": 1.0, "model": 1.0, "breaker": 1.0, "filler": 20.0},
]


def test_a_rare_word_outweighs_a_common_one() -> None:
    index = BM25Index(TEXTS)
    assert index.rarity("router") > index.rarity("breaker") > index.rarity("model") > 0
    assert index.search([("router",), ("model",)])[0].document == 1


def test_of_two_texts_with_a_word_the_shorter_one_is_better() -> None:
    assert [hit.document for hit in BM25Index(TEXTS).search([("breaker",)])] == [0, 2]


def test_the_score_is_that_of_the_formula() -> None:
    index = BM25Index([{"a": 1.0}, {"b": 1.0}])
    (hit,) = index.search([("a",)])
    # Both texts have the mean length, so the length norm is one: idf * tf * (k1 + 1) / (tf + k1).
    assert hit.score == pytest.approx(math.log(1 + 1.5 / 1.5) * (K1 + 1) / (1 + K1))


def test_coverage_is_the_share_of_the_question_that_a_text_answers() -> None:
    index = BM25Index(TEXTS)
    assert index.search([("router",)])[0].coverage == pytest.approx(1.0)
    assert index.search([("router",), ("unheard",)])[0].coverage == pytest.approx(0.5)
    assert index.search([("model",), ("unheard",)])[0].coverage < 0.3


def test_of_the_words_for_one_idea_the_best_counts_once() -> None:
    index = BM25Index(TEXTS)
    both = index.search([("circuit", "breaker")])[0]
    alone = index.search([("circuit",)])[0]
    assert (both.document, both.score) == (alone.document, alone.score)


def test_what_occurs_nowhere_finds_nothing() -> None:
    assert BM25Index(TEXTS).search([("unheard",)]) == []
    assert BM25Index(TEXTS).search([]) == []
    assert BM25Index([]).search([("model",)]) == []


terms = st.sampled_from("abcdef")


@given(
    st.lists(st.dictionaries(terms, st.floats(0.5, 5), max_size=4), max_size=6), st.lists(st.tuples(terms), max_size=4)
)
def test_hits_are_ordered_and_hold_a_word_of_the_question(
    documents: list[dict[str, float]], query: list[tuple[str]]
) -> None:
    hits = BM25Index(documents).search(query, limit=10)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert documents[hit.document].keys() & {term for (term,) in query}
        assert 0 < hit.coverage <= 1 + 1e-9
