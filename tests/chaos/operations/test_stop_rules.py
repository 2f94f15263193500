"""When operations stop before their answers are given."""

import pytest

from chaos.operations.talk import RUSSIAN, STALE, conversation
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import SamplerShift
from iskra_chaos.operations.planning import plan
from iskra_chaos.operations.stop_rules import asks_to_go_back, brings_nothing_more, loses_the_task

FAIR = conversation(
    ("Кто построит сцену для ярмарки?", "Сцену строят столяры, их зовут из школы."),
    ("А кто привезёт лампы?", "Лампы привезёт театр, у него их много."),
)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Go back.", True),
        ("Please, go back!", True),
        ("No, undo that", True),
        ("as before, please", True),
        ("Верни как было", True),
        ("Нет, верни всё назад", True),
        ("Вернись", True),
        ("When do I go back to school after the holidays?", False),
        ("Undo the commit in the repository", False),
        ("Как было на ярмарке в прошлом году, расскажи подробнее пожалуйста", False),
        ("Верни книгу в библиотеку", False),
    ],
)
def test_a_request_to_go_back_is_told_from_other_messages(text: str, asks: bool) -> None:
    assert asks_to_go_back(text) is asks


@pytest.mark.parametrize(
    ("talk", "answer", "loses"),
    [
        (STALE, "Penguins huddle in winter, sharing warmth with their chicks on bare ice.", True),
        (STALE, "Rent the stage from a theatre, and ask volunteers to bring carpets and lamps.", False),
        (STALE, "Seven of them.", False),  # too short to tell
        (FAIR, "Пингвины зимой греют птенцов среди голых льдов.", True),
        (FAIR, "Сцену построят столяры из соседней школы за выходные.", False),
        (conversation(("Hm?", "Some words.")), "Penguins huddle in winter, sharing warmth on bare ice.", False),
    ],
)
def test_an_answer_that_lost_the_task_is_seen(talk: Conversation, answer: str, loses: bool) -> None:
    assert loses_the_task(talk, answer) is loses


@pytest.mark.parametrize(
    ("concepts", "answers", "before", "now", "stops"),
    [
        ([], 1, 0.3, 0.3, False),  # the first may link nothing yet
        ([], 2, 0.3, 0.3, True),
        (["banqu"], 2, 0.3, 0.3, False),
        (["banqu"], 1, 0.3, 0.5, True),
        (["banqu"], 1, 0.3, 0.34, False),
        (["banqu"], 2, None, None, False),
    ],
)
def test_what_brings_nothing_more_stops(
    concepts: list[str], answers: int, before: float | None, now: float | None, stops: bool
) -> None:
    assert bool(brings_nothing_more(concepts, answers=answers, before=before, now=now)) is stops


def test_a_pattern_is_broken_by_another_manner_of_speaking_too() -> None:
    assert len({plan("pattern_break", STALE, 0.5, seed).instruction for seed in range(20)}) > 2
    assert any("Another manner" in change for change in plan("pattern_break", STALE, 0.5, 1).changes)
    assert any("манера" in change for change in plan("pattern_break", RUSSIAN, 0.5, 1).changes)


@pytest.mark.parametrize(("own", "min_p"), [(None, 0.05), (0.01, 0.05), (0.1, 0.1)])
def test_a_caller_who_draws_more_carefully_is_left_to_it(own: float | None, min_p: float) -> None:
    given = {"temperature": 0.9, **({} if own is None else {"min_p": own})}
    assert SamplerShift(0.5).applied(given, has_min_p=True)["min_p"] == min_p
