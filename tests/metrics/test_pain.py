import pytest

from iskra_metrics.distress import pain_in
from iskra_metrics.pain import pain
from iskra_metrics.utterance import Utterance

SAD = "I am so lonely and exhausted."
CALM = "Please show me the next table."


def user(*texts: str) -> list[Utterance]:
    return [Utterance("user", text) for text in texts]


def test_pain_builds_up_and_fades_with_turns() -> None:
    rising = [pain(user(*[SAD] * n)).value for n in range(5)]
    falling = [pain(user(SAD, SAD, *[CALM] * n)).value for n in range(5)]

    assert rising == sorted(rising)
    assert len(set(rising)) == 5
    assert falling == sorted(falling, reverse=True)
    assert pain(user(SAD)).value == pytest.approx(0.35 * pain_in(SAD))


def test_pain_is_that_of_the_user() -> None:
    assert pain([Utterance("assistant", SAD), Utterance("tool", SAD)]).value == 0.0


def test_a_crisis_overrides_the_average_for_four_turns() -> None:
    held = [pain(user("I want to die.", *[CALM] * n)).value == 1.0 for n in range(6)]

    assert held == [True, True, True, True, False, False]
