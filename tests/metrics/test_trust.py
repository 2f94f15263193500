import pytest

from iskra_metrics.civility import distrust, insults
from iskra_metrics.trust import START, is_grounded, quotations, trust
from iskra_metrics.utterance import Utterance


def say(*texts: str) -> list[Utterance]:
    """Let user and assistant speak in turn; what begins with "tool:" is a result."""
    turns = []
    for text in texts:
        role, _, said = text.partition(": ")
        assert role in ("user", "assistant", "tool")
        turns.append(Utterance(role, said))  # type: ignore[arg-type]  # asserted above
    return turns


def test_where_nothing_is_claimed_trust_is_what_it_starts_with() -> None:
    read = trust(say("user: hello there", "assistant: hello to you too"))

    assert read.value == pytest.approx(0.75 * START + 0.25)
    assert read.parts["grounded"] == read.parts["faithful"] == START


def test_claims_that_a_tool_result_holds_are_grounded() -> None:
    asked = "user: how many tests failed?"
    result = "tool: 412 tests passed, 3 tests failed in module billing"

    grounded = trust(say(asked, result, "assistant: In module billing 3 tests failed."))
    invented = trust(say(asked, result, "assistant: In module billing 17 tests failed."))

    assert grounded.parts["grounded"] == pytest.approx((1 + 2 * START) / 3)
    assert invented.parts["grounded"] == pytest.approx(2 * START / 3)
    assert grounded.value - invented.value == pytest.approx(0.40 / 3)


def test_what_comes_later_grounds_nothing() -> None:
    read = trust(say("user: how many tests failed?", "assistant: 3 tests failed.", "tool: 3 tests failed"))

    assert read.parts["grounded"] == pytest.approx(2 * START / 3)


def test_a_hedged_claim_is_honest_without_a_source() -> None:
    assert is_grounded("Perhaps 17 tests failed.", [])
    assert is_grounded("Вероятно, упало 17 тестов.", [])
    assert not is_grounded("17 tests failed.", [])


def test_quotations_are_faithful_where_they_stand_in_an_earlier_message() -> None:
    source = "user: the manual says that backups are kept for thirty days"

    true = trust(say(source, "assistant: You wrote “backups are kept for thirty days” above."))
    false = trust(say(source, "assistant: You wrote “backups are kept for ninety years” above."))

    assert (true.parts["faithful"], false.parts["faithful"]) == (1.0, 0.0)
    assert true.value - false.value == pytest.approx(0.35)


def test_quotations_of_three_words_or_more_are_found() -> None:
    text = 'Он сказал «копии хранятся тридцать дней», а "term" и «имя» не цитаты.\n> a line that is quoted'

    assert quotations(text) == ["копии хранятся тридцать дней", "a line that is quoted"]


def test_insults_and_distrust_lower_trust() -> None:
    calm = trust(say("user: hello", "assistant: hello")).value
    rude = trust(say("user: hello", "assistant: you are an idiot")).value
    doubted = trust(say("user: I don't believe you", "assistant: hello")).value
    doubted_often = trust(say("user: я тебе не верю, ты врёшь, это неправда, опять ошибся", "assistant: hello")).value

    assert rude == pytest.approx(calm - 0.25 / 2)
    assert doubted == pytest.approx(calm - 0.15)
    assert doubted_often == pytest.approx(calm - 0.45)


@pytest.mark.parametrize("text", ["You are an idiot.", "ты просто дурак", "Заткнись!", "shut up", "Вы полный кретин"])
def test_insults_are_heard(text: str) -> None:
    assert insults(text)


@pytest.mark.parametrize(
    "text",
    [
        "The idiotic default was changed.",
        "dumb terminal",
        "This is a stupid simple script",
        "garbage collector",
        "«Идиот» — роман Достоевского.",
        "тупиковая ветвь",
        "Ты прав.",
    ],
)
def test_words_that_only_resemble_insults_are_none(text: str) -> None:
    assert insults(text) == []


@pytest.mark.parametrize("text", ["ты врёшь", "Я вам не верю", "You made that up", "that's not true", "это выдумка"])
def test_distrust_is_heard(text: str) -> None:
    assert distrust(text)


@pytest.mark.parametrize(
    "text", ["Wait 10 seconds.", "2. Call it 3 times.", "Проверьте порт 8000.", "Is it port 8000?"]
)
def test_orders_and_questions_claim_nothing(text: str) -> None:
    assert trust(say("user: hello", f"assistant: {text}")).parts["claims"] == 0.0
