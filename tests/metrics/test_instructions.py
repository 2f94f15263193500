import pytest

from iskra_metrics.instructions import is_instruction


@pytest.mark.parametrize(
    "sentence",
    [
        "Next, restart the server.",
        "Check the log.",
        "I suggest a smaller pool.",
        "Теперь запустите тесты.",
        "Проверь логи сервера.",
        "Предлагаю уменьшить пул.",
    ],
)
def test_sentences_that_say_what_to_do_are_instructions(sentence: str) -> None:
    assert is_instruction(sentence)


@pytest.mark.parametrize(
    "sentence", ["The server restarted.", "It was checked.", "Сервер запущен.", "Логи проверены.", ""]
)
def test_sentences_that_tell_something_are_none(sentence: str) -> None:
    assert not is_instruction(sentence)
