import random
from collections.abc import Callable

import pytest

from iskra_metrics.drift import drift
from iskra_metrics.reading import Reading
from iskra_metrics.utterance import Utterance
from metrics.windows import LANGUAGES, Window, auc, dialogue, off_course, on_course, subjects

WINDOWS = 120


def readings(maker: Callable[[str, random.Random], Window], language: str) -> list[Reading]:
    rng = random.Random(f"{maker.__name__} {language}")
    return [drift(maker(language, rng)) for _ in range(WINDOWS)]


@pytest.mark.parametrize(("language", "least"), [("russian", 0.75), ("english", 0.90)])
def test_conversations_that_left_their_subject_stand_out(language: str, least: float) -> None:
    near, far = readings(on_course, language), readings(off_course, language)

    assert auc([read.parts["raw"] for read in near], [read.parts["raw"] for read in far]) >= least
    assert auc([read.value for read in near], [read.value for read in far]) >= least


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_session_the_line_spreads_what_crowds_near_one(language: str) -> None:
    near, far = readings(on_course, language), readings(off_course, language)

    assert sum(read.value for read in near) / WINDOWS < 0.40
    assert sum(read.value for read in far) / WINDOWS > 0.65


def test_a_session_that_is_always_far_from_its_first_turns_is_not_drifting() -> None:
    window = off_course("english", random.Random(1))
    distance = drift(window).parts["distance"]
    usual = [distance + step / 1000 for step in range(-4, 5)] * 3

    assert drift(window, baseline=usual).value < 0.3 < drift(window).value


def test_a_distance_above_all_of_the_session_drifts_more_than_one_below() -> None:
    window = off_course("russian", random.Random(2))
    distance = drift(window).parts["distance"]

    above = drift(window, baseline=[distance - 0.05] * 16)
    below = drift(window, baseline=[distance + 0.01] * 16)

    assert above.parts["rank"] == 1.0
    assert below.parts["rank"] == 0.0
    assert above.value > below.value


def test_goal_counts_as_intent() -> None:
    first, second = subjects("english")[:2]
    window = [Utterance("user", text) for text in first[:1]] + dialogue(second[:4])

    assert drift(window, goal=" ".join(second[4:8])).parts["raw"] < drift(window).parts["raw"]


@pytest.mark.parametrize(
    "window",
    [
        [],
        [Utterance("user", "How do I bake rye bread at home?")],
        [Utterance("assistant", "Rye bread needs a sour starter and patience.")],
        [Utterance("user", "How do I bake rye bread at home?"), Utterance("assistant", "Ok.")],
    ],
)
def test_nothing_to_compare_is_no_drift(window: Window) -> None:
    assert drift(window).value == 0.0


def test_turns_that_are_one_object_are_told_apart() -> None:
    one = Utterance("user", "How do I bake rye bread with a sour starter at home?")

    assert drift([one] * 7).parts["raw"] == pytest.approx(0.0, abs=1e-9)
    assert drift([one] * 7).value == 0.0
