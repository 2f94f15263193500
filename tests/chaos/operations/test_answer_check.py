"""What a person asked for is still there under an operation: form, language, length, facts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iskra_chaos.operations.answer_check import CHECKS, failed_checks
from iskra_chaos.operations.asked_form import asked_form
from iskra_chaos.operations.exactness import asks_for_exactness, inexact_parts
from iskra_sdk.message import Message


def failed(asked: str, answer: str, *, system: str = "", reason: str | None = "stop", warm: bool = False) -> list[str]:
    messages = [Message.system(system)] if system else []
    return failed_checks([*messages, Message.user(asked)], answer, reason, is_warmer=warm)


@pytest.mark.parametrize(
    ("asked", "good", "bad", "check"),
    [
        ("Say hello to the guests.", "Welcome!", " \n", "is_not_empty"),
        ("Answer in one word: which season?", "Autumn", "Probably it is autumn", "keeps_length"),
        ("Ответь одним словом: какое время года?", "Осень", "Наверное, это осень", "keeps_length"),
        ("Give a one-sentence reply.", "It is autumn.", "It is autumn. Or winter.", "keeps_length"),
        (
            "Use at most 6 words.",
            "Leaves fall on the quiet road.",
            "Leaves fall on that very quiet road.",
            "keeps_length",
        ),
        ("Объясни не более чем в двух предложениях.", "Осень. Листья падают.", "Осень. Листья. Дождь.", "keeps_length"),
        ("Up to 20 characters, please.", "Leaves fall.", "Leaves fall on the quiet road.", "keeps_length"),
        ("Дай ровно 3 пункта.", "- а\n- б\n- в", "- а\n- б", "keeps_length"),
        ("Write exactly 2 paragraphs.", "One.\n\nTwo.", "One.\nTwo.", "keeps_length"),
        ("Respond only with JSON.", '{"season": "autumn"}', "season: autumn", "is_json"),
        ("Respond only with JSON.", '```json\n["autumn"]\n```', '```json\n["autumn"\n```', "is_json"),
        ("Верни ответ в формате JSON.", '["осень"]', "осень", "is_json"),
        ("Put the poem into a code block.", "```\nleaves\n```", "leaves", "has_code_block"),
        ("Помести стихи в блок кода.", "```\nлистья\n```", "листья", "has_code_block"),
        ("Name trees as a numbered list.", "1. oak\n2. elm", "Oak and elm.", "is_list"),
        ("Назови деревья списком.", "- дуб\n- вяз", "Дуб и вяз.", "is_list"),
        ("Name trees without lists.", "Oak and elm.", "- oak\n- elm", "is_no_list"),
        ("Назови деревья без списков.", "Дуб и вяз.", "- дуб\n- вяз", "is_no_list"),
        (
            "Why do the leaves fall?",
            "They are tired of summer and want to see roads.",
            "Они устали от лета и от ветра.",
            "keeps_language",
        ),
        (
            "Почему падают листья?",
            "Они устали от лета и от ветра.",
            "They are tired of summer and of the wind.",
            "keeps_language",
        ),
        (
            "Почему падают листья? Ответь на английском.",
            "They are tired of the summer.",
            "Они устали от лета и от ветра.",
            "keeps_language",
        ),
        ("What a day!", "Yes, quite a day it was.", "Quite so it is. Quite so it is. Quite so it is.", "does_not_loop"),
        ("What a day!", "Very, very fine.", "on and on and on and on and on and on and", "does_not_loop"),
        ("What a day!", "```\nx\n```", "```\nx", "is_whole"),
        (
            "The tent holds 40 guests. Praise it.",
            "The tent holds 40 guests!",
            "The tent holds 60 guests!",
            "keeps_facts",
        ),
        (
            "Встреча 12 мая, её ведёт Анна Петрова.",
            "Встреча 12 мая.",
            "Встреча 15 мая, её ведёт Анна Петрова.",
            "keeps_facts",
        ),
    ],
)
def test_each_check_finds_what_it_is_for_and_lets_the_rest_pass(asked: str, good: str, bad: str, check: str) -> None:
    assert failed(asked, good) == []
    assert check in failed(asked, bad)


def test_the_system_prompt_asks_too_and_the_user_counts_more() -> None:
    assert "keeps_length" in failed("Why autumn?", "It is. It was.", system="Answer in one sentence.")
    assert failed("Take at most 5 sentences.", "A is. B is.", system="Take at most 1 sentences.") == []
    assert asked_form([Message.system("No lists."), Message.user("As a list.")]).listed is True


@pytest.mark.parametrize("text", ["Translate it into French: good day", "Переведи на французский: добрый день"])
def test_a_translation_may_be_in_another_language(text: str) -> None:
    assert failed(text, "Bonjour, mes chers amis, je vous salue.") == []


def test_two_words_as_a_figure_of_speech_are_no_limit() -> None:
    assert failed("Объясни в двух словах.", "Осень приходит, потому что лето уходит.") == []


@pytest.mark.parametrize("reason", ["length", "content_filter", None])
def test_an_answer_that_was_cut_is_not_whole(reason: str | None) -> None:
    assert failed("Why do leaves fall?", "Because they are", reason=reason) == ["is_whole"]


def test_who_corrects_a_number_is_believed() -> None:
    messages = [
        Message.user("The tent holds 40 guests."),
        Message.assistant("Good."),
        Message.user("No, the tent holds 60 guests. Praise it."),
    ]
    assert failed_checks(messages, "The tent holds 60 guests!", "stop") == []
    assert failed_checks(messages, "The tent holds 40 guests!", "stop") == ["keeps_facts"]


# What only the base sampler draws ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Rent a barge.", []),
        ("1. Rent a barge.\n2. Sail.", []),
        ("Rent 40 chairs.", []),  # the number was given
        ("Rent 41 chairs.", ["numbers"]),
        ("Be there at 18:30.", ["numbers"]),
        ("```\nsail()\n```", ["code"]),
        ("[FACT] Barges float.", ["facts"]),
        ("[ФАКТ] Баржи плавают.", ["facts"]),
    ],
)
def test_numbers_code_and_facts_of_a_warm_answer_are_seen(text: str, parts: list[str]) -> None:
    assert inexact_parts(text, ["There are 40 guests."]) == parts


def test_only_a_warm_answer_may_not_draw_numbers() -> None:
    assert failed("Praise the barge.", "It has 17 sails.") == []
    assert failed("Praise the barge.", "It has 17 sails.", warm=True) == ["draws_nothing_exact"]


@pytest.mark.parametrize(
    ("text", "is_exact"),
    [
        ("Who wrote Faust?", True),
        ("What is the population of Rome?", True),
        ("Сколько стоит сцена?", True),
        ("Когда открыли Америку?", True),
        ("Напиши функцию сортировки.", True),
        ("Write a regex for dates.", True),
        ("Suggest a name for the café.", False),
        ("What shall we do with the stage?", False),
        ("Придумай название для кафе.", False),
        ("Как встряхнуть ярмарку?", False),
    ],
)
def test_questions_for_facts_numbers_and_code_are_told_from_others(text: str, is_exact: bool) -> None:
    assert asks_for_exactness([Message.user("Hi."), Message.user(text)]) is is_exact


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(["stop", "length", None]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_text_is_judged_and_always_alike(asked: str, answer: str, reason: str | None, warm: bool) -> None:
    first = failed(asked, answer, reason=reason, warm=warm)
    assert set(first) <= set(CHECKS)
    assert first == failed(asked, answer, reason=reason, warm=warm)


def test_a_message_of_nothing_but_line_breaks_is_read_in_one_go() -> None:
    assert not asks_for_exactness([Message.user("\n" * 300_000)])  # a pattern that goes back would take many minutes
