"""Segments: the turns around operations, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.balance.recording import AFTER, BEFORE, LONGEST, Recording, Segment


def _segments(intensities: list[float]) -> list[Segment]:
    recording = Recording("alice")
    found = [recording.note(0.6 - 0.01 * turn, each) for turn, each in enumerate(intensities)]
    return [segment for segment in found if segment is not None]


def test_a_segment_begins_before_an_operation_and_ends_when_it_has_settled() -> None:
    (segment,) = _segments([0.0] * 5 + [0.4, 0.3] + [0.0] * 9)
    assert [turn.intensity for turn in segment.turns] == [0.0] * BEFORE + [0.4, 0.3] + [0.0] * AFTER
    assert segment.first == BEFORE
    assert segment.baseline == pytest.approx(0.57)
    change, answer = segment.answer
    assert change == pytest.approx(0.7 / 3)
    assert answer == pytest.approx(-0.04)


def test_an_operation_on_the_very_first_turn_tells_nothing() -> None:
    assert _segments([0.4] + [0.0] * 9) == []


@given(st.lists(st.sampled_from([0.0, 0.0, 0.2, 0.7]), max_size=120))
def test_every_segment_has_turns_before_and_after_and_survives_being_written(intensities: list[float]) -> None:
    for segment in _segments(intensities):
        assert 1 <= segment.first <= BEFORE
        assert segment.first < len(segment.turns) <= LONGEST
        assert segment.turns[segment.first].intensity > 0.0
        assert not any(turn.intensity for turn in segment.turns[: segment.first]) or segment.first == BEFORE
        read = Segment.from_json(segment.to_json())
        assert read.answer == pytest.approx(segment.answer, abs=1e-4)


@pytest.mark.parametrize("kept", [None, [], {}, {"tenant": "a", "first": 0, "turns": [[0.1, 0.2]]}, {"turns": 3}])
def test_what_is_no_segment_is_refused(kept: object) -> None:
    with pytest.raises(ValueError, match="segment"):
        Segment.from_json(kept)
