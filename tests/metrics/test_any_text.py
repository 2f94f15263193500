import math
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.claims import hedge_rate
from iskra_metrics.conversation import ConversationState
from iskra_metrics.distress import pain_in
from iskra_metrics.reading import Reading
from iskra_metrics.utterance import Role, Utterance

ODD = (
    "",
    " ",
    "🙂🙃👩‍👩‍👧‍👦",
    "שלום עולם, מה שלומך היום?",
    "مرحبا بالعالم ١٢٣",
    "\u200b\u200d\ufeff\u2060",
    "\x00\ud800",
    "²³ ½ Ⅷ ١٢,٣ 12.3.4,5",
    "«“\"'`>|#- 1.",
    "не не не not not",
    "Неверно, что",
    "a" * 3000,
    "....!!!???",
    "Я хочу умереть",
    "5 5 5 5 5 %",
)
PIECES = ("я", "не", "I am", "not", "server", "сервер", "5", "7", "%", ".", "?", "!", "\n-", "«", "»", "хочу", "больно")
TEXTS = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES)).map(" ".join),
)
TURNS = st.builds(
    Utterance,
    st.sampled_from(get_args(Role)),
    TEXTS,
    st.floats(),
)


def check(values: dict[str, float]) -> None:
    for name, value in values.items():
        assert math.isfinite(value), name
        assert 0.0 <= value <= 1.0, name


@given(st.lists(TURNS, max_size=12), TEXTS)
def test_values_of_any_conversation_are_finite_shares(conversation: list[Utterance], goal: str) -> None:
    state = ConversationState()
    for n in range(len(conversation)):
        check(state.update(conversation[:n], goal=goal).values)
    readings = state.update(conversation, goal=goal)
    check(readings.values)
    for name in readings.values:
        reading: Reading = getattr(readings, name)
        assert 0.0 <= reading.confidence <= 1.0
        assert reading.confidence == min(1.0, reading.n_turns / 6)
        assert all(math.isfinite(part) for part in reading.parts.values())
    check(ConversationState.from_json(state.to_json()).update(conversation, goal=goal).values)


@given(TEXTS)
def test_rates_of_any_text_are_shares(text: str) -> None:
    check({"hedges": hedge_rate(text), "pain": pain_in(text)})


@given(st.lists(TURNS, max_size=8))
def test_reading_twice_gives_the_same(conversation: list[Utterance]) -> None:
    untimed = [replace(turn, at=0.0) for turn in conversation]

    assert ConversationState().update(untimed) == ConversationState().update(untimed)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "a" * 1_000_000 + str(n),
        lambda n: "слово " * 170_000 + str(n),
        lambda n: "«" * 1_000_000 + str(n),
        lambda n: "not. " * 200_000 + str(n),
        lambda n: ">\n" * 500_000 + str(n),
        lambda n: "12. " * 250_000 + str(n),
        lambda n: "\u200b" * 1_000_000 + str(n),
    ],
)
def test_a_megabyte_in_every_turn_is_read(make: Callable[[int], str]) -> None:
    conversation = [Utterance("assistant" if n % 2 else "user", make(n)) for n in range(8)]

    check(ConversationState().update(conversation).values)
