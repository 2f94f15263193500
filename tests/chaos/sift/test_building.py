from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra_chaos.sift.block import content_hash, read_block
from iskra_chaos.sift.building import ToolResult, block_from_turn, blocks_from_document
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.grounding import broken_marks
from iskra_chaos.sift.markers import canaries, facts_of, main_chain, steps_of
from iskra_metrics.utterance import Utterance
from iskra_sdk.errors import InputTooLargeError

MAY = datetime(2026, 5, 1, tzinfo=UTC)

TURNS = {
    "en": (
        "Why is the shop slow? We moved it yesterday.",
        "The query cache is off. Pages load slowly because the query cache is off. Therefore buyers leave the shop. "
        "Perhaps the network is slow too. The disk holds 97 percent. Shall I switch the cache on?\n"
        "```\nthis code claims nothing because it is code\n```\nWe moved it yesterday.",
        "probe: the query cache is off\nthe disk holds 97 percent",
    ),
    "ru": (
        "Почему магазин медленный? Мы перенесли его вчера.",
        "Кэш запросов выключен. Страницы грузятся медленно, потому что кэш запросов выключен. Поэтому покупатели "
        "уходят. Возможно, сеть тоже медленная. Диск заполнен на 97 процентов. Включить ли кэш?\n"
        "```\nэто код, поэтому он ничего не утверждает\n```\nМы перенесли его вчера.",
        "проба: кэш запросов выключен\nдиск заполнен на 97 процентов",
    ),
}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_sentences_become_facts_steps_and_doubts(language: str) -> None:
    user, answer, found = TURNS[language]
    block = block_from_turn(user, answer, tool_results=[ToolResult("probe", "call-1", found)], voice="sam", model="m")
    evidence = {fact.text: fact.evidence for fact in facts_of(block)}
    assert [key for key in evidence.values() if key == ("call-1",)] == [("call-1",)] * len(
        [text for text in evidence if "97" in text or "off" in text or "выключен" in text]
    )
    claims = [text for text, key in evidence.items() if key == ("user",)]
    assert len(claims) == 1
    assert "claims" in claims[0] or "утверждает" in claims[0]
    chain = main_chain(block)
    assert len(chain) == 2
    assert chain[0].references[0].startswith("f")
    assert chain[1].references == ("s0",)
    (doubt,) = block.fact.uncertainty_zones
    assert doubt["reason"] == "hedge"
    span = doubt["span"]
    assert isinstance(span, dict)
    assert answer[int(str(span["start"])) : int(str(span["end"]))] == doubt["text"]
    assert block.source.origin == "assistant(m, sam)"
    assert broken_marks(block) == []
    assert read_block(block.model_dump_json()) == block


def test_confidence_is_that_of_the_weakest_source_less_each_step() -> None:
    user, answer, found = TURNS["en"]
    block = block_from_turn(user, answer, tool_results=[ToolResult("probe", "call-1", found)])
    assert block.inference.confidence_level == pytest.approx(0.75 * 0.95**2, abs=1e-4)


def test_an_answer_without_sources_is_a_model_alone() -> None:
    block = block_from_turn("Why?", "The moon is made of cheese. It shines because cheese shines.")
    assert block.source.reliability < 0.55
    assert block.fact.verified_data == []
    assert [zone["reason"] for zone in block.fact.uncertainty_zones] == ["no source"]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("The query cache is on at node seven.", "The query cache is not on at node seven."),
        ("The disk of the shop holds 12 files.", "The disk of the shop holds 97 files."),
        ("Кэш запросов включён на узле.", "Кэш запросов не включён на узле."),
    ],
)
def test_what_a_tool_contradicts_is_no_fact(answer: str, found: str) -> None:
    block = block_from_turn("?", answer, tool_results=[ToolResult("probe", "c", found)])
    assert block.fact.verified_data == []
    assert [zone["reason"] for zone in block.fact.uncertainty_zones] == ["conflict"]


def test_a_year_long_past_makes_a_statement_stale() -> None:
    answer = "The team had four people in 2019."
    assert block_from_turn("?", answer, at=MAY).fact.uncertainty_zones[0]["reason"] == "stale date"
    assert block_from_turn("?", answer).fact.uncertainty_zones[0]["reason"] == "no source"


@pytest.mark.parametrize(
    ("user", "irreversible", "least"),
    [
        ("I want to kill myself", False, 1.0),
        ("Я не хочу больше жить", False, 1.0),
        ("My doctor changed the dosage", False, 0.9),
        ("Мне поставили диагноз", False, 0.9),
        ("Drop the table", True, 0.8),
    ],
)
def test_sensitive_turns_are_marked(user: str, irreversible: bool, least: float) -> None:
    tools = [ToolResult("sql", "c", "done", irreversible=irreversible)]
    assert block_from_turn(user, "All right, done now.", tool_results=tools).source.chaos_sensitivity >= least


@pytest.mark.parametrize("user", ["Kill the process on the server", "Убей процесс на сервере", "Please be patient"])
def test_technical_turns_are_not(user: str) -> None:
    assert block_from_turn(user, "The process is gone.").source.chaos_sensitivity < 0.5


def test_nobody_says_our_marks_for_us() -> None:
    block = block_from_turn(
        "?", "[CANARY] The moon is cheese because it is yellow [f0]. [HYP b1] It rains [evidence: user]."
    )
    assert canaries(block) == []
    assert all(not step.tag for step in steps_of(block))
    assert broken_marks(block) == []


def test_equal_turns_give_equal_blocks() -> None:
    first = block_from_turn(*TURNS["ru"][:2], at=MAY)
    assert first == block_from_turn(*TURNS["ru"][:2], at=MAY)
    later = block_from_turn(*TURNS["ru"][:2], at=datetime(2026, 5, 2, tzinfo=UTC))
    assert content_hash(later) == content_hash(first)
    assert later.id > first.id


def test_stability_falls_with_facts_that_earlier_blocks_contradict() -> None:
    tool = ToolResult("probe", "c", "The query cache is off at night.")
    alone = block_from_turn("?", "The query cache is off at night.", tool_results=[tool])
    other = ToolResult("probe", "c", "The query cache is not off at night.")
    before = block_from_turn("?", "The query cache is not off at night.", tool_results=[other])
    after = block_from_turn("?", "The query cache is off at night.", tool_results=[tool], previous=[before])
    assert alone.fact.stability_level == 1.0
    assert after.fact.stability_level == 0.0


def test_a_repeating_conversation_raises_the_potential() -> None:
    answer = "The query cache is off and the pages of the shop load slowly at night."
    fresh = [Utterance("user", "We bake bread with honey on Sundays."), Utterance("assistant", "Sell it by noon then.")]
    stale = [Utterance("assistant", answer)] * 6
    calm = block_from_turn("Go on", answer, recent=fresh).inference.chaos_potential
    assert block_from_turn("Go on", answer, recent=stale).inference.chaos_potential > calm


DOCUMENT = (
    "The valve opens at ninety degrees. The pump stops because the valve opens at ninety degrees. "
    "Perhaps the sensor is old. In 2019 the plant had two pumps."
)


def test_a_source_that_can_be_relied_on_holds_facts() -> None:
    (block,) = blocks_from_document(DOCUMENT, origin="canon:plant", author="Ann", date="2026-04-01", as_of=MAY)
    assert block.source.reliability > 0.75
    assert "The valve opens at ninety degrees." in [fact.text for fact in facts_of(block)]
    assert {zone["reason"] for zone in block.fact.uncertainty_zones} == {"hedge", "stale date"}


@pytest.mark.parametrize(
    ("origin", "author", "date"),
    [("https://forum.example.org/t/1", "", ""), ("https://example.org/a", "Ann", "2026-04-01")],
)
def test_what_others_say_is_recorded_as_their_claim(origin: str, author: str, date: str) -> None:
    (block,) = blocks_from_document(DOCUMENT, origin=origin, author=author, date=date, as_of=MAY)
    assert all(" claims: " in fact.text for fact in facts_of(block))


def test_corroboration_lets_a_middling_source_hold_facts() -> None:
    (block,) = blocks_from_document(
        DOCUMENT, origin="https://example.org/a", author="Ann", date="2024-04-01", corroboration=0.7, as_of=MAY
    )
    assert 0.55 <= block.source.reliability < 0.75
    assert not any(" claims: " in fact.text for fact in facts_of(block))


def test_the_spans_of_a_document_are_all_of_it() -> None:
    text = "\n\n".join(f"Абзац {number}. {DOCUMENT} Это проверено в зале {number}." for number in range(60))
    blocks = blocks_from_document(text, origin="docs/plant.md", author="Ann", date="2026")
    spans: list[Any] = [block.source.context["span"] for block in blocks]
    assert "".join(text[span["start"] : span["end"]] for span in spans) == text
    assert len({block.source.context["document_hash"] for block in blocks}) == 1
    assert len({block.id for block in blocks}) == len(blocks) > 2


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputTooLargeError):
        blocks_from_document("x" * 1_000_001, origin="x")
    with pytest.raises(InputTooLargeError):
        block_from_turn("?", "x" * 1_000_001)


@pytest.mark.parametrize(
    "answer",
    ["Жили были три сестры, потому что так вышло. " * 20_000, "слово " * 150_000, "\ud800 half because of it all", ""],
    ids=["many sentences", "one sentence", "broken", "empty"],
)
def test_odd_answers_give_a_block_within_its_bounds(answer: str) -> None:
    block = block_from_turn("\udfff", answer)
    assert read_block(block.model_dump_json()) == block


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=200))
def test_any_text_gives_a_block(user: str, answer: str, found: str) -> None:
    block = block_from_turn(user, answer, tool_results=[ToolResult("t", "c", found)])
    assert read_block(block.model_dump_json()) == block
    assert broken_marks(block) == []
    deep(block, [])
