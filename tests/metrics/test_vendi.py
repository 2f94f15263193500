import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.vendi import eigenvalues, vendi_score

NUMBERS = st.floats(-10, 10, allow_nan=False)


@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=n, max_size=n)))
def test_eigenvalues_are_those_of_a_library(rows: list[list[float]]) -> None:
    n = len(rows)
    matrix = [[rows[i][j] + rows[j][i] for j in range(n)] for i in range(n)]

    assert sorted(eigenvalues(matrix)) == pytest.approx(sorted(np.linalg.eigvalsh(matrix)), abs=1e-6)


@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(st.floats(0.1, 1), min_size=4, max_size=4), min_size=n)))
def test_score_lies_between_one_and_the_number_of_items(vectors: list[list[float]]) -> None:
    unit = [[value / math.hypot(*vector) for value in vector] for vector in vectors]
    kernel = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in unit] for a in unit]

    score = vendi_score(kernel)

    assert 1.0 - 1e-9 <= score <= len(kernel)
    assert score <= 4 + 1e-6  # no more different things than dimensions


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_items_all_alike_count_one_and_all_unlike_count_all(n: int) -> None:
    assert vendi_score([[1.0] * n] * n) == pytest.approx(1.0)
    assert vendi_score([[float(i == j) for j in range(n)] for i in range(n)]) == pytest.approx(n)


def test_two_groups_of_equals_count_two() -> None:
    assert vendi_score([[float(i % 2 == j % 2) for j in range(6)] for i in range(6)]) == pytest.approx(2.0)


def test_nothing_counts_nothing() -> None:
    assert vendi_score([]) == 0.0
