import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.text import (
    LONGEST,
    Language,
    char_ngrams,
    cosine,
    excerpt,
    language_of,
    sentences,
    stems,
    words,
)

VECTORS = st.dictionaries(st.sampled_from("abcdef"), st.floats(-1e3, 1e3), max_size=6)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Почему сервер не отвечает?", "ru"),
        ("Why does the server not answer?", "en"),
        ("Запусти `docker compose up` и проверь логи", "ru"),
        ("The Russian for kettle is чайник", "en"),
        ("", "en"),
        ("42 + 1 🙂", "en"),
    ],
)
def test_language_is_told_by_letters(text: str, language: Language) -> None:
    assert language_of(text) == language


def test_words_are_lower_case_runs_of_letters_and_digits() -> None:
    assert words("Ёлка-2, snake_case и don't!") == ["ёлка", "2", "snake", "case", "и", "don", "t"]


def test_words_do_not_depend_on_how_letters_are_composed_or_on_what_is_unseen() -> None:
    assert words(unicodedata.normalize("NFD", "Чай и Ёлка")) == ["чай", "и", "ёлка"]
    assert words("про\u200bцесс, soft\u00adware, \ufeffначало, за\u0301мок") == [
        "процесс",
        "software",
        "начало",
        "замок",
    ]


def test_stems_are_the_beginnings_of_content_words() -> None:
    assert stems("Мы обсуждали обсуждение зелёных деревьев") == ["обсуж", "обсуж", "зелен", "дерев"]
    assert stems("The server was restarting and it restarted") == ["serve", "resta", "resta"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Раз. Два! Три? Четыре… Пять", ["Раз.", "Два!", "Три?", "Четыре…", "Пять"]),
        ("Число 3.14 и т. д. не конец. А тут конец.", ["Число 3.14 и т. д. не конец.", "А тут конец."]),
        ("Ask e.g. Dr. Brown. He knows.", ["Ask e.g. Dr. Brown.", "He knows."]),
        ("# Plan\n\n1. Read\n2) Write\n- Rest", ["Plan", "Read", "Write", "Rest"]),
        ("...\n!!!\n", []),
        ("", []),
    ],
)
def test_sentences_and_list_items_are_found(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_ngrams_run_over_words_and_single_spaces() -> None:
    assert char_ngrams("Ab,  c", 3) == {" ab": 1, "ab ": 1, "b c": 1, " c ": 1}
    assert char_ngrams("a") == {" a ": 1}
    assert char_ngrams("?!") == {}


def test_ngrams_of_no_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        char_ngrams("text", 0)


@given(VECTORS, VECTORS)
def test_cosine_is_symmetric_and_bounded(a: dict[str, float], b: dict[str, float]) -> None:
    assert cosine(a, b) == pytest.approx(cosine(b, a))
    assert -1.0 <= cosine(a, b) <= 1.0


def test_cosine_of_equal_is_one_of_strangers_is_zero_and_of_nothing_is_zero() -> None:
    assert cosine({"a": 2.0, "b": 1.0}, {"a": 4.0, "b": 2.0}) == pytest.approx(1.0)
    assert cosine({"a": 1.0}, {"b": 1.0}) == 0.0
    assert cosine({}, {"b": 1.0}) == 0.0


def test_a_long_text_is_read_by_its_beginning_and_end() -> None:
    text = "начало " + "середина " * 10_000 + "конец"

    assert excerpt(text).startswith("начало")
    assert excerpt(text).endswith("конец")
    assert len(excerpt(text)) == LONGEST + 1
    assert words(text)[0] == "начало"
    assert words(text)[-1] == "конец"


def test_what_is_returned_can_be_changed_without_harm() -> None:
    words("one two").clear()
    char_ngrams("one two").clear()

    assert words("one two") == ["one", "two"]
    assert char_ngrams("one two")
