"""The chat in a browser, against a server that plays what each test needs."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

OpenTab = Callable[..., Any]


def test_a_message_is_sent_and_its_answer_streamed(server: Any, open_tab: OpenTab) -> None:
    page = open_tab().page
    page.get_by_label("Who answers").select_option("agent:ask")
    page.get_by_label("Message").fill("What is Iskra?")
    page.keyboard.press("Enter")
    expect(page.locator(".user")).to_have_count(1)
    (log,) = server.sessions.values()
    assert log.agent == "agent:ask"
    server.begin(log, user="What is Iskra?")
    server.delta(log, "An **agent", 0)
    server.delta(log, " server**", 10)
    expect(page.locator(".assistant strong")).to_have_text("agent server")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    completed = {"message_id": "msg_trn_1", "role": "assistant", "text": "An **agent server**.", "tool_calls": [], "agent": "ask"}
    server.emit(log, "message.completed", completed)
    server.emit(log, "turn.completed", {"usage": {}})
    expect(page.locator(".assistant .markdown")).to_have_text("An agent server.")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.locator(".user .bubble")).to_have_text("What is Iskra?")
    assert page.url.endswith(f"#/s/{log.id}")
