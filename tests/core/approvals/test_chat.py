"""Approval replies and texts in chat clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.approvals.chat import chat_text, new_code, parse_reply, question_text, speaks_russian, visible
from iskra.approvals.reasons import CHANGED, INTERRUPTED, UNTRUSTED, undecided_text
from iskra_sdk.errors import ApprovalClosedError, ApprovalNotFoundError


@pytest.mark.parametrize(
    ("text", "code", "approve", "remark"),
    [
        ("approve K7Q2", "K7Q2", True, ""),
        ("Approve k7q2.", "K7Q2", True, ""),
        ("  yes K7Q2  ", "K7Q2", True, ""),
        ("`approve K7Q2`", "K7Q2", True, ""),
        ("**deny K7Q2**", "K7Q2", False, ""),
        ("deny K7Q2 because it is wrong", "K7Q2", False, "because it is wrong"),
        ("no K7Q2: use another file", "K7Q2", False, "use another file"),
        ("да K7Q2", "K7Q2", True, ""),
        ("Да К7Q2", "K7Q2", True, ""),  # a Cyrillic К
        ("нет k7q2, не надо", "K7Q2", False, "не надо"),
        ("отклонить K7Q2 — опасно", "K7Q2", False, "опасно"),
        ("разрешаю «K7Q2»", "K7Q2", True, ""),
    ],
)
def test_decision_is_understood(text: str, code: str, approve: bool, remark: str) -> None:
    (reply,) = parse_reply(text)
    assert (reply.code, reply.approve, reply.remark) == (code, approve, remark)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "approve",
        "approve it",
        "no beer please",
        "no more cats",
        "yes 2345",
        "да, конечно",
        "нет денег",
        "please approve K7Q2 for me",
        "what does approve K7Q2 mean?",
        "approve K7Q22",
        "approve K7Q2 " + "x" * 5000,
    ],
)
def test_ordinary_message_is_no_decision(text: str) -> None:
    assert not parse_reply(text)


@pytest.mark.parametrize(
    "text", ["approve K7Q2\ndeny M3XW", "approve K7Q2, deny M3XW", "approve K7Q2 and deny M3XW", "да K7Q2 и нет M3XW"]
)
def test_several_decisions_in_one_message(text: str) -> None:
    assert [(reply.code, reply.approve) for reply in parse_reply(text)] == [("K7Q2", True), ("M3XW", False)]


@pytest.mark.parametrize(
    "text", ["да K7Q2 и M3XW", "approve K7Q2, M3XW", "yes `k7q2` `m3xw`", "approve K7Q2 and M3XW."]
)
def test_one_word_decides_for_several_codes(text: str) -> None:
    assert [(reply.code, reply.approve, reply.remark) for reply in parse_reply(text)] == [
        ("K7Q2", True, ""),
        ("M3XW", True, ""),
    ]


def test_a_remark_that_names_a_code_is_a_remark() -> None:
    (reply,) = parse_reply("deny K7Q2, M3XW is enough")
    assert (reply.code, reply.remark) == ("K7Q2", "M3XW is enough")


@given(st.text(max_size=300))
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    for reply in parse_reply(text):
        assert len(reply.code) == 4


def test_codes_are_neither_words_nor_numbers() -> None:
    for _ in range(500):
        code = new_code()
        assert not code.isalpha()
        assert not code.isdigit()
        assert parse_reply(f"approve {code}")[0].code == code


DATA = {"code": "K7Q2", "tool": "write", "preview": "write a\x1b[2J ``` \u202e", "risk": "write", "reason": ""}


def test_chat_text_shows_the_exact_call_and_how_to_decide() -> None:
    text = chat_text(DATA)
    assert "approve K7Q2" in text
    assert "deny K7Q2" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\x1b[2J" in text
    assert "````" in text, "the fence is longer than what it fences"


def test_chat_text_speaks_russian() -> None:
    assert "да K7Q2" in chat_text(DATA, "ru")
    assert speaks_russian("прочитай README")
    assert not speaks_russian("read README")


@pytest.mark.parametrize("reason", [CHANGED, INTERRUPTED, UNTRUSTED])
def test_every_reason_is_there_in_both_languages(reason: dict[str, str]) -> None:
    assert [speaks_russian(reason[language]) for language in ("en", "ru")] == [False, True]
    assert reason["en"].count("{source}") == reason["ru"].count("{source}")


@pytest.mark.parametrize("state", ["approved", "denied", "expired", "cancelled", "made up"])
def test_a_reply_that_decides_nothing_is_explained_in_its_language(state: str) -> None:
    closed = ApprovalClosedError("It is closed.", facts={"state": state})
    for error in (closed, ApprovalNotFoundError("There is none.")):
        assert undecided_text("K7Q2", error, "en") == str(error)
        text = undecided_text("K7Q2", error, "ru")
        assert speaks_russian(text)
        assert "K7Q2" in text


def test_question_lists_its_options() -> None:
    assert question_text({"question": "Which?", "options": ["a", "b"]}) == "Which?\n\n1. a\n2. b"
    assert question_text({"question": "Why?", "options": []}) == "Why?"


@given(st.text())
def test_visible_text_has_no_control_characters(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in visible(text))
