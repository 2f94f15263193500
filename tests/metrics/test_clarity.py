import pytest

from iskra_metrics.clarity import clarity
from iskra_metrics.utterance import Utterance

PLAN = "\n".join(
    [
        "## Plan",
        *(f"{step}. Copy the tables of month {step} to the new server and compare their sums." for step in range(1, 9)),
        "Next, run the comparison and tell me what differs.",
    ]
)
WALL = (
    "The tables which were created by the former team before the migration that had been planned for the spring but "
    "was then postponed because the servers on which the copies were meant to live had not been delivered in time "
    "and nobody had asked whether the disks that were bought instead were large enough for what the archive of the "
    "older years would take up after it had been unpacked must somehow be brought together with those that the "
    "newer services have written since and which in part contradict them in ways that have not been looked into by "
    "anybody who is still around."
)


def ask(answer: str, *questions: str) -> list[Utterance]:
    return [Utterance("user", question) for question in questions] + [Utterance("assistant", answer)]


def test_a_plan_is_clearer_than_a_wall_of_text() -> None:
    plan, wall = clarity(ask(PLAN, "How do we move?")), clarity(ask(WALL, "How do we move?"))

    assert plan.value > 0.85
    assert wall.value < 0.60
    assert all(plan.parts[name] > wall.parts[name] for name in ("structure", "sentences", "next_step"))


@pytest.mark.parametrize("question", ["I don't understand this.", "Не понял, что ты имеешь в виду", "what??"])
def test_confusion_of_the_user_lowers_clarity(question: str) -> None:
    before, after = clarity(ask(PLAN, "How do we move?")), clarity(ask(PLAN, question))

    assert after.parts["followed"] == 0.0
    assert after.value == pytest.approx(before.value - 0.2)


def test_terms_count_as_clear_when_explained_or_already_said() -> None:
    def terms(answer: str, question: str = "How?") -> float:
        return clarity(ask(answer, question)).parts["terms"]

    assert terms("The WAL is replayed after a crash.") == 0.0
    assert terms("The WAL (the log of changes) is replayed after a crash.") == 1.0
    assert terms("The log of changes (WAL) is replayed after a crash.") == 1.0
    assert terms("«Опара» — это жидкое тесто.") == 1.0
    assert terms("The WAL is replayed after a crash.", "What happens to the WAL?") == 1.0
    assert terms("The log is replayed.") == 1.0


def test_short_answers_need_no_structure() -> None:
    assert clarity(ask("Yes, the cache is shared. Shall I restart it?", "Is it shared?")).value > 0.70


def test_without_an_answer_the_questions_are_read() -> None:
    assert clarity([Utterance("user", "How do we move the tables to the new server?")]).value > 0.5
    assert clarity([]).value == 0.0
