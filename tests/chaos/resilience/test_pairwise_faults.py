from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.experiments.pairwise_faults import covering_rounds, smallest


@given(st.integers(2, 16), st.integers(2, 8), st.integers())
def test_every_pair_is_in_a_round(count: int, size: int, seed: int) -> None:
    rounds = covering_rounds(count, size, seed)
    covered = {pair for each in rounds for pair in combinations(each, 2)}
    assert covered == set(combinations(range(count), 2))
    assert all(len(set(each)) == len(each) <= max(size, 2) for each in rounds)
    assert rounds == covering_rounds(count, size, seed)


def test_larger_rounds_make_fewer() -> None:
    assert len(covering_rounds(12, 2)) == 66
    assert len(covering_rounds(12, 4)) < 20
    assert len(covering_rounds(12, 12)) == 1


@given(st.sets(st.integers(0, 9), min_size=1, max_size=3))
async def test_nothing_can_be_left_out_of_what_still_breaks(culprits: set[int]) -> None:
    async def is_broken(parts: Sequence[int]) -> bool:
        return culprits <= set(parts)

    assert set(await smallest(range(10), is_broken)) == culprits
