"""Choosing an answer by its number: what chooses, and what merely holds a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_chaos.operations.branch_choice import number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("2.", 2),
        ("№ 3", 3),
        ("Take 2", 2),
        ("@ask 2", 2),
        ("@perturbation вариант 3", 3),
        ("I'll take the second one, please", 2),
        ("Let's go with version 3", 3),
        ("option 1", 1),
        ("Вариант 2", 2),
        ("Давай третий вариант", 3),
        ("возьми второй, пожалуйста", 2),
        ("Беру первый", 1),
    ],
)
def test_who_does_nothing_but_choose_is_understood(text: str, number: int) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Go on",
        "We need 2 stages",
        "Take 2 or 3",
        "0.3",
        "I want the one with the barge",
        "Take two tents and pitch them",
        "Нужно 2 сцены",
        "Дай несколько вариантов, сила 30%",
        "На 2 мая",
        "12",
    ],
)
def test_who_says_anything_else_chooses_nothing(text: str) -> None:
    assert number_in(text) is None


@given(st.text())
def test_any_text_is_a_number_that_can_be_offered_or_none(text: str) -> None:
    assert number_in(text) in {None, *range(10)}
