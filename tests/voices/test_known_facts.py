"""Hundun leaves facts as they are: those of tools, of SIFT blocks, and what the user gave numbers and names for."""

from collections.abc import Sequence

import pytest

from iskra_metrics.service import VerifiedFacts
from iskra_sdk.message import Message
from iskra_voices.definitions.hundun import HUNDUN, leaves_facts_alone
from iskra_voices.known_facts import given_facts
from iskra_voices.policy import Scene
from voices.stage import stage

FRAMES = "Assumption dropped: that somebody must build it.\nFrame 1: {0}\nFrame 2: a picnic in the park.\n→ Sam"
RAHMEN = "Допущение отброшено: что её кто-то строит.\nРамка 1: {0}\nРамка 2: пикник в парке.\n→ Сэм"


@pytest.mark.parametrize(
    ("fact", "kept", "changed"),
    [
        (
            "The fair has a budget of 500 euros.",
            "the budget of the fair, 500 euros, is a prize",
            "the fair has a budget of 900 euros",
        ),
        (
            "The committee meeting is led by Anna Petrova.",
            "Petrova leads the committee meeting",
            "the committee meeting is led by Boris Ivanov",
        ),
        ("The fair opens on 12 May 2024.", "the fair opens on May 12", "the fair opens on 15 May"),
        (
            "The bridge over the river is open.",
            "the open bridge over the river is the stage",
            "the bridge over the river is not open",
        ),
        ("Бюджет ярмарки — 500 евро.", "бюджет ярмарки, 500 евро, это приз", "бюджет ярмарки 900 евро"),
        (
            "Собрание комитета ведёт Анна Петрова.",
            "собрание комитета с Анной Петровой",
            "собрание комитета ведёт Борис Иванов",
        ),
        ("Ярмарка открывается 12 мая.", "ярмарка открывается 12 мая ночью", "ярмарка открывается 15 мая"),
        ("Мост через реку открыт.", "мост через реку открыт для танцев", "мост через реку не открыт"),
    ],
)
@pytest.mark.parametrize("source", ["facts", "verified", "given"])
def test_facts_keep_their_hash_or_the_answer_falls_short(fact: str, kept: str, changed: str, source: str) -> None:
    form = FRAMES if fact.isascii() else RAHMEN
    scene = Scene(**{source: [fact]})  # type: ignore[arg-type]
    assert leaves_facts_alone(form.format(kept), scene)
    assert not leaves_facts_alone(form.format(changed), scene)


@pytest.mark.parametrize("form", [FRAMES, RAHMEN])
def test_a_frame_may_suppose_what_only_the_user_stated_otherwise(form: str) -> None:
    supposed, fact = (
        ("imagine the fair has a budget of 900 euros", "The fair has a budget of 500 euros.")
        if form is FRAMES
        else ("представь, что бюджет ярмарки 900 евро", "Бюджет ярмарки — 500 евро.")
    )
    assert leaves_facts_alone(form.format(supposed), Scene(given=[fact]))
    assert not leaves_facts_alone(form.format(supposed), Scene(verified=[fact]))


def test_what_a_later_result_corrects_is_no_fact_any_more() -> None:
    scene = Scene(facts=["The fair has a budget of 500 euros.", "The fair has a budget of 900 euros."])
    assert leaves_facts_alone(FRAMES.format("the fair has a budget of 900 euros"), scene)
    assert not leaves_facts_alone(FRAMES.format("the fair has a budget of 500 euros"), scene)


def test_what_the_user_gave_is_read_from_the_conversation() -> None:
    said = [
        Message.user("The fair has a budget of 500 euros. Is it enough? I hope so."),
        Message.assistant("The stage costs 300 euros."),
        Message.user("No, the fair has a budget of 900 euros. Её ведёт Анна."),
    ]
    assert given_facts(said) == ["No, the fair has a budget of 900 euros.", "Её ведёт Анна."]


class Known:
    """What a plugin that keeps verified facts offers."""

    def __init__(self, facts: Sequence[str]) -> None:
        self.facts = facts

    async def verified(self, session_id: object) -> Sequence[str]:
        if not self.facts:
            raise ValueError("out of order")
        return self.facts


GOOD = FRAMES.format("the budget of the fair, 500 euros, is a prize")
BAD = FRAMES.format("the fair has a budget of 900 euros")


async def test_an_answer_that_changes_a_verified_fact_is_written_once_more() -> None:
    async with stage(BAD, GOOD) as given:
        given.harness.context.provide(VerifiedFacts, Known(["The fair has a budget of 500 euros."]))  # type: ignore[type-abstract]
        assert await given.say("hundun", "Who shall build the stage of our fair?") == GOOD
        (checked,) = [event for event in given.harness.bus.published if event.type == "voices.checked"]
        assert checked.data["broken"] == ["leaves_facts_alone"]
        assert checked.data["broken_after"] == []


@pytest.mark.parametrize("facts", [None, []], ids=["nobody offers them", "they cannot be read"])
async def test_without_verified_facts_hundun_speaks_all_the_same(facts: list[str] | None) -> None:
    async with stage(BAD) as given:
        if facts is not None:
            given.harness.context.provide(VerifiedFacts, Known(facts))  # type: ignore[type-abstract]
        assert await given.say("hundun", "Who shall build the stage of our fair?") == BAD


def test_the_demand_stands_in_the_prompt() -> None:
    assert "numbers, names and dates that were given" in HUNDUN.preamble
