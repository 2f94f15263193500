import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from iskra_metrics.staleness import history_gain, staleness
from iskra_metrics.utterance import Utterance
from metrics.windows import LANGUAGES, Window, auc, dialogue, half_stale, half_worn, healthy, stale, subjects

WINDOWS = 100

Maker = Callable[[str, random.Random, int | None], Window]


def values(maker: Maker, language: str, words: int | None = None) -> list[float]:
    rng = random.Random(f"{maker.__name__} {language} {words}")
    return [staleness(maker(language, rng, words)).value for _ in range(WINDOWS)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("words", "least"), [(None, 0.97), (30, 0.97), (15, 0.95)])
def test_stale_windows_stand_out_from_healthy_ones(language: str, words: int | None, least: float) -> None:
    assert auc(values(healthy, language, words), values(stale, language, words)) >= least


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("maker", [half_stale, half_worn])
@pytest.mark.parametrize("words", [None, 15])
def test_half_stale_windows_stand_out_from_healthy_ones(language: str, maker: Maker, words: int | None) -> None:
    assert auc(values(healthy, language, words), values(maker, language, words)) >= 0.85


@pytest.mark.parametrize("language", LANGUAGES)
def test_thresholds_of_voices_tell_healthy_from_stale_windows(language: str) -> None:
    def share(maker: Maker, threshold: float) -> float:
        return sum(value > threshold for value in values(maker, language)) / WINDOWS

    assert share(healthy, 0.35) <= 0.065
    assert share(healthy, 0.55) <= 0.03
    assert share(half_stale, 0.35) >= 0.79
    assert share(half_stale, 0.55) >= 0.46
    assert share(stale, 0.55) == 1.0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copy_of_an_earlier_turn_never_makes_a_window_less_stale(language: str) -> None:
    rng = random.Random(language)
    for number in range(200):
        maker = (healthy, half_stale, half_worn, stale)[number % 4]
        window = maker(language, rng, rng.choice([None, 30, 15]))[: rng.randint(2, 8)]
        copied = replace(rng.choice(window), role=rng.choice(["user", "assistant"]))

        assert staleness([*window, copied]).value >= staleness(window).value - 1e-9


def test_a_copy_of_a_turn_of_a_healthy_window_is_full_repetition_of_the_latest() -> None:
    window = healthy("english", random.Random(1))

    parts = staleness([*window, window[2]]).parts

    assert parts["raw_closest"] == pytest.approx(1.0)
    assert parts["raw_self_bleu"] == pytest.approx(1.0)
    assert parts["raw_history_gain"] > 0.9


def test_value_is_the_mean_of_the_four_parts() -> None:
    read = staleness(half_worn("russian", random.Random(2)))

    assert read.value == pytest.approx(
        sum(read.parts[name] for name in ("history_gain", "self_bleu", "closest", "sameness")) / 4
    )
    assert read.n_turns == 8
    assert read.confidence == 1.0


def test_confidence_grows_with_turns() -> None:
    window = healthy("english", random.Random(3))

    assert [staleness(window[:n]).confidence for n in (0, 1, 3, 6, 8)] == [0, 1 / 6, 0.5, 1, 1]


def test_times_and_roles_of_the_same_texts_play_no_part() -> None:
    window = half_worn("english", random.Random(4))
    moved = [replace(turn, at=1e9 - 37.5 * i) for i, turn in enumerate(window)]
    swapped = [replace(turn, role="user" if turn.role == "assistant" else "assistant") for turn in window]

    assert staleness(moved) == staleness(window) == staleness(swapped)


def test_results_of_tools_are_passed_over() -> None:
    window = healthy("english", random.Random(5))
    result = Utterance("tool", window[0].text)

    assert staleness([*window, result, result, result]) == staleness(window)


def test_answers_stay_stale_while_the_user_asks_anew() -> None:
    answer = "Похоже, тест не передаёт токен. Добавьте заголовок и запустите его снова."
    questions = subjects("russian")[5]
    window = dialogue([text for question in questions[:4] for text in (question, answer)])

    assert staleness(window).value > 0.55
    assert staleness([*window, Utterance("user", questions[4])]).value > 0.55


def test_two_fresh_turns_end_the_staleness_of_the_latest_turn() -> None:
    window = stale("english", random.Random(8))
    first, second = subjects("english")[0][:2]

    parts = staleness([*window, Utterance("user", first), Utterance("assistant", second)]).parts

    assert parts["history_gain"] + parts["self_bleu"] + parts["closest"] < 0.3


def test_short_agreement_repeats_nothing() -> None:
    window = healthy("english", random.Random(6))
    agreed = [turn for one in window for turn in (one, Utterance("user", "Yes, go on."))]

    assert staleness(agreed).value < 0.2


def test_a_jump_to_another_subject_is_not_stale() -> None:
    first, second = subjects("english")[:2]

    assert staleness(dialogue([*first[:4], *second[:4]])).value < 0.2


def test_history_that_holds_the_text_saves_nearly_all_of_it() -> None:
    one, other = subjects("russian")[0][:2]

    assert history_gain([one, other], one) > 0.9
    assert history_gain([other], one) < 0.5
    assert 0.0 <= history_gain([], one) < 0.2
