import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra_sdk.client import IskraClient
from iskra_sdk.client.problem import error_from_answer, error_from_code
from iskra_sdk.client.reconnect import Backoff, ReconnectPolicy
from iskra_sdk.client.sse import ServerSentEvent, SSEDecoder
from iskra_sdk.errors import (
    ApprovalClosedError,
    AuthenticationError,
    BusyError,
    ConfigurationError,
    IskraError,
    PluginLoadError,
    QueueFullError,
    ServerUnreachableError,
    SessionNotFoundError,
    UnexpectedAnswerError,
)
from sdk.client.conftest import Connect
from sdk.client.fake_server import SESSION, FakeServer


def every_error(cls: type[IskraError] = IskraError) -> Iterator[type[IskraError]]:
    if cls.__module__ == IskraError.__module__:
        yield cls
        for child in cls.__subclasses__():
            yield from every_error(child)


@pytest.mark.parametrize("cls", list(every_error()), ids=lambda cls: cls.__name__)
def test_every_error_comes_back_as_itself(cls: type[IskraError]) -> None:
    error = error_from_code(cls.code, "what", mend="how", facts={"plugin": "p", "phase": "gap", "upstream_status": 400})
    assert type(error) is cls
    assert str(error) == "what how"


def test_a_problem_document_becomes_its_error() -> None:
    body = json.dumps(
        {
            "type": "urn:iskra:error:plugin_load",
            "title": "Plugin load",
            "status": 422,
            "code": "plugin_load",
            "detail": "Plugin 'x': it is broken.",
            "mend": "Mend it.",
            "plugin": "x",
            "correlation_id": "c1",
        }
    ).encode()
    error = error_from_answer(422, {}, body)
    assert isinstance(error, PluginLoadError)
    assert error.plugin == "x"
    assert error.facts["correlation_id"] == "c1"
    assert str(error) == "Plugin 'x': it is broken. Mend it."


def test_openais_shape_becomes_an_error_too() -> None:
    body = b'{"error": {"message": "No such model.", "type": "x", "code": "session_not_found"}}'
    assert isinstance(error_from_answer(404, {}, body), SessionNotFoundError)


def test_a_code_from_a_newer_server_falls_back_to_the_status() -> None:
    error = error_from_answer(409, {}, b'{"code": "brand_new", "detail": "Hm."}')
    assert error.http_status == 409
    assert str(error) == "Hm."


def test_a_foreign_answer_is_quoted() -> None:
    error = error_from_answer(502, {}, b"<html>Bad gateway</html>")
    assert isinstance(error, UnexpectedAnswerError)
    assert "<html>Bad gateway" in str(error)


def test_an_answer_without_a_document_that_says_wait_is_busy() -> None:
    error = error_from_answer(503, {"retry-after": "7"}, b"<html>")
    assert isinstance(error, BusyError)
    assert error.retry_after == 7


def test_requests_that_are_safe_are_repeated(server: FakeServer, client: IskraClient) -> None:
    problem = {"code": "busy", "detail": "Wait.", "status": 503}
    server.failures = [(503, problem, {}), (503, problem, {"Retry-After": "0"})]
    assert [session.id for session in client.sessions.list()] == [SESSION]
    assert len(server.requests) == 3


def test_repeating_ends(server: FakeServer, client: IskraClient) -> None:
    server.failures = [(429, {"code": "queue_full", "detail": "Full.", "status": 429}, {})] * 3
    with pytest.raises(QueueFullError):
        client.sessions.list()
    assert len(server.requests) == 3


def test_a_long_wait_is_the_callers_business(server: FakeServer, client: IskraClient) -> None:
    server.failures = [(429, {"code": "busy", "detail": "Later.", "status": 429}, {"Retry-After": "3600"})]
    with pytest.raises(BusyError) as caught:
        client.sessions.list()
    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


def test_a_decision_is_sent_once(server: FakeServer, client: IskraClient) -> None:
    server.failures = [(503, {"code": "busy", "detail": "Wait.", "status": 503}, {})]
    with pytest.raises(BusyError):
        client.approvals.approve("appr_1")
    assert len(server.requests) == 1


def test_closed_approvals_are_told(server: FakeServer, client: IskraClient) -> None:
    server.approvals = {"a": {"id": "a", "state": "denied"}}
    with pytest.raises(ApprovalClosedError):
        client.approvals.deny("a", "no")


def test_unknown_fields_are_kept(server: FakeServer, client: IskraClient) -> None:
    (session,) = client.sessions.list()
    assert session.model_extra == {"new_field": 1}


def test_ids_cannot_change_the_path(server: FakeServer, client: IskraClient) -> None:
    with pytest.raises(IskraError):
        client.sessions.get("../../health")
    assert server.requests[0][1] == "/api/v1/sessions/..%2F..%2Fhealth"


def test_no_server_is_a_clear_error(connect: Connect) -> None:
    with pytest.raises(ServerUnreachableError, match="iskra serve"):
        connect("http://127.0.0.1:1", retries=0).health()


def test_an_answer_that_is_no_json_is_told(connect: Connect) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    with pytest.raises(UnexpectedAnswerError, match="no JSON"):
        connect(transport=transport).health()


def sent_token(connect: Connect, *arguments: Any, **settings: Any) -> str | None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"status": "ok"})

    connect(*arguments, **settings, transport=httpx.MockTransport(answer)).health()
    (token,) = seen
    return token


def test_the_token_comes_from_argument_environment_or_file(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv("ISKRA_DATA_DIR", str(tmp_path))
    assert sent_token(connect) == "Bearer from-file"
    assert sent_token(connect, token_file=tmp_path / "token") == "Bearer from-file"
    monkeypatch.setenv("ISKRA_TOKEN", "from-environment")
    assert sent_token(connect) == "Bearer from-environment"
    assert sent_token(connect, token="from-argument") == "Bearer from-argument"


def test_the_token_of_this_machine_is_not_sent_elsewhere(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("secret")
    monkeypatch.setenv("ISKRA_DATA_DIR", str(tmp_path))
    assert sent_token(connect, "https://iskra.example.org") is None


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "кириллица"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(AuthenticationError, match="characters that no token has"):
        IskraClient(token=token)


def test_a_token_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="cannot be read"):
        IskraClient(token_file=tmp_path / "missing")


@pytest.mark.parametrize("url", ["127.0.0.1:8700", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        IskraClient(url)


# The stream format -----------------------------------------------------------------------------------------------


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), max_size=4)


@given(events=st.lists(LINES, max_size=6), ending=st.sampled_from(["\n", "\r\n", "\r"]), data=st.data())
def test_events_survive_any_line_ending_and_any_cutting(
    events: list[list[str]], ending: str, data: st.DataObject
) -> None:
    stream = "".join(
        ": ping" + ending + f"id: {number}{ending}" + "".join(f"data: {line}{ending}" for line in lines) + ending
        for number, lines in enumerate(events)
    ).encode()
    decoder = SSEDecoder()
    read: list[ServerSentEvent] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        read += decoder.feed(stream[:size])
        stream = stream[size:]
    assert [(event.data, event.id) for event in read] == [
        ("\n".join(lines), str(number)) for number, lines in enumerate(events) if lines
    ]


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iskra_sdk.client.sse.MAX_EVENT_BYTES", 100)
    with pytest.raises(UnexpectedAnswerError):
        list(SSEDecoder().feed(b"data: " + b"x" * 200))


def test_delays_grow_are_jittered_and_end() -> None:
    now = [0.0]
    policy = ReconnectPolicy(first_delay=1, factor=2, max_delay=8, give_up_after=60)
    backoff = Backoff(policy, "http://x", monotonic=lambda: now[0], draw=lambda: 0.5)
    assert [backoff.delay(None) for _ in range(5)] == [0.5, 1, 2, 4, 4]
    backoff.progressed()
    assert backoff.delay(None) == 0.5
    now[0] = 60
    with pytest.raises(ServerUnreachableError):
        backoff.delay(OSError("gone"))


def test_a_connection_that_held_counts_as_a_success() -> None:
    now = [0.0]
    backoff = Backoff(ReconnectPolicy(give_up_after=10), "http://x", monotonic=lambda: now[0], draw=lambda: 0.0)
    for _ in range(10):
        backoff.connected()
        now[0] += 9
        backoff.delay(None)


def test_retry_after_is_honoured() -> None:
    backoff = Backoff(ReconnectPolicy(give_up_after=100), "http://x", draw=lambda: 0.0)
    assert backoff.delay(BusyError("wait", retry_after=30)) == 30
