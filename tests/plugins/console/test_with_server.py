"""The page against the real server with its offline model, started as a person starts it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.xdist_group("console_server")

ANSWERS = 20_000  # milliseconds that a busy machine may need


@dataclass
class RunningServer:
    process: subprocess.Popen[str]
    url: str
    login: str
    token: str

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"}, timeout=20).json()

    def configure(self, plugin: str, **settings: object) -> None:
        path = f"{self.url}/api/v1/admin/plugins/{plugin}/settings"
        httpx.put(path, json=settings, headers={"Authorization": f"Bearer {self.token}"}, timeout=20).raise_for_status()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        if self.process.stdout:
            self.process.stdout.close()


def start(folder: Path, port: int = 0) -> RunningServer:
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    (workspace / "README.md").write_text("# A small project\n\nIt greets people.\n", encoding="utf-8")
    arguments = ["serve", "--port", str(port), "--data-dir", str(folder / "data"), "--workspace", str(workspace)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISKRA_")}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "iskra", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**environment, "PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if "iskra chat" in line:
            break
    login = re.search(r"http://\S+/login\?code=\S+", printed)
    assert login, (folder / "log").read_text()
    token = (folder / "data" / "token").read_text().strip()
    return RunningServer(process, login[0].partition("/login")[0], login[0], token)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, live: RunningServer) -> Iterator[Page]:
    """A page that is signed in; it may ask nobody but the server."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    foreign: list[str] = []
    errors: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: None if request.url.startswith(live.url) else foreign.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    links = httpx.post(f"{live.url}/api/v1/login-codes", headers={"Authorization": f"Bearer {live.token}"}, timeout=20)
    opened.goto(links.json()["url"])
    expect(opened.get_by_label("Message")).to_be_visible()
    yield opened
    context.close()
    assert not foreign
    assert not errors


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def finished(page: Page) -> None:
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=ANSWERS)
    expect(page.locator(".pending")).to_have_count(0)


def test_the_printed_link_signs_in_once(browser: Browser, live: RunningServer) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(live.login)
    expect(page.get_by_label("Message")).to_be_visible()
    assert page.url == f"{live.url}/"
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    stranger = browser.new_context(locale="en-GB").new_page()
    answer = stranger.goto(live.login)
    assert answer is not None
    assert answer.status == 401
    stranger.goto(live.url)
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(live.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Or enter the access token").fill(live.token)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message")).to_be_visible()
    context.close()
    stranger.context.close()


def test_a_file_is_read_by_a_tool(page: Page) -> None:
    send(page, "Read README.md")
    expect(page.locator(".tool-name")).to_have_text("read_file", timeout=ANSWERS)
    finished(page)
    expect(page.locator(".tool-state")).to_contain_text("done")
    expect(page.locator(".assistant .markdown").last).to_contain_text("It greets people.")
    expect(page.locator(".sessions a[aria-current]")).to_have_text("Read README.md")


@pytest.mark.parametrize("decision", ["Approve", "Deny"])
def test_a_command_waits_for_the_button(page: Page, decision: str) -> None:
    send(page, "Run `python -V`")
    card = page.locator(".approval")
    expect(card).to_contain_text("python -V", timeout=ANSWERS)
    expect(page.locator(".waiting a")).to_have_count(1)
    page.reload()
    expect(card).to_contain_text("python -V", timeout=ANSWERS)
    card.get_by_label("Remark for the model (optional)").fill("as agreed")
    card.get_by_role("button", name=decision).click()
    expect(card.locator("h3")).to_contain_text("Approved" if decision == "Approve" else "Denied", timeout=ANSWERS)
    finished(page)
    page.locator(".tool summary").click()
    body = page.locator(".tool-body")
    if decision == "Approve":
        expect(body).to_contain_text("Python 3")
    else:
        expect(body).not_to_contain_text("Python 3")
        expect(page.locator(".tool-state")).to_contain_text("failed")
    expect(page.locator(".waiting")).to_be_hidden()


def test_a_reload_in_mid_stream_doubles_and_loses_nothing(page: Page, live: RunningServer) -> None:
    live.configure("offline", tokens_per_second=40)
    asked: list[str] = []
    page.on(
        "request", lambda request: asked.extend([request.headers["last-event-id"]] if "/events?" in request.url else [])
    )
    send(page, "How do I write an agent?")
    answer = page.locator(".assistant .markdown").last
    expect(answer).to_contain_text(re.compile(r"(\w+\W+){8}"), timeout=ANSWERS)
    page.reload()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    live.configure("offline", tokens_per_second=None)
    finished(page)
    assert int(asked[-1]) > 0
    session = page.url.rpartition("/")[2]
    messages = live.get(f"/api/v1/sessions/{session}/messages")["data"]
    shown = answer.inner_text()
    # A second reader gets it all at once from the log.
    page.evaluate("sessionStorage.clear()")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator(".assistant .markdown").last).to_have_text(answer.inner_text(), use_inner_text=True)
    assert shown == other.locator(".assistant .markdown").last.inner_text()
    assert len(messages) == 2
    expect(page.locator(".user")).to_have_count(1)


def test_an_answer_is_stopped(page: Page, live: RunningServer) -> None:
    live.configure("offline", tokens_per_second=5)
    try:
        send(page, "How do I write an agent?")
        expect(page.locator(".assistant .markdown")).to_contain_text(re.compile(r"\w"), timeout=ANSWERS)
        page.keyboard.press("Escape")
        expect(page.locator(".notice").last).to_have_text("Stopped.")
        finished(page)
    finally:
        live.configure("offline", tokens_per_second=None)


def test_the_status_tells_what_runs(page: Page) -> None:
    page.get_by_role("link", name="Status").click()
    expect(page.get_by_text(re.compile(r"All \d+ plugins work"))).to_be_visible()
    expect(page.locator(".badge[data-state=good]").first).to_have_text("Ready")
    expect(page.locator(".chips")).to_contain_text("agent:coder")


def test_the_page_goes_on_when_the_server_comes_back(browser: Browser, tmp_path: Path) -> None:
    first = start(tmp_path)
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(first.login)
    send(page, "Read README.md")
    expect(page.locator(".tool-name")).to_have_text("read_file", timeout=ANSWERS)
    finished(page)
    first.stop()
    expect(page.locator(".connection")).to_have_text("Connection lost. Trying again…", timeout=ANSWERS)
    second = start(tmp_path, int(first.url.rpartition(":")[2]))
    try:
        expect(page.locator(".connection")).to_have_text("", timeout=ANSWERS)
        send(page, "List files in .")
        expect(page.locator(".tool-name").last).to_have_text("list_files", timeout=ANSWERS)
        finished(page)
        expect(page.locator(".user")).to_have_count(2)
    finally:
        context.close()
        second.stop()
