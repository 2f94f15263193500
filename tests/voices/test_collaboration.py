"""Several voices on one task, over HTTP."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from fake_upstream import Call, Request
from iskra_sdk.errors import BadInputError
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.policy import Scene
from iskra_voices.success_criteria import Outcome, criterion
from voices.company import Company
from voices.conftest import follows_its_prompt

PATH = "/api/v1/voices/collaborate"
TASK = "We must finish the yearly report on Friday, and nobody has time for the tables."


def wanted(primary: str, *others: str, criteria: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    task = {"task_type": "", "content": more.pop("content", TASK), "success_criteria": list(criteria)}
    return {"primary_voice": primary, "collaborating_voices": list(others), "collaborative_task": task, **more}


def spoken(answer: Any) -> list[str]:
    return [each["voice_type"] for each in answer["contributions"]]


async def test_in_turn_each_voice_hears_those_before(company: Company) -> None:
    answer = await company.post(
        PATH,
        wanted("pino", "kain", "сэм", coordination_protocol="sequential", criteria=("every_voice", "max_words: 200")),
    )
    assert answer["status"] == "completed"
    assert spoken(answer) == ["pino", "sam", "kain"]  # the primary voice first, then in council order
    assert answer["synthesis"]["voice_type"] == "iskra"
    assert answer["synthesis"]["unmet_demands"] == []
    assert answer["model_calls"] == 4
    heard = [request["messages"][-1]["content"] for request in company.upstream.requests]
    assert "[pino]" not in heard[0]
    assert "[pino]" in heard[1]
    assert "[sam]" in heard[2]
    assert all(f"[{voice}]" in heard[3] for voice in ("pino", "sam", "kain"))
    assert {(each["criterion"], each["met"]) for each in answer["success_criteria"]} == {
        ("every_voice", True),
        ("max_words: 200", True),
    }


async def test_side_by_side_nobody_hears_another(company: Company) -> None:
    answer = await company.post(PATH, wanted("kain", "pino", "sam", coordination_protocol="parallel"))
    assert spoken(answer) == ["kain", "sam", "pino"]
    assert answer["coordination_protocol"] == "parallel"
    heard = [request["messages"][-1]["content"] for request in company.upstream.requests]
    assert sum("What the others said" in text for text in heard) == 1


async def test_freely_at_most_five_speak_and_nobody_twice_in_a_row(company: Company) -> None:
    answer = await company.post(PATH, wanted("kain", "pino", "sam", "iskriv", coordination_protocol="emergent"))
    voices = spoken(answer)
    assert voices[0] == "kain"
    assert 1 < len(voices) <= 5
    assert all(a != b for a, b in pairwise(voices))
    assert max(map(voices.count, voices)) <= 2


async def test_who_has_nothing_to_say_freely_is_named(company: Company) -> None:
    answer = await company.post(PATH, wanted("kain", "sam", "hundun", coordination_protocol="emergent"))
    spoke = {each["voice_type"] for each in answer["contributions"]}
    left_out = {each["voice_type"]: each["reason"] for each in answer["left_out"]}
    assert spoke | set(left_out) == {"kain", "sam", "hundun"}
    assert not spoke & set(left_out)
    assert set(left_out.values()) == {"Others had more to say."}


async def test_hundun_hands_over_to_sam(company: Company) -> None:
    answer = await company.post(PATH, wanted("hundun", "sam", "pino", coordination_protocol="emergent"))
    assert spoken(answer)[:2] == ["hundun", "sam"]


async def test_adaptive_is_parallel_in_calm_and_sequential_in_conflict(company: Company) -> None:
    calm = await company.post(PATH, wanted("kain", "pino"))
    assert calm["coordination_protocol"] == "parallel"
    assert calm["conflicts"] == []
    hurt = "I am desperate, I feel terrible pain and I hate this awful report so much that I cry."
    torn = await company.post(PATH, wanted("kain", "anhantha", "pino", content=hurt))
    assert torn["metrics"]["pain"] >= 0.3
    assert [left["voice_type"] for left in torn["left_out"]] == ["pino"]


async def test_conflicts_of_statements_are_found_and_named(company: Company) -> None:
    def disagree(request: Request) -> Iterator[str | Call]:
        system = request["messages"][0]["content"]
        if "You speak as Iskra" in system:
            yield (
                "Kain and Sam contradict each other about the release: 10 or 3 days.\n∆: the gap is known.\nD: both.\n"
                "Ω: 0.4, because nobody measured.\nΛ: measure the release once."
            )
        elif "You speak as Kain" in system:
            yield "The release costs 10 days of work."
        else:
            yield "The release costs 3 days of work."

    company.upstream.answer = disagree
    answer = await company.post(PATH, wanted("kain", "sam", criteria=("conflicts_stated",)))
    (conflict,) = answer["conflicts"]
    assert set(conflict["voices"]) == {"kain", "sam"}
    assert conflict["kind"] == "statement"
    assert conflict["resolver"] == "iskra"
    assert "10 or 3 days" in conflict["resolution"]
    assert answer["status"] == "completed"


async def test_a_conflict_that_is_resolved_in_russian_is_seen(company: Company) -> None:
    said = {"Iskra": "Кайн и Сэм расходятся: выпуск стоит 10 или 3 дня.", "Kain": "Выпуск стоит 10 дней работы."}

    def disagree(request: Request) -> Iterator[str | Call]:
        system = request["messages"][0]["content"]
        yield next(
            (text for name, text in said.items() if f"You speak as {name}" in system), "Выпуск стоит 3 дня работы."
        )

    company.upstream.answer = disagree
    answer = await company.post(PATH, wanted("kain", "sam", content="Сколько стоит выпуск?"))
    assert [conflict["resolution"] for conflict in answer["conflicts"]] == [said["Iskra"]]


async def test_who_says_nothing_is_named(company: Company) -> None:
    def silent(request: Request) -> Iterator[str | Call]:
        yield " " if "You speak as Sam" in request["messages"][0]["content"] else "The report comes first."

    company.upstream.answer = silent
    answer = await company.post(PATH, wanted("kain", "sam"))
    assert [left["voice_type"] for left in answer["left_out"]] == ["sam"]


async def test_another_round_follows_where_a_criterion_is_not_met(company: Company) -> None:
    answer = await company.post(PATH, wanted("kain", "sam", criteria=("avoids: ∆",), round_budget=2))
    assert answer["status"] == "criteria_unmet"
    assert answer["rounds"] == 2
    assert [each["round"] for each in answer["contributions"]] == [1, 1, 2, 2]
    assert answer["success_criteria"] == [{"criterion": "avoids: ∆", "met": False, "how": "the text is not found"}]
    assert "Still missing: avoids: ∆." in company.upstream.requests[-1]["messages"][-1]["content"]


async def test_a_round_is_not_repeated_where_all_is_met(company: Company) -> None:
    answer = await company.post(PATH, wanted("kain", "sam", criteria=("min_words: 3",), round_budget=3))
    assert (answer["status"], answer["rounds"]) == ("completed", 1)


async def test_a_session_gives_the_task_and_keeps_who_spoke(company: Company) -> None:
    session, _ = await company.chat("voice:iskra", TASK)
    body = wanted("kain", "sam", content="", session_id=session, coordination_protocol="sequential")
    answer = await company.post(PATH, body)
    last = company.upstream.requests[-1]["messages"]
    assert TASK in last[-1]["content"]
    coordination = await company.get(f"/api/v1/voices/coordination/{session}")
    assert coordination == answer["coordination"]
    assert coordination["coordination_protocol"] == "sequential"
    roles = {voice["voice_type"]: voice["coordination_role"] for voice in coordination["active_voices"]}
    assert roles == {"kain": "primary", "sam": "collaborating", "iskra": "closing"}


async def test_a_voice_that_fails_is_left_out(company: Company) -> None:
    def fails_for_sam(request: Request) -> Iterator[str | Call]:
        if "You speak as Sam" in request["messages"][0]["content"]:
            raise BrokenPipeError
        yield from follows_its_prompt(request)

    company.upstream.answer = fails_for_sam
    answer = await company.post(PATH, wanted("kain", "sam", coordination_protocol="sequential"))
    assert spoken(answer) == ["kain"]
    assert [left["voice_type"] for left in answer["left_out"]] == ["sam"]
    assert answer["synthesis"] is not None


async def test_what_was_said_is_kept_where_nobody_can_close(company: Company) -> None:
    def fails_for_iskra(request: Request) -> Iterator[str | Call]:
        if "You speak as Iskra" in request["messages"][0]["content"]:
            raise BrokenPipeError
        yield from follows_its_prompt(request)

    company.upstream.answer = fails_for_iskra
    answer = await company.post(PATH, wanted("kain", "sam"))
    assert (answer["status"], answer["synthesis"]) == ("criteria_unmet", None)
    assert spoken(answer) == ["kain", "sam"]
    assert [left["voice_type"] for left in answer["left_out"]] == ["iskra"]


async def test_nobody_who_can_speak_is_an_error(company: Company) -> None:
    def fails(_request: Request) -> Iterator[str | Call]:
        yield from ()
        raise BrokenPipeError

    company.upstream.answer = fails
    response = await company.client.post(PATH, json=wanted("kain", "sam"))
    assert response.status_code >= 500
    assert response.json()["code"] == "llm"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (wanted("nobody", "sam"), 400),
        (wanted("iskra"), 400),
        (wanted("iskra", "искра"), 400),
        (wanted("kain", "sam", content=""), 400),
        (wanted("kain", "sam", content="\u200b\u202e \n"), 400),
        (wanted("kain", "sam", criteria=("…",)), 400),
        (wanted("kain", "sam", session_id="ses_none"), 404),
        (wanted("kain", "sam", round_budget=9), 422),
        (wanted("kain", "sam", coordination_protocol="chaotic"), 422),
        (wanted("kain", "sam", criteria=("max_words: many",)), 400),
        (wanted("kain", "sam", criteria=("verdict: splendid",)), 400),
        (wanted("kain", "sam", criteria=("kain.is_brave",)), 400),
        (wanted("kain", *["sam"] * 20), 422),
        (wanted("pino", "sam", content="I want to kill myself."), 409),
    ],
)
async def test_bad_wishes_are_refused(company: Company, body: dict[str, Any], status: int) -> None:
    await company.post(PATH, body, status=status)
    assert company.upstream.requests == []


OUTCOME = Outcome(
    "1. Write the report.\n2. Check.\n3. Send. Is it done? Kain: the price is high.",
    {"kain": "The price is high.", "iskriv": "Verdict: approve"},
    Scene(said=["the price is high"]),
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("max_words: 100", True),
        ("max_words: 3", False),
        ("min_words: 3", True),
        ("max_questions: 1", True),
        ("max_questions: 0", False),
        ("steps: 3", True),
        ("steps: 4", False),
        ("mentions: REPORT", True),
        ("avoids: report", False),
        ("verdict: approve", True),
        ("verdict: reject", False),
        ("verdict: Одобрить", True),
        ("verdict: отклонить", False),
        ("kain.is_short", True),
        ("Кайн.gives_one_choice", False),
        ("every_voice", False),
        ("the report is written and checked", True),
        ("отчёт опубликован на сайте", False),
    ],
)
def test_criteria_are_checks(text: str, met: bool) -> None:
    read = criterion(text, VoiceCatalogue())
    assert read.is_met(OUTCOME) is met
    assert read.how


def test_a_criterion_that_cannot_be_read_says_why() -> None:
    with pytest.raises(BadInputError, match="needs a number"):
        criterion("steps: some", VoiceCatalogue())
