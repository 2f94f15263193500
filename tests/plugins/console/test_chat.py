"""The chat in a browser, against a server that plays what each test needs."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

OpenTab = Callable[..., Any]

# Together in one process of a parallel run: starting the browser is the slow part.
pytestmark = pytest.mark.xdist_group("console_chat")


def answer_of(page: Page) -> Any:
    return page.locator(".assistant .markdown").last


def complete(server: Any, log: Any, text: str, turn: str = "trn_1") -> None:
    completed = {"message_id": f"msg_{turn}", "role": "assistant", "text": text, "tool_calls": [], "agent": "ask"}
    server.emit(log, "message.completed", completed, turn)
    server.emit(log, "turn.completed", {"usage": {}}, turn)


def test_a_message_is_sent_and_its_answer_streamed(server: Any, open_tab: OpenTab) -> None:
    page = open_tab().page
    page.get_by_label("Who answers").select_option("agent:ask")
    page.get_by_label("Message").fill("What is Iskra?")
    page.keyboard.press("Enter")
    expect(page.locator(".user")).to_have_count(1)
    (log,) = server.sessions.values()
    assert log.agent == "agent:ask"
    server.begin(log, user="What is Iskra?")
    expect(page.locator(".working")).to_be_visible()
    server.delta(log, "An **agent", 0)
    server.delta(log, " server**", 10)
    expect(page.locator(".assistant strong")).to_have_text("agent server")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    complete(server, log, "An **agent server**.")
    expect(answer_of(page)).to_have_text("An agent server.")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.locator(".user .bubble")).to_have_text("What is Iskra?")
    expect(page.locator(".sessions a[aria-current]")).to_have_text("What is Iskra?")
    assert page.url.endswith(f"#/s/{log.id}")
    turns = [body for path, body in server.calls if path.endswith("/turns")]
    assert turns == [{"text": "What is Iskra?", "model": "agent:ask"}]


def test_the_keyboard_is_enough(server: Any, open_tab: OpenTab) -> None:
    page = open_tab().page
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert server.calls == []
    page.keyboard.press("Enter")
    expect(page.locator(".user .bubble")).to_have_text(re.compile(r"one\s+two"))
    (log,) = server.sessions.values()
    server.begin(log)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".notice")).to_have_text("Stopped.")
    assert server.calls[-1][0] == "/api/v1/turns/trn_1/cancel"


def test_a_reload_in_mid_answer_goes_on_at_the_exact_event(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.delta(log, "One, two, ", 0)
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("One, two,")
    last = log.events[-1]["seq"]
    page.reload()
    expect(answer_of(page)).to_have_text("One, two,")
    server.delta(log, "three, ", 10)
    expect(answer_of(page)).to_have_text("One, two, three,")
    assert server.resumed_after == [0, last]
    complete(server, log, "One, two, three, four.")
    expect(answer_of(page)).to_have_text("One, two, three, four.")
    expect(page.locator(".user")).to_have_count(1)


def test_a_lost_connection_is_taken_up_where_it_broke(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.delta(log, "Grüße 👋🏽, ", 0)
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("Grüße 👋🏽,")
    server.drop_streams()
    # The rest as the server sends it after compaction: it begins inside what was seen, counted in characters.
    server.delta(log, "🏽, wo sind wir?", 7)
    expect(answer_of(page)).to_have_text("Grüße 👋🏽, wo sind wir?")
    assert server.resumed_after == [0, 2]


def test_a_snapshot_replaces_what_was_missed(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.delta(log, "Begin", 0)
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("Begin")
    server.emit(log, "stream.reset", {"message_id": "msg_trn_1", "text": "Begin and middle"}, seq=40)
    server.delta(log, " and end", 16)
    expect(answer_of(page)).to_have_text("Begin and middle and end")


def test_a_missing_piece_is_fetched_again(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.delta(log, "Begin", 0)
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("Begin")
    server.lose.add(3)
    server.delta(log, " and middle", 5)
    server.delta(log, " and end", 16)
    expect(answer_of(page)).to_have_text("Begin and middle and end")
    assert server.resumed_after == [0, 2]


def test_a_retried_message_starts_over(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.delta(log, "A first try", 0)
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("A first try")
    server.emit(log, "message.reset", {"message_id": "msg_trn_1"})
    server.delta(log, "A second", 0)
    expect(answer_of(page)).to_have_text("A second")


def test_two_tabs_show_the_same(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    first, second = (open_tab(f"#/s/{log.id}").page for _ in range(2))
    first.get_by_label("Message").fill("Hello")
    first.keyboard.press("Enter")
    expect(first.locator(".pending")).to_have_count(1)
    server.begin(log)
    server.delta(log, "Hi", 0)
    for page in (first, second):
        expect(page.locator(".user .bubble")).to_have_text("Hello")
        expect(answer_of(page)).to_have_text("Hi")
        expect(page.locator(".user")).to_have_count(1)


def test_a_second_message_waits_its_turn(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    page = open_tab(f"#/s/{log.id}").page
    for text in ("first", "second"):
        page.get_by_label("Message").fill(text)
        page.keyboard.press("Enter")
        expect(page.locator(".pending").last).to_contain_text("Waiting")
    server.begin(log, "trn_1", "first")
    expect(page.locator(".pending")).to_have_count(1)
    expect(page.locator(".pending")).to_contain_text("Waiting for the answer before it")
    complete(server, log, "Done.")
    server.begin(log, "trn_2", "second")
    expect(page.locator(".pending")).to_have_count(0)
    expect(page.locator(".row")).to_have_text(["You: first", re.compile("Done."), "You: second"])


def test_a_message_that_could_not_be_sent_is_tried_again_with_the_same_key(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    page = open_tab(f"#/s/{log.id}", may_complain=True).page
    path = f"/api/v1/sessions/{log.id}/turns"
    server.refuse[path] = (
        429,
        {"code": "queue_full", "detail": "Too many messages wait.", "mend": "Wait for an answer."},
    )
    page.get_by_label("Message").fill("Hello")
    page.keyboard.press("Enter")
    expect(page.locator(".pending")).to_contain_text("Not sent. Too many messages wait.")
    expect(page.locator(".pending")).to_contain_text("Wait for an answer.")
    server.refuse.clear()
    # The answer to the second try gets lost; the third must not start another turn.
    page.route(f"**{path}", lambda route: (route.fetch(), route.abort())[1], times=1)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".pending")).to_contain_text("The server cannot be reached.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".pending")).to_contain_text("Waiting")
    assert len(log.posted) == 1


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_tool_call_is_decided_by_button(server: Any, open_tab: OpenTab, decision: str) -> None:
    log = server.new_session()
    server.begin(log)
    call = {"tool_call_id": "call_1", "tool": "execute_command", "arguments": {"command": "ls"}, "risk": "execute"}
    server.emit(log, "tool.requested", call)
    server.ask_approval(log, {"command": "rm -rf build"}, reason="Commands need a person.")
    page = open_tab(f"#/s/{log.id}").page
    card = page.locator(".approval")
    expect(card).to_contain_text("rm -rf build")
    expect(card).to_contain_text("Commands need a person.")
    expect(page.locator("body > [role=alert]")).to_contain_text("may execute_command run?")
    card.get_by_label("Remark for the model (optional)").fill("only there")
    card.get_by_role("button", name=decision.capitalize()).click()
    expect(card.locator("h3")).to_have_text("Approved by owner" if decision == "approve" else "Denied by owner")
    expect(card.get_by_role("button")).to_have_count(0)
    assert server.calls == [("/api/v1/approvals/apr_1/decision", {"decision": decision, "remark": "only there"})]
    expect(page.get_by_label("Message")).to_be_focused()


def test_a_decision_that_came_too_late_says_so(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.ask_approval(log, {"command": "ls"})
    page = open_tab(f"#/s/{log.id}", may_complain=True).page
    server.refuse["/api/v1/approvals/apr_1/decision"] = (409, {"code": "approval_closed", "detail": "It has expired."})
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".approval")).to_contain_text("It was decided elsewhere. It has expired.")
    server.emit(log, "approval.expired", {"approval_id": "apr_1", "action": "reject"})
    expect(page.locator(".approval h3")).to_have_text("Expired")


def test_a_question_is_answered_by_button_or_in_words(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.emit(log, "question.asked", {"question": "Which **one**?", "options": ["left", "right"], "step": 1})
    page = open_tab(f"#/s/{log.id}").page
    page.get_by_role("button", name="right").click()
    expect(page.locator(".question .remark")).to_have_text("right")
    server.emit(log, "question.asked", {"question": "And why?", "options": [], "step": 2})
    expect(page.get_by_placeholder("Your answer")).to_be_visible()
    page.get_by_label("Message").fill("because")
    page.keyboard.press("Enter")
    expect(page.locator(".question .remark").last).to_have_text("because")
    assert [path for path, _ in server.calls] == [f"/api/v1/sessions/{log.id}/answer"] * 2


def test_thinking_and_tool_calls_can_be_opened(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    server.emit(log, "message.delta", {"message_id": "msg_trn_1", "reasoning": "Let me "})
    page = open_tab(f"#/s/{log.id}").page
    expect(page.locator(".reasoning summary")).to_have_text("Thinking")
    server.emit(log, "message.delta", {"message_id": "msg_trn_1", "reasoning": "look."})
    page.locator(".reasoning summary").click()
    expect(page.locator(".thoughts")).to_have_text("Let me look.")
    call = {"tool_call_id": "call_1", "tool": "read_file"}
    server.emit(log, "tool.requested", {**call, "arguments": {"path": "README.md"}, "risk": "read"})
    server.emit(log, "tool.started", {"tool_call_id": "call_1", "effect_id": "eff_1"})
    expect(page.locator(".tool-state")).to_have_text("runs")
    server.emit(log, "tool.completed", {**call, "content": "# Iskra", "seconds": 1.25})
    expect(page.locator(".tool-state")).to_have_text("done · 1.3 s")
    page.locator(".tool summary").click()
    expect(page.locator(".tool-body")).to_contain_text("# Iskra")


def test_finished_blocks_are_read_out_once(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.say(log, "An old answer.")
    server.begin(log, "trn_2")
    page = open_tab(f"#/s/{log.id}").page
    for text, offset in (("First block.\n\nSec", 0), ("ond block.", 17)):
        server.delta(log, text, offset, "trn_2")
    expect(answer_of(page)).to_contain_text("Second block.")
    spoken = page.locator("body > [role=log]")
    expect(spoken).to_have_text("First block.")
    complete(server, log, "First block.\n\nSecond block.", "trn_2")
    expect(spoken.locator("p")).to_have_text(["First block.", "Second block."])


def test_a_reader_who_scrolled_up_is_left_alone(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    text = "A line.\n\n" * 60
    server.delta(log, text, 0)
    page = open_tab(f"#/s/{log.id}").page
    scroller = page.locator(".scroller")
    expect(answer_of(page).locator("p")).to_have_count(60)
    assert scroller.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 2
    scroller.evaluate("e => e.scrollTop = 100")
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible()
    server.delta(log, "More.", len(text))
    expect(answer_of(page).locator("p")).to_have_count(61)
    assert scroller.evaluate("e => e.scrollTop") == 100
    page.get_by_role("button", name="Jump to the latest").click()
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_hidden()


def test_a_chat_that_does_not_exist_says_what_to_do(server: Any, open_tab: OpenTab) -> None:
    page = open_tab("#/s/ses_none", may_complain=True).page
    expect(page.locator(".trouble")).to_contain_text("This chat does not exist")
    expect(page.locator(".trouble")).to_contain_text("Start a new chat")


def test_a_draft_survives_a_reload(server: Any, open_tab: OpenTab) -> None:
    page = open_tab().page
    page.get_by_label("Message").fill("half a thought")
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("half a thought")


def test_who_is_not_signed_in_is_told_how(server: Any, open_tab: OpenTab) -> None:
    server.is_signed_in = False
    page = open_tab(may_complain=True).page
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("pre")).to_have_text("iskra login")
    server.is_signed_in = True
    page.goto(f"{server.url}login?code=abc")
    expect(page.get_by_label("Message")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert server.calls[-1][0] == "/logout"
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_signs_in_too(server: Any, open_tab: OpenTab) -> None:
    server.is_signed_in = False
    page = open_tab(may_complain=True).page
    field = page.get_by_label("Or enter the access token")
    field.fill("isk-bad")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The token is not valid.")
    field.fill("isk-good")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message")).to_be_visible()
    assert "isk-good" not in page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")


def test_the_page_waits_for_a_server_that_restarts(server: Any, open_tab: OpenTab) -> None:
    server.refuse["/v1/models"] = (503, {"detail": "The server is starting.", "mend": "Wait a moment."})
    page = open_tab(may_complain=True).page
    expect(page.get_by_text("The server is starting.")).to_be_visible()
    server.refuse.clear()
    expect(page.get_by_label("Message")).to_be_visible()


def test_a_snippet_is_copied(server: Any, open_tab: OpenTab) -> None:
    page = open_tab("#/connect", permissions=["clipboard-read", "clipboard-write"]).page
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"{server.url}v1"


def test_the_page_speaks_russian(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log, user="Привет")
    server.ask_approval(log, {"command": "ls"})
    page = open_tab(f"#/s/{log.id}", locale="ru-RU").page
    expect(page.get_by_role("button", name="Разрешить")).to_be_visible()
    expect(page.get_by_text("да K7Q2 или нет K7Q2")).to_be_visible()
    expect(page.get_by_label("Сообщение", exact=True)).to_have_attribute("placeholder", "Напишите сообщение")
    assert page.locator("html").get_attribute("lang") == "ru"
    page.get_by_role("link", name="Состояние").click()
    expect(page.get_by_text("Офлайн-провайдер").or_(page.get_by_text("Отвечает офлайн-провайдер"))).to_be_visible()


def test_text_from_right_to_left_runs_from_the_right(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.say(log, "مرحبا **بك** في `iskra`", user="שלום")
    page = open_tab(f"#/s/{log.id}").page
    paragraph = answer_of(page).locator("p")
    assert paragraph.evaluate("e => e.matches(':dir(rtl)')")
    assert page.locator(".bubble").evaluate("e => e.matches(':dir(rtl)')")


def test_who_wants_no_motion_gets_none(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.begin(log)
    page = open_tab(f"#/s/{log.id}", reduced_motion="reduce").page
    expect(page.locator(".pulse")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0


def test_what_is_kept_in_the_tab_holds_no_message_that_was_never_sent(server: Any, open_tab: OpenTab) -> None:
    log = server.new_session()
    server.say(log, "Kept.")
    page = open_tab(f"#/s/{log.id}").page
    expect(answer_of(page)).to_have_text("Kept.")
    page.evaluate("window.dispatchEvent(new Event('pagehide'))")
    stored = json.loads(page.evaluate("sessionStorage.getItem('iskra.conversation')"))
    assert (stored["id"], stored["cursor"]) == (log.id, 3)
    assert [item["kind"] for item in stored["items"]] == ["user", "assistant"]
