import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_agents.routing.clauses import CLAUSE_ENDS, clauses_of
from iskra_agents.routing.features import features_of
from iskra_agents.routing.translit import in_cyrillic


def wanted(message: str) -> str:
    return " ".join(word for clause, is_aside in clauses_of(message.split()) if not is_aside for word in clause)


@pytest.mark.parametrize(
    ("message", "rest"),
    [
        ("don't fix it , explain it to me", "explain it to me"),
        ("explain it to me , don't change anything", "explain it to me ,"),
        ("no code please : what is a lease ?", "what is a lease ?"),
        ("rather than explaining it , shorten the function", "shorten the function"),
        ("не чини , скажи почему падает", "скажи почему падает"),
        ("план не нужен . переименуй его", "переименуй его"),
        ("без кода , как это устроено ?", "как это устроено ?"),
    ],
)
def test_what_is_turned_down_is_put_aside(message: str, rest: str) -> None:
    assert wanted(message) == rest


@pytest.mark.parametrize(
    "message",
    [
        "it doesn't start , the log is empty",
        "the page is not found , why is that ?",
        "сервер не отвечает , логи пустые",
        "не работает поиск , экран белый",
        "don't explain",
        "не трогай",
        "why not ?",
    ],
)
def test_what_fails_and_what_stands_alone_counts(message: str) -> None:
    assert wanted(message) == message


@given(st.lists(st.sampled_from(["don't", "explain", "не", "пиши", "код", "but", "почему", *sorted(CLAUSE_ENDS)])))
def test_no_word_is_lost_and_something_is_left(words: list[str]) -> None:
    clauses = list(clauses_of(words))
    assert [word for clause, _ in clauses for word in clause] == words
    assert not words or not all(is_aside for _, is_aside in clauses)


@pytest.mark.parametrize(
    ("latin", "cyrillic"),
    [
        ("pochemu padaet server", "почему падает сервер"),
        ("kak posmotret kakie porty otkryty", "как посмотрет какие порты открыты"),
        ("nuzhen plan avariinogo vosstanovleniya", "нужен план аварийного восстановления"),
    ],
)
def test_russian_in_latin_letters_is_read_as_russian(latin: str, cyrillic: str) -> None:
    assert in_cyrillic(latin.split()) == cyrillic.split()
    assert features_of(latin) == features_of(cyrillic)


@pytest.mark.parametrize(
    "message",
    ["fix the importer", "why is the server slow", "privet сервер", "restart nginx", "what is a webhook", ""],
)
def test_other_messages_stay_as_they_are(message: str) -> None:
    assert in_cyrillic(message.split()) == message.split()
