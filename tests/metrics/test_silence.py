import pytest

from iskra_metrics.silence import silence
from iskra_metrics.utterance import Utterance

LONG = "I would like to know how the tables are moved to the new server."


def user(*texts: str, gaps: tuple[float, ...] = ()) -> list[Utterance]:
    at, turns = 1000.0, []
    for number, text in enumerate(texts):
        at += gaps[number] if gaps else 0.0
        turns.append(Utterance("user", text, at if gaps else 0.0))
    return turns


def test_even_turns_are_not_silent() -> None:
    assert silence(user(LONG, LONG, LONG)).value == 0.0


def test_a_turn_much_shorter_than_usual_weighs_half() -> None:
    parts = silence(user(LONG, LONG, "Well then.")).parts

    assert parts["brevity"] == pytest.approx(1 - 2 / 14)
    assert parts["sparse"] == 0.0


@pytest.mark.parametrize("text", ["…", "Ладно...", "ok", "", "I do not know…"])
def test_turns_of_one_word_or_that_trail_off_are_sparse(text: str) -> None:
    assert silence(user(LONG, LONG, LONG, text)).parts["sparse"] == 0.25


def test_the_longest_pause_ranks_highest() -> None:
    assert silence(user(LONG, LONG, LONG, LONG, gaps=(0, 10, 20, 600))).parts["gap"] == 1.0
    assert silence(user(LONG, LONG, LONG, LONG, gaps=(0, 10, 20, 5))).parts["gap"] == 0.0
    assert silence(user(LONG, LONG, LONG, LONG, gaps=(0, 10, 20, 15))).parts["gap"] == 0.5


def test_times_that_are_not_known_make_no_gap() -> None:
    assert silence(user(LONG, LONG, LONG)).parts["gap"] == 0.0
    odd = [Utterance("user", LONG, at) for at in (float("nan"), float("inf"), -5.0, 3.0, 1.0)]
    assert 0.0 <= silence(odd).value <= 1.0


def test_the_value_is_the_weighted_sum() -> None:
    read = silence(user(LONG, LONG, LONG, "...", gaps=(0, 10, 20, 600)))

    assert read.value == pytest.approx(0.5 + 0.3 + 0.2 / 4)
    assert silence([]).value == 0.0
