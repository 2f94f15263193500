"""A browser, and a server that does what a test tells it: it serves the real page and speaks the native protocol."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.routing import Route as Path

from iskra_plugins.console import register_routes
from programs import require_program

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that would have to be looked up is a failure of the page; it never leaves this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

MODELS = [
    {"id": "iskra", "object": "model"},
    {"id": "agent:ask", "object": "model"},
    {"id": "agent:coder", "object": "model"},
    {"id": "llm:default", "object": "model"},
]


@dataclass
class SessionLog:
    id: str
    title: str
    agent: str
    events: list[dict[str, Any]] = field(default_factory=list)
    posted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Idempotency key → turn."""


class ScriptedServer:
    """What the tests call runs in their thread; what answers the browser runs in the server's."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionLog] = {}
        self.calls: list[tuple[str, Any]] = []
        """Each write the page made: path and body."""
        self.resumed_after: list[int] = []
        """The cursor of each request for events."""
        self.refuse: dict[str, tuple[int, dict[str, Any]]] = {}
        """Path → status and problem to answer instead."""
        self.lose: set[int] = set()
        """Event numbers that get lost the first time they are sent."""
        self.is_signed_in = True
        self.on_turn: Callable[[SessionLog, dict[str, Any]], None] = lambda log, turn: None
        self.asked: tuple[SessionLog, str]
        self.loop = asyncio.new_event_loop()
        self.news = asyncio.Event()
        self.cut = asyncio.Event()
        self.port = 0

    # What tests do ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def new_session(self, title: str = "A talk", agent: str = "iskra") -> SessionLog:
        log = SessionLog(f"ses_{len(self.sessions) + 1}", title, agent)
        self.sessions[log.id] = log
        return log

    def emit(self, log: SessionLog, kind: str, data: dict[str, Any], turn: str = "trn_1", *, seq: int = 0) -> int:
        number = seq or (log.events[-1]["seq"] + 1 if log.events else 1)
        log.events.append(
            {
                "id": f"{log.id}:{number}",
                "seq": number,
                "type": kind,
                "session_id": log.id,
                "turn_id": turn,
                "at": datetime.now(UTC).isoformat(),
                "source": "kernel",
                "severity": "info",
                "correlation_id": "req_1",
                "data": data,
            }
        )
        self.loop.call_soon_threadsafe(self._tell)
        return number

    def say(self, log: SessionLog, text: str, turn: str = "trn_1", user: str = "Hello") -> None:
        """Play a finished turn."""
        self.emit(
            log, "turn.started", {"turn_id": turn, "number": 1, "model": "iskra", "agent": "ask", "input": user}, turn
        )
        completed = {"message_id": f"msg_{turn}", "role": "assistant", "text": text, "tool_calls": [], "agent": "ask"}
        self.emit(log, "message.completed", completed, turn)
        self.emit(log, "turn.completed", {"usage": {}}, turn)

    def begin(self, log: SessionLog, turn: str = "trn_1", user: str = "Hello") -> None:
        self.emit(
            log, "turn.started", {"turn_id": turn, "number": 1, "model": "iskra", "agent": "ask", "input": user}, turn
        )

    def delta(self, log: SessionLog, text: str, offset: int, turn: str = "trn_1") -> int:
        return self.emit(log, "message.delta", {"message_id": f"msg_{turn}", "offset": offset, "text": text}, turn)

    def ask_approval(self, log: SessionLog, arguments: dict[str, Any], turn: str = "trn_1", **fields: Any) -> None:
        self.asked = (log, turn)
        data = {
            "approval_id": "apr_1",
            "tool_call_id": "call_1",
            "tool": "execute_command",
            "arguments": json.dumps(arguments, sort_keys=True),
            "preview": "",
            "risk": "execute",
            "code": "K7Q2",
            "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            "reason": "",
            **fields,
        }
        self.emit(log, "approval.requested", data, turn)

    def drop_streams(self) -> None:
        """Cut every open stream of events, as a network does."""
        self.loop.call_soon_threadsafe(self.cut.set)

    # Answers ---------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    async def _events(self, log: SessionLog, after: int) -> AsyncIterator[bytes]:
        yield b": ping\n\n"
        cut = self.cut = asyncio.Event()
        while True:
            news = self.news
            for event in [event for event in log.events if event["seq"] > after]:
                after = event["seq"]
                if after in self.lose:
                    self.lose.discard(after)
                    continue
                yield f"id: {after}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            waits = [asyncio.ensure_future(news.wait()), asyncio.ensure_future(cut.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if cut.is_set():
                return

    def app(self) -> Starlette:
        (page,) = register_routes()

        async def login(request: Request) -> Response:
            if request.method == "POST":
                if (await request.json())["token"] != "isk-good":
                    return _problem(401, code="authentication", detail="The token is not valid.")
                self.is_signed_in = True
                return JSONResponse({"status": "ok"})
            answer = RedirectResponse("/", 303)
            answer.set_cookie("iskra_session", "secret", httponly=True, samesite="strict")
            return answer

        def api(path: str, endpoint: Callable[[Request, Any], Any], method: str = "GET") -> Path:
            async def checked(request: Request) -> Response:
                if not self.is_signed_in:
                    return _problem(401, code="authentication", detail="No credential came with the request.")
                if refusal := self.refuse.get(request.url.path):
                    return _problem(refusal[0], **refusal[1])
                body = await request.json() if method == "POST" else None
                if method == "POST":
                    self.calls.append((request.url.path, body))
                found = endpoint(request, body)
                return found if isinstance(found, Response) else JSONResponse(found)

            return Path(path, checked, methods=[method])

        return Starlette(
            routes=[
                Path("/login", login, methods=["GET", "POST"]),
                api("/ready", lambda request, body: {"status": "ready", "checks": {"store": "ok"}, "version": "0.1.0"}),
                api("/api/v1/status", lambda request, body: {"targets": {"default": ["offline/offline"]}}),
                api("/v1/models", lambda request, body: {"object": "list", "data": MODELS}),
                api("/api/v1/admin/plugins", self._plugins),
                api("/api/v1/approvals", lambda request, body: {"data": []}),
                api("/api/v1/approvals/{id}/decision", self._decide, "POST"),
                api("/api/v1/sessions", self._list),
                api("/api/v1/sessions", self._create, "POST"),
                api("/api/v1/sessions/{id}", self._session),
                api("/api/v1/sessions/{id}/turns", self._turn, "POST"),
                api("/api/v1/sessions/{id}/answer", self._accept, "POST"),
                api("/api/v1/sessions/{id}/events", self._stream),
                api("/api/v1/turns/{id}/cancel", self._cancel, "POST"),
                api("/logout", self._log_out, "POST"),
                Mount("/", page.app),
            ]
        )

    def _log_out(self, request: Request, body: Any) -> Any:
        self.is_signed_in = False
        return {"status": "ok"}

    def _plugins(self, request: Request, body: Any) -> Any:
        error = {"code": "plugin_load", "message": "Plugin 'weather': it cannot be imported.", "mend": "Fix line 3."}
        broken = {"name": "weather", "state": "failed", "error": error}
        return {"data": [{"name": "console", "state": "running", "error": None}, broken]}

    def _list(self, request: Request, body: Any) -> Any:
        return {"data": [{"id": log.id, "title": log.title} for log in reversed(self.sessions.values())]}

    def _create(self, request: Request, body: Any) -> Any:
        log = self.new_session(body["title"], body["agent"])
        return {"id": log.id, "title": log.title, "agent": log.agent}

    def _session(self, request: Request, body: Any) -> Any:
        log = self.sessions.get(request.path_params["id"])
        if log is None:
            return _problem(404, code="session_not_found", detail="There is no such session.")
        return {"id": log.id, "title": log.title, "agent": log.agent}

    def _turn(self, request: Request, body: Any) -> Any:
        log = self.sessions[request.path_params["id"]]
        key = request.headers["idempotency-key"]
        if key not in log.posted:
            log.posted[key] = {"id": f"trn_{len(log.posted) + 1}", "session_id": log.id, "state": "running", **body}
            self.on_turn(log, log.posted[key])
        return JSONResponse(log.posted[key], 202)

    def _stream(self, request: Request, body: Any) -> Any:
        log = self.sessions.get(request.path_params["id"])
        if log is None:
            return _problem(404, code="session_not_found", detail="There is no such session.")
        after = int(request.headers["last-event-id"])
        self.resumed_after.append(after)
        return StreamingResponse(self._events(log, after), media_type="text/event-stream")

    def _decide(self, request: Request, body: Any) -> Any:
        log, turn = self.asked
        decision = "approved" if body["decision"] == "approve" else "denied"
        decided = {
            "approval_id": "apr_1",
            "tool_call_id": "call_1",
            "decision": decision,
            "by": "owner",
            "remark": body["remark"],
        }
        self.emit(log, "approval.decided", decided, turn)
        return {"id": request.path_params["id"], "state": decision}

    def _accept(self, request: Request, body: Any) -> Any:
        log = self.sessions[request.path_params["id"]]
        turn = log.events[-1]["turn_id"]
        self.emit(log, "question.answered", {"answer": body["text"]}, turn)
        return {"id": turn}

    def _cancel(self, request: Request, body: Any) -> Any:
        turn = request.path_params["id"]
        (log,) = [log for log in self.sessions.values() if any(event["turn_id"] == turn for event in log.events)]
        self.emit(log, "turn.cancelled", {"reason": ""}, turn)
        return {"id": turn, "state": "cancelled"}


def _problem(status: int, **problem: Any) -> Response:
    return JSONResponse({"status": status, **problem}, status, media_type="application/problem+json")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    scripted.port = listener.getsockname()[1]
    config = uvicorn.Config(scripted.app(), log_level="critical", ws="none", timeout_graceful_shutdown=1)
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: scripted.loop.run_until_complete(runner.serve([listener])))
    thread.start()
    yield scripted
    runner.should_exit = True
    scripted.drop_streams()
    thread.join(timeout=10)
    scripted.loop.close()
    listener.close()
    assert not thread.is_alive()


# Its driver keeps an event loop in the test's thread, which asynchronous tests of other modules must not meet.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_program("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class Tab:
    """A page with everything it did that a good page does not."""

    page: Page
    foreign: list[str]
    """Addresses outside this machine that it asked for."""
    errors: list[str]
    """What it threw, and what the browser complained about."""


@pytest.fixture
def open_tab(browser: Browser, server: ScriptedServer) -> Iterator[Callable[..., Tab]]:
    """Open the page; at the end of the test it must have thrown nothing and asked nobody else."""
    contexts: list[BrowserContext] = []
    tabs: list[Tab] = []

    def open_tab(
        path: str = "", *, may_complain: bool = False, width: int = 1280, height: int = 800, **options: Any
    ) -> Tab:
        options = {
            "locale": "en-GB",
            "color_scheme": "light",
            "viewport": {"width": width, "height": height},
            **options,
        }
        context = browser.new_context(**options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        tab = Tab(context.new_page(), [], [])

        def refuse(route: Route) -> None:
            tab.foreign.append(route.request.url)
            route.abort()

        def on_dialog(dialog: Dialog) -> None:
            tab.errors.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        context.route(re.compile(rf"^(?!{re.escape(server.url)}|data:|blob:)"), refuse)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on("console", lambda message: tab.errors.extend([message.text] if message.type == "error" else []))
        tab.page.on("dialog", on_dialog)
        if not may_complain:
            tabs.append(tab)
        tab.page.goto(server.url + path)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    for tab in tabs:
        assert not tab.errors
        assert not tab.foreign
