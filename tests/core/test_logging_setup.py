"""Logs: one line per record, no secrets, no forged lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.correlation import correlation_id
from iskra.logging_setup import REDACTED, Redaction, escape, set_up_logging


@pytest.fixture
def _same_logging_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("_same_logging_afterwards")
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_record_is_one_line_whatever_is_in_it(style: str) -> None:
    stream = io.StringIO()
    set_up_logging("info", "json" if style == "json" else "text", stream=stream)
    hostile = "a\nERROR forged\r\x1b[31m\u2028\x85 \ud800"
    try:
        raise ValueError(hostile)
    except ValueError as error:
        logging.getLogger("x").error("said %s", hostile, extra={"field": hostile}, exc_info=error)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\u2028" not in text
    assert "\x85" not in text
    if style == "json":
        assert json.loads(text)["level"] == "error"


@pytest.mark.usefixtures("_same_logging_afterwards")
@pytest.mark.parametrize("style", ["text", "json"])
def test_secrets_are_hidden_by_value(style: str) -> None:
    stream = io.StringIO()
    redact = set_up_logging("info", "json" if style == "json" else "text", secrets=["hunter2-hunter2"], stream=stream)
    redact.add("later-secret")
    logging.getLogger("x").info("key hunter2-hunter2", extra={"url": "https://u:later-secret@host"})
    assert "hunter2" not in stream.getvalue()
    assert "later-secret" not in stream.getvalue()
    assert stream.getvalue().count(REDACTED) == 2


def test_short_secrets_do_not_blank_out_words() -> None:
    assert Redaction(["ab"])("about") == "about"


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    assert Redaction(["secret-one", "secret-one-two"])("secret-one-two") == REDACTED


@pytest.mark.usefixtures("_same_logging_afterwards")
def test_the_request_is_named() -> None:
    stream = io.StringIO()
    set_up_logging("info", "json", stream=stream)
    token = correlation_id.set("req_1")
    try:
        logging.getLogger("x").info("done", extra={"seconds": 1.5})
    finally:
        correlation_id.reset(token)
    assert json.loads(stream.getvalue())["correlation_id"] == "req_1"
    assert json.loads(stream.getvalue())["seconds"] == 1.5


@given(st.text())
def test_escaped_text_is_printable_on_one_line(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert all(character.isprintable() or character.isspace() or ord(character) > 0x9F for character in escaped)
    escaped.encode()
