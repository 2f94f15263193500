import random

import pytest

from iskra_metrics.chaos import chaos
from iskra_metrics.contradiction import contradiction
from iskra_metrics.entropy import entropy
from iskra_metrics.reading import reading
from iskra_metrics.stability import PAGING_BURN_RATE, service_health, stability
from iskra_metrics.utterance import Utterance
from metrics.windows import LANGUAGES, healthy, on_course, stale

FULL, NONE = reading(1.0, 6), reading(0.0, 6)


def test_chaos_weighs_its_parts() -> None:
    def value(stale: float, drift: float, contradiction: float, volatility: float) -> float:
        return chaos(
            [],
            staleness=reading(stale, 6),
            drift=reading(drift, 6),
            contradiction=reading(contradiction, 6),
            volatility=volatility,
        ).value

    assert value(1, 0, 0, 0) == 0.0
    assert value(0, 0, 0, 0) == pytest.approx(0.35)
    assert value(1, 1, 0, 0) == pytest.approx(0.25)
    assert value(1, 0, 1, 0) == pytest.approx(0.20)
    assert value(1, 0, 0, 1) == pytest.approx(0.20)
    assert value(0, 1, 1, 7) == pytest.approx(1.0)


def test_stability_weighs_its_parts() -> None:
    def value(drift: float, contradiction: float, grounding: float, health: float) -> float:
        return stability(
            [],
            drift=reading(drift, 6),
            contradiction=reading(contradiction, 6),
            grounding=grounding,
            health=health,
        ).value

    assert value(0, 0, 1, 1) == pytest.approx(1.0)
    assert value(1, 0, 1, 1) == pytest.approx(0.65)
    assert value(0, 1, 1, 1) == pytest.approx(0.75)
    assert value(0, 0, 0, 1) == pytest.approx(0.80)
    assert value(0, 0, 1, 0) == pytest.approx(0.80)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_healthy_conversation_reads_as_the_design_expects(language: str) -> None:
    windows = [on_course(language, random.Random(number)) for number in range(20)]

    assert sum(chaos(window).value for window in windows) / 20 == pytest.approx(0.40, abs=0.1)
    assert sum(stability(window).value for window in windows) / 20 == pytest.approx(0.85, abs=0.1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stale_conversation_is_less_chaotic_than_a_healthy_one(language: str) -> None:
    rng = random.Random(7)

    assert chaos(stale(language, rng)).value < chaos(healthy(language, rng)).value


def test_service_health_falls_from_the_budget_to_the_page() -> None:
    assert [service_health(rate) for rate in (0.0, 1.0, PAGING_BURN_RATE, 100.0, float("inf"))] == [1, 1, 0, 0, 0]
    assert 0.0 < service_health(6.0) < service_health(2.0) < 1.0


def test_contradictions_are_counted_among_statements_and_by_speaker() -> None:
    window = [
        Utterance("user", "The cache is shared between workers. The disk is full."),
        Utterance("assistant", "Understood. I will look at it tomorrow morning."),
        Utterance("user", "The cache is not shared between workers."),
        Utterance("assistant", "The disk of the server was cleaned. It has 40 GB of space. Workers wait for orders."),
    ]

    read = contradiction(window)

    assert read.parts["pairs"] == read.parts["negation"] == read.parts["of_user"] == 1.0
    assert read.parts["statements"] == 8.0
    assert read.value == pytest.approx(2 / 8)


def test_one_pair_alone_is_not_a_conversation_full_of_contradictions() -> None:
    window = [
        Utterance("user", "The cache is shared between workers."),
        Utterance("assistant", "The cache is not shared between workers."),
    ]

    assert contradiction(window).value == pytest.approx(2 / 8)
    assert contradiction(window).parts["of_user"] == 0.0


def test_entropy_is_one_without_repetition_and_zero_with_nothing_else() -> None:
    assert entropy([Utterance("user", "one two three four")]).value == pytest.approx(1.0)
    assert entropy([Utterance("user", "go go go go")]).value == 0.0
    assert entropy([Utterance("user", "go go stop stop")]).value == pytest.approx(0.5)
    assert entropy([Utterance("user", "go go stop stop")]).parts["bits"] == pytest.approx(1.0)
