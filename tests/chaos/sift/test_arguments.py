import pytest

from iskra_chaos.sift.argument_graph import argument_graph
from iskra_chaos.sift.connectives import argument_in
from iskra_chaos.sift.markers import Statement, parse


@pytest.mark.parametrize(
    ("sentence", "premise", "conclusion"),
    [
        ("The shop is slow because the cache is off.", "the cache is off", "The shop is slow"),
        ("Because the cache is off, the shop is slow.", "the cache is off", "the shop is slow"),
        ("The cache is off, so the shop is slow.", "The cache is off", "the shop is slow"),
        ("The cache is off; therefore the shop is slow.", "The cache is off", "the shop is slow"),
        ("Since the cache is off, the shop is slow.", "the cache is off", "the shop is slow"),
        ("If the cache is off, then the shop is slow.", "the cache is off", "the shop is slow"),
        ("Магазин медленный, потому что кэш выключен.", "кэш выключен", "Магазин медленный"),
        ("Так как кэш выключен, магазин медленный.", "кэш выключен", "магазин медленный"),
        ("Кэш выключен, поэтому магазин медленный.", "Кэш выключен", "магазин медленный"),
        ("Кэш выключен, следовательно, магазин медленный.", "Кэш выключен", "магазин медленный"),
        ("Если кэш выключен, то магазин медленный.", "кэш выключен", "магазин медленный"),
    ],
)
def test_a_connective_parts_premise_and_conclusion(sentence: str, premise: str, conclusion: str) -> None:
    argument = argument_in(sentence)
    assert argument is not None
    assert (argument.premises, argument.conclusion) == ((premise,), conclusion)


@pytest.mark.parametrize(
    "sentence", ["Therefore we wait.", "Поэтому мы ждём.", "Это значит, что мы ждём.", "So, we wait."]
)
def test_therefore_at_the_start_leans_on_what_came_before(sentence: str) -> None:
    argument = argument_in(sentence)
    assert argument is not None
    assert argument.leans_back


@pytest.mark.parametrize(
    "sentence",
    [
        "It has worked since 2020.",
        "We wrote it so that it works.",
        "The cache is off.",
        "Why is it slow, because of what?",
        "Кэш выключен.",
        "Значок на кнопке синий.",
        "",
    ],
)
def test_a_sentence_without_a_connective_argues_nothing(sentence: str) -> None:
    assert argument_in(sentence) is None


def statements(letter: str, *texts: str) -> list[Statement]:
    return [parse(text, f"{letter}{position}") for position, text in enumerate(texts)]


@pytest.mark.parametrize(
    "steps",
    [
        ("The shop is slow because the cache is off.", "The cache is off because the shop is slow."),
        ("Магазин медленный, потому что кэш выключен.", "Кэш выключен, потому что магазин медленный."),
        ("First thing [s1]", "Second thing [s0]"),
    ],
)
def test_steps_that_stand_on_one_another_are_a_circle_and_stand_on_nothing(steps: tuple[str, str]) -> None:
    graph = argument_graph([], statements("s", *steps))
    assert graph.cycles() == [["s0", "s1"]]
    assert graph.standing([]) == frozenset()


def test_a_step_that_is_its_own_reason_is_a_circle() -> None:
    graph = argument_graph([], statements("s", "The shop cache is off because the shop cache is off."))
    assert graph.cycles() == [["s0"]]


def test_a_step_stands_when_each_of_its_supports_does() -> None:
    facts = statements("f", "The cache is off", "The disk is full")
    graph = argument_graph(facts, statements("s", "Pages wait [f0, f1]", "Buyers leave [s0]", "Nothing below"))
    assert graph.standing({"f0", "f1"}) == {"s0", "s1"}
    assert graph.standing({"f0"}) == frozenset()
    assert graph.cycles() == []


def test_two_facts_that_say_the_same_stand_in_for_each_other() -> None:
    facts = statements("f", "The query cache is off", "The query cache is off tonight")
    graph = argument_graph(facts, statements("s", "Pages wait because the query cache is off."))
    assert graph.standing({"f0"}) == graph.standing({"f1"}) == {"s0"}


def test_a_long_chain_needs_no_recursion() -> None:
    steps = statements("s", *(f"Step [s{position + 1}]" for position in range(998)), "Ground [f0]")
    graph = argument_graph(statements("f", "Rock"), steps)
    assert len(graph.standing({"f0"})) == 999
    assert graph.cycles() == []
