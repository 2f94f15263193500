"""Facts that an answer restates keep their hash; facts that it changes do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.fact_hash import canonical, changed_facts, current, gives_values, restated
from iskra_metrics.fact_values import numbers_in

UNCHANGED = [
    ("The fair has a budget of 500 euros.", "With a budget of €500 the fair can rent a stage."),
    ("The fair has a budget of 500 euros.", "The budget of the fair is 500 euros, 300 of which go to the stage."),
    ("The fair has a budget of 500 euros.", "The fair hands its budget to us."),
    ("The fair opens on 12 May 2024.", "The fair opens on May 12."),
    ("The fair opens on 2024-05-12.", "The fair opens on 12 May 2024."),
    ("The committee meeting is led by Anna Petrova.", "Petrova has led the committee meeting."),
    ("The tower is 1,200 metres high.", "That tower is 1200 metres high."),
    ("Бюджет ярмарки — 500 евро.", "Бюджет ярмарки, 500 евро, уйдёт на сцену за 300 евро."),
    ("Собрание комитета ведёт Анна Петрова.", "Собрание комитета с Анной Петровой ведёт к делу."),
    ("Ярмарка открывается 12 мая 2024.", "Ярмарка открывается 12.05.2024."),
    ("Выручка ярмарки 10 000 руб.", "Выручка ярмарки была 10000 рублей."),
    ("Мост через реку открыт.", "Мост через реку открыт всем."),
]
CHANGED = [
    ("The fair has a budget of 500 euros.", "The fair has a budget of 900 euros."),
    ("The fair opens on 12 May 2024.", "The fair opens on 13 May."),
    ("The fair opens at 14:30 on Friday evening.", "On Friday evening the fair opens at 15:30."),
    ("The committee meeting is led by Anna Petrova.", "The committee meeting is led by Boris Ivanov."),
    ('The fair is called "Autumn Lights".', 'The fair is called "Winter Lights".'),
    ("The bridge over the river is open.", "The bridge over the river is not open."),
    ("The mill was built in 1900 by monks.", "Monks built the mill in 1950."),
    ("Мельницу построили в 1900 году.", "Мельницу построили в 1950 году."),
    ("Stage costs 300 euros, food costs 200 euros.", "Stage costs 350 euros, food costs 200 euros."),
    ("Бюджет ярмарки — 500 евро.", "У ярмарки бюджет 900 евро."),
    ("Ярмарка открывается 12 мая.", "Ярмарка открывается 15 мая."),
    ("Собрание комитета ведёт Анна Петрова.", "Собрание комитета ведёт Борис Иванов."),
    ("Ярмарка называется «Огни осени».", "Ярмарка называется «Огни зимы»."),
    ("Мост через реку открыт.", "Мост через реку не открыт."),
]


@pytest.mark.parametrize(("fact", "answer"), UNCHANGED)
def test_a_fact_said_in_other_words_keeps_its_hash(fact: str, answer: str) -> None:
    assert changed_facts([fact], answer) == []


@pytest.mark.parametrize(("fact", "answer"), CHANGED)
def test_a_fact_given_otherwise_is_found(fact: str, answer: str) -> None:
    (changed,) = changed_facts(["Nobody knows the weather of Sunday.", fact], f"All right then! {answer}")
    assert (changed.fact, changed.sentence) == (fact, answer)
    assert changed.before == canonical(fact).digest != changed.after


def test_what_the_answer_is_not_about_is_not_touched() -> None:
    assert restated("The fair has a budget of 500 euros.", "Dogs have 4 legs and 1 tail.") is None
    assert changed_facts(["The fair has a budget of 500 euros."], "Has the fair a budget of 900 euros?") == []


@pytest.mark.parametrize(
    "answer", ["Imagine the fair with a budget of 900 euros.", "[HYP] The fair has a budget of 900 euros."]
)
def test_suppositions_can_be_left_out(answer: str) -> None:
    facts = ["The fair has a budget of 500 euros."]
    assert len(changed_facts(facts, answer)) == 1
    assert changed_facts(facts, answer, counts_suppositions=False) == []


def test_the_latest_of_facts_that_exclude_each_other_is_current() -> None:
    facts = ["The fair has a budget of 500 euros.", "The stage is wooden.", "The fair has a budget of 900 euros."]
    assert current(facts) == facts[1:]


def test_values_are_seen() -> None:
    assert gives_values("There are 7 stalls.")
    assert gives_values("Её ведёт Анна.")
    assert not gives_values("There are stalls.")
    assert numbers_in("1. Seven\n2. At 18:30 on 2024-05-12, 1,200 of 3.50") == {
        "18",
        "30",
        "2024",
        "5",
        "12",
        "1200",
        "3.5",
    }


@given(st.text(max_size=200))
def test_a_text_never_changes_itself(text: str) -> None:
    assert canonical(text).digest == canonical(text).digest
    form = restated(text, text)
    assert form is None or form.digest == canonical(text).digest


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_another_number_is_another_hash(mine: int, theirs: int) -> None:
    found = changed_facts([f"The harbour crane lifts {mine} crates."], f"The harbour crane lifts {theirs} crates.")
    assert bool(found) is (mine != theirs)
