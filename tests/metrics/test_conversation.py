import json
import random

import pytest

from iskra_metrics.conversation import FIRST_DISTANCES, LONGEST_BASELINE, ConversationState, Readings
from iskra_metrics.pain import pain
from iskra_metrics.trust import trust
from iskra_metrics.utterance import Utterance
from metrics.windows import LANGUAGES, Window, dialogue, healthy, off_course, stale, subjects

NAMES = [
    "staleness",
    "drift",
    "clarity",
    "chaos",
    "stability",
    "contradiction",
    "trust",
    "pain",
    "silence",
    "entropy",
]


def live(conversation: Window, state: ConversationState | None = None) -> tuple[list[Readings], ConversationState]:
    """Update a state once per turn."""
    state = state or ConversationState()
    return [state.update(conversation[: n + 1]) for n in range(len(conversation))], state


def test_every_metric_is_read_and_named() -> None:
    readings = ConversationState().update(healthy("english", random.Random(1)))

    assert list(readings.values) == NAMES
    assert readings.values["drift"] == readings.drift.value


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_state_that_went_through_json_goes_on_as_if_nothing_had_been(language: str) -> None:
    conversation = [*healthy(language, random.Random(2)), *off_course(language, random.Random(3))]
    _, state = live(conversation[:9])
    again = ConversationState.from_json(json.loads(json.dumps(state.to_json())))

    assert again == state
    assert live(conversation, again) == live(conversation, state)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"trust": "high", "turns": -3, "distances": {"a": 1}, "last": [1], "pain": None, "unknown": 1},
        {"trust": float("nan"), "chaos": float("inf"), "turns": "7", "distances": [None, "x"], "last": {"pain": "y"}},
    ],
)
def test_what_is_unusable_in_json_begins_anew(data: dict[str, object]) -> None:
    assert ConversationState.from_json(data) == ConversationState()


def test_what_json_holds_out_of_range_is_moved_into_it() -> None:
    state = ConversationState.from_json({"trust": 7, "pain": -1, "distances": [0.5, 9.0]})

    assert (state.trust, state.pain, state.distances) == (1.0, 0.0, [0.5, 1.0])


def test_trust_falls_faster_than_it_rises() -> None:
    bad = [Utterance("user", "ты врёшь, это выдумка"), Utterance("assistant", "Упало 17 тестов из 400.")]
    good = [Utterance("user", "Упало 17 тестов из 400"), Utterance("assistant", "Упало 17 тестов из 400.")]
    state = ConversationState()

    state.update(bad)
    fallen = state.trust
    state.update(good)

    assert 0.80 - fallen == pytest.approx(0.5 * (0.80 - trust(bad).value))
    assert state.trust - fallen == pytest.approx(0.15 * (trust(good).value - fallen))


def test_pain_and_silence_fade_slowly_when_the_user_goes_on() -> None:
    state = ConversationState()
    state.update([Utterance("user", "I want to die.")])
    after = state.update([Utterance("user", "Please show me the next table.")])

    assert pain([Utterance("user", "Please show me the next table.")]).value == 0.0
    assert after.pain.value == pytest.approx(0.95)
    assert after.silence.value == pytest.approx(0.8 * 0.8 * 0.10)


def test_failing_calls_and_failing_service_show_in_chaos_and_stability() -> None:
    window = healthy("english", random.Random(4))

    def readings(**circumstances: float) -> Readings:
        return ConversationState().update(window, **circumstances)  # type: ignore[arg-type]  # named by the tests below

    assert readings(error_rate=1.0).chaos.value == pytest.approx(readings().chaos.value + 0.3 * 0.2)
    assert readings(health=0.0).stability.value == pytest.approx(readings().stability.value - 0.2)


def test_a_conversation_that_changes_its_subject_drifts_after_one_that_kept_to_it() -> None:
    first, second = subjects("english")[:2]
    conversation = dialogue([*first, *first, *second[:6]])

    readings, _ = live(conversation)

    assert max(read.drift.value for read in readings[6:16]) < 0.30
    assert readings[-1].drift.value > 0.50


def test_the_baseline_of_drift_is_bounded_and_does_not_learn_what_is_off_course() -> None:
    first, second = subjects("english")[:2]
    _, state = live(dialogue(first * 12))
    assert len(state.distances) == LONGEST_BASELINE

    _, state = live(dialogue([*first, *(second * 3)]))
    assert FIRST_DISTANCES <= len(state.distances) < 20


def test_volatility_rises_when_a_conversation_turns_and_falls_when_it_settles() -> None:
    one = stale("english", random.Random(5))
    other = healthy("russian", random.Random(6))
    state = ConversationState()
    for _ in range(12):
        state.update(one)
    settled = state.volatility
    state.update(other)

    assert settled < state.volatility
    assert settled < 0.1
