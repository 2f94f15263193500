"""How many different things there are among some, by the Vendi score."""

import math
from collections.abc import Sequence

_SWEEPS = 30
_PRECISION = 1e-9
_SMALL = 1e-12


def vendi_score(kernel: Sequence[Sequence[float]]) -> float:
    """Return the effective number of different items, from 1 (all alike) to ``n`` (all unlike); 0 for no items.

    It is exp of the Shannon entropy of the eigenvalues of ``kernel / n`` (Friedman and Dieng, "The Vendi Score", 2022).

    Args:
        kernel: Symmetric, positive semidefinite similarities of shape (n, n) with ones on the diagonal.
    """
    n = len(kernel)
    if n == 0:
        return 0.0
    found = [max(0.0, value) / n for value in eigenvalues(kernel)]
    total = math.fsum(found)
    entropy = -math.fsum(value / total * math.log(value / total) for value in found if value > _SMALL * total)
    return min(float(n), math.exp(entropy))


def eigenvalues(matrix: Sequence[Sequence[float]]) -> list[float]:
    """Return the eigenvalues of a symmetric matrix, in no order.

    Cyclic Jacobi rotations: Golub and Van Loan, *Matrix Computations* (4th ed.), section 8.5. They suit matrices of a
    few rows, need no library, and end when what is left beside the diagonal is a billionth of the largest entry.
    """
    a = [list(row) for row in matrix]
    n = len(a)
    scale = max((abs(value) for row in a for value in row), default=0.0)
    for _ in range(_SWEEPS):
        largest = 0.0
        for p in range(n - 1):
            for q in range(p + 1, n):
                off = a[p][q]
                if abs(off) <= _PRECISION * scale:
                    continue
                largest = max(largest, abs(off))
                _rotate(a, p, q)
        if largest <= _PRECISION * scale:
            break
    return [a[i][i] for i in range(n)]


def _rotate(a: list[list[float]], p: int, q: int) -> None:
    """Turn rows and columns ``p`` and ``q`` so that ``a[p][q]`` becomes zero."""
    row_p, row_q = a[p], a[q]
    theta = (row_q[q] - row_p[p]) / (2.0 * row_p[q])
    t = math.copysign(1.0, theta) / (abs(theta) + math.hypot(1.0, theta))
    cos = 1.0 / math.hypot(1.0, t)
    sin = t * cos
    shift = t * row_p[q]
    diagonal_p, diagonal_q = row_p[p] - shift, row_q[q] + shift
    for k, (at_p, at_q) in enumerate(zip(row_p, row_q, strict=True)):
        if k not in (p, q):
            row_p[k] = a[k][p] = cos * at_p - sin * at_q
            row_q[k] = a[k][q] = sin * at_p + cos * at_q
    row_p[p], row_q[q] = diagonal_p, diagonal_q
    row_p[q] = row_q[p] = 0.0
