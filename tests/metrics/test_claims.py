import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_metrics.claims import Contradiction, contradictions, hedge_rate, hedges, negate
from iskra_metrics.text import sentences
from metrics.windows import LANGUAGES, subjects


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("The cache is shared between workers.", "The cache is not shared between workers.", "negation"),
        ("The server doesn't encrypt passwords.", "The server encrypts passwords of users.", "negation"),
        ("Сервер шифрует пароли пользователей.", "Сервер не шифрует пароли пользователей.", "negation"),
        ("Резервные копии хранятся год.", "Неверно, что резервные копии хранятся год.", "negation"),
        ("Prices in the capital rise in summer.", "In summer prices in the capital fall.", "antonym"),
        ("Спрос на жильё летом растёт.", "Летом спрос на жильё падает.", "antonym"),
        ("The disk has 5 GB of free space.", "The disk has 7 GB of free space.", "number"),
        ("Тесты проекта идут 12 минут.", "Тесты проекта идут 40 минут.", "number"),
        ("The discount for students is 15%.", "The discount for students is 20%.", "number"),
        ("Переезд офиса займёт 3 дня.", "Переезд офиса займёт 5 дней.", "number"),
        ("Проверка отчёта длится 1 час.", "Проверка отчёта длится 6 часов.", "number"),
        ("Кредит банка взят на 2 года.", "Кредит банка взят на 15 лет.", "number"),
        ("Билет на поезд стоит 42 рубля.", "Билет на поезд стоит 50 рублей.", "number"),
    ],
)
def test_statements_that_cannot_both_hold_are_found(first: str, second: str, kind: str) -> None:
    assert [(pair.first, pair.second, pair.kind) for pair in contradictions([first, second])] == [(0, 1, kind)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The cache is shared between workers.", "The cache is shared between all workers."),
        ("The server does not encrypt passwords.", "The server never encrypts passwords."),
        ("Prices in the capital rise in summer.", "In summer prices in the capital do not fall."),
        ("Не только сервер шифрует пароли.", "Сервер шифрует пароли."),
        ("Is the cache shared between workers?", "The cache is not shared between workers."),
        ("Сервер шифрует пароли?", "Сервер не шифрует пароли."),
        ("The disk has 5 GB of free space.", "The disk has 5 GB of space that is free."),
        ("The disk has 5.0 GB of free space.", "The disk has 5 GB of free space."),
        ("Переезд офиса займёт 2 дня.", "На переезд офиса уйдёт 2 дня."),
        ("Переезд офиса займёт 3 дня.", "Переезд офиса займёт 5 человек."),
        ("In 2019 the company had 40 workers.", "In 2021 the company had 90 workers."),
        ("The disk has 5 GB of free space.", "The disk spins with 7200 turns, leaving free space."),
        ("The oven is hot.", "The server is not hot."),
        ("Users change passwords in the system.", "The system does not store passwords of users."),
    ],
)
def test_statements_that_can_both_hold_are_left_alone(first: str, second: str) -> None:
    assert contradictions([first, second]) == []


def test_pairs_are_told_by_their_indexes_in_order() -> None:
    statements = [
        "The oven is hot today.",
        "Bread needs salt.",
        "The oven is not hot today.",
        "Bread does not need salt.",
    ]

    assert contradictions(statements) == [Contradiction(0, 2, "negation"), Contradiction(1, 3, "negation")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_prose_contradicts_itself_nowhere(language: str) -> None:
    for subject in subjects(language):
        assert contradictions([sentence for paragraph in subject for sentence in sentences(paragraph)]) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_negation_of_any_claim_adds_a_contradiction(language: str) -> None:
    for subject in subjects(language):
        statements = [sentence for paragraph in subject for sentence in sentences(paragraph)]
        before = len(contradictions(statements))
        for statement in statements:
            assert len(contradictions([*statements, negate(statement)])) > before


@pytest.mark.parametrize(
    ("statement", "negation"),
    [
        ("The cache is shared.", "The cache is not shared."),
        ("The cache is not shared between workers.", "The cache is shared between workers."),
        ("The worker can't reach the cache.", "The worker can reach the cache."),
        ("The worker can reach the cache.", "The worker cannot reach the cache."),
        ("Dredging removed the beds.", "It is not true that dredging removed the beds."),
        ("Сервер не хранит пароли.", "Сервер хранит пароли."),
        ("Индекс ускоряет выборку строк.", "Индекс не ускоряет выборку строк."),
        ("Кот спит на диване.", "Неверно, что кот спит на диване."),
    ],
)
def test_a_statement_is_negated_in_its_own_language(statement: str, negation: str) -> None:
    assert negate(statement) == negation


def test_of_very_many_statements_the_last_are_compared() -> None:
    filler = [f"Item{number} costs money{number}." for number in range(400)]
    pair = ["The cache is shared between workers.", "The cache is not shared between workers."]

    assert contradictions([*filler, *pair]) == [Contradiction(400, 401, "negation")]
    assert contradictions([pair[0], *filler, pair[1]]) == []


@given(st.lists(st.text(max_size=80), max_size=8))
def test_any_statements_are_read(statements: list[str]) -> None:
    for pair in contradictions(statements):
        assert 0 <= pair.first < pair.second < len(statements)
    for statement in statements:
        assert isinstance(negate(statement), str)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("Perhaps it rains. It is cold.", 0.5),
        ("Кажется, дождь. Возможно, снег.", 1.0),
        ("It rains. It is cold.", 0.0),
        ("", 0.0),
    ],
)
def test_hedge_rate_is_the_share_of_hedged_sentences(text: str, rate: float) -> None:
    assert hedge_rate(text) == rate


def test_hedges_are_listed_in_order() -> None:
    assert hedges("Мне кажется, это, вероятно, сбой.") == ["мне кажется", "вероятно"]
    assert hedges("It might be, I think, the cache.") == ["might", "i think"]
    assert hedges("The mighty cache is fast.") == []
