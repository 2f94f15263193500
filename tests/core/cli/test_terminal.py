import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.cli.approvals import describe_approval
from iskra.cli.terminal import exact, server_url, shown
from iskra_sdk.client import ApprovalInfo


@given(st.text())
def test_shown_text_holds_nothing_that_acts_on_a_terminal(text: str) -> None:
    for char in shown(text):
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")


@given(st.text(), st.text())
def test_two_different_texts_never_look_alike_exactly(one: str, other: str) -> None:
    assert (exact(one) == exact(other)) == (one == other)
    assert "\n" not in exact(one)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("привет, мир 🌍", "привет, мир 🌍"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("rm -rf /\r\x1b[Kecho hi", "rm -rf /\\x0d\\x1b[Kecho hi"),
        ("safe\u202etxt.exe", "safe\\u202etxt.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b31m", "\\x9b31m"),
        ("line\nbreak\ttab", "line\nbreak\ttab"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\ud800", "\\ud800"),
    ],
)
def test_dangerous_characters_are_escaped(text: str, safe: str) -> None:
    assert shown(text) == safe


def test_no_space_passes_for_another() -> None:
    assert exact("a\u00a0b c") == "a\\xa0b c"


def test_an_approval_shows_the_exact_call() -> None:
    arguments = {"command": "echo hi\n\x1b[2K\u202e; rm -rf ~", "note": "спасибо"}
    request = ApprovalInfo(
        id="apr_1",
        code="K7Q2",
        tool="execute_command",
        risk="execute",
        agent="coder",
        arguments=json.dumps(arguments, ensure_ascii=False),
        preview="echo hi\n\x1b[2K",
        reason="it runs a program",
    )
    lines = describe_approval(request)
    assert all(line.isprintable() for line in lines)
    (call,) = [line for line in lines if line.startswith("  call:")]
    assert 'execute_command {"command": "echo hi\\n\\u001b[2K\\u202e; rm -rf ~", "note": "спасибо"}' in call
    assert "K7Q2" in lines[0]
    assert "  preview: echo hi" in lines
    assert "           \\x1b[2K" in lines


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8700"), ("0.0.0.0", "http://127.0.0.1:8700"), ("::1", "http://[::1]:8700")],
)
def test_the_servers_address_can_be_reached_from_here(host: str, url: str) -> None:
    assert server_url(host, 8700) == url
