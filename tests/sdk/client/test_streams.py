import inspect
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra_sdk.client import (
    ApprovalInfo,
    AsyncIskraClient,
    AsyncTurnStream,
    Decision,
    IskraClient,
    QuestionInfo,
    ReconnectPolicy,
    TurnStream,
)
from iskra_sdk.errors import (
    AuthenticationError,
    ServerUnreachableError,
    TooManyStepsError,
    TurnError,
    UnexpectedAnswerError,
)
from iskra_sdk.event import EventType
from sdk.client.conftest import AT_ONCE, Connect
from sdk.client.fake_server import SESSION, TURN, FakeServer, encode, event, running, turn_log

MESSAGES = (("Hel", "lo, ", "мир 🌍", "\r\n\n", "data: x"), ("Second", " message."))
TEXT = "Hello, мир 🌍\r\n\ndata: x\n\nSecond message."


def boundaries(log: Sequence[dict[str, Any]]) -> list[int]:
    return list(itertools.accumulate(len(encode(entry)) for entry in log))


def test_a_turn_is_streamed(server: FakeServer, client: IskraClient) -> None:
    server.log = turn_log(MESSAGES)
    stream = client.stream("Hi", model="agent:x")
    assert "".join(stream.texts()) == TEXT == stream.text
    assert stream.is_finished
    assert stream.messages == ["".join(pieces) for pieces in MESSAGES]
    assert stream.usage == {"total_tokens": 7}
    method, path, headers, body = server.requests[1]
    assert (method, path) == ("POST", f"/api/v1/sessions/{SESSION}/turns")
    assert headers["authorization"] == "Bearer t0ken"
    assert body == {"text": "Hi", "model": "agent:x"}


@pytest.mark.parametrize("inside", [0, 9], ids=["between events", "inside an event"])
def test_a_connection_cut_at_every_event_loses_and_doubles_nothing(inside: int) -> None:
    log = turn_log(MESSAGES)
    for cut in [0, *boundaries(log)[:-1]]:
        with running() as server, IskraClient(server.url, reconnect=AT_ONCE) as client:
            server.log = log
            server.cuts = [cut + inside]
            stream = client.stream("Hi")
            events = list(stream)
            assert [entry.seq for entry in events] == [entry["seq"] for entry in log]
            assert stream.text == TEXT
            assert len(server.resumed_from) == 2
            assert server.resumed_from[1] == (events[boundaries(log).index(cut)].seq if cut else 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    messages=st.lists(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 900), max_size=6),
)
def test_any_number_of_cuts_anywhere_changes_nothing(messages: list[list[str]], cuts: list[int]) -> None:
    with running() as server, IskraClient(server.url, reconnect=AT_ONCE) as client:
        server.log = turn_log(messages)
        server.cuts = cuts
        pieces = list(client.stream("Hi").texts())
    assert "".join(pieces) == "\n\n".join("".join(parts) for parts in messages)


async def test_the_asynchronous_client_resumes_alike() -> None:
    log = turn_log(MESSAGES)
    for cut in [0, *boundaries(log)[:-1]]:
        with running() as server:
            server.log = log
            server.cuts = [cut + 5]
            async with AsyncIskraClient(server.url, "t0ken", reconnect=AT_ONCE) as client:
                stream = client.stream("Hi")
                assert "".join([piece async for piece in stream.texts()]) == TEXT == stream.text


def test_a_reader_that_resumes_inside_a_finished_message_gets_the_rest(server: FakeServer, client: IskraClient) -> None:
    log = turn_log([("abc", "def", "ghi")])
    server.log = log[:2]  # turn.started and "abc"
    server.cuts = [sum(len(encode(entry)) for entry in log[:2]), 0]
    stream = client.stream("Hi")
    texts = stream.texts()
    assert next(texts) == "abc"
    # While the client was away the message was completed, and its pieces are no longer kept.
    server.add(
        event(4, "message.delta", message_id="m0", offset=3, text="defghi"),
        *[entry for entry in log if entry["type"] not in ("turn.started", "message.delta")],
    )
    assert list(texts) == ["defghi"]
    assert stream.text == "abcdefghi"


def test_pieces_that_overlap_are_cut(server: FakeServer, client: IskraClient) -> None:
    server.log = [
        event(1, "turn.started"),
        event(2, "message.delta", message_id="m", offset=0, text="abcd"),
        event(3, "message.delta", message_id="m", offset=2, text="cdef"),
        event(4, "message.delta", message_id="m", offset=0, text="abc"),
        event(5, "message.completed", message_id="m", role="assistant", text="abcdefg"),
        event(6, "turn.completed"),
    ]
    assert list(client.stream("Hi").texts()) == ["abcd", "ef", "g"]


def test_a_snapshot_for_a_slow_reader_continues_the_text(server: FakeServer, client: IskraClient) -> None:
    server.log = [
        event(1, "message.delta", message_id="m", offset=0, text="abc"),
        event(8, "stream.reset", message_id="m", text="abcdefgh"),
        event(9, "message.delta", message_id="m", offset=8, text="i"),
        event(10, "message.completed", message_id="m", role="assistant", text="abcdefghi"),
        event(11, "turn.completed"),
    ]
    stream = client.stream("Hi")
    assert [(str(e.type), e.data.get("text")) for e in stream][:4] == [
        ("message.delta", "abc"),
        ("stream.reset", "abcdefgh"),
        ("message.delta", "defgh"),
        ("message.delta", "i"),
    ]
    assert stream.text == "abcdefghi"


def test_text_that_the_server_takes_back_is_forgotten(server: FakeServer, client: IskraClient) -> None:
    server.log = [
        event(1, "message.delta", message_id="m", offset=0, text="half a sen"),
        event(1000, "message.reset", message_id="m"),
        event(1001, "message.delta", message_id="m", offset=0, text="A whole one."),
        event(1002, "message.completed", message_id="m", role="assistant", text="A whole one."),
        event(1003, "turn.completed"),
    ]
    stream = client.stream("Hi")
    assert [str(e.type) for e in stream].count("message.reset") == 1
    assert stream.text == "A whole one."


def test_events_of_other_turns_are_left_out(server: FakeServer, client: IskraClient) -> None:
    server.log = [
        event(1, "message.completed", turn_id="turn_0", message_id="x", role="assistant", text="older"),
        event(2, "turn.completed", turn_id="turn_0"),
        event(3, "message.completed", message_id="u", role="user", text="Hi"),
        event(4, "message.completed", message_id="m", role="assistant", text="newer"),
        event(5, "turn.completed"),
    ]
    assert client.ask("Hi") == "newer"


def test_a_lost_acknowledgement_makes_one_turn(server: FakeServer, client: IskraClient) -> None:
    server.log = turn_log(MESSAGES)
    server.lost_answers = 2
    assert client.ask("Hi") == TEXT
    posts = [entry for entry in server.requests if entry[1].endswith("/turns")]
    assert len(posts) == 3
    assert len({headers["idempotency-key"] for _, _, headers, _ in posts}) == 1
    assert len(server.turns) == 1


def test_two_streams_are_two_turns(server: FakeServer, client: IskraClient) -> None:
    assert client.stream("Hi").start().id != client.stream("Hi").start().id


def test_a_stream_can_be_left_and_taken_up_again(server: FakeServer, client: IskraClient) -> None:
    server.log = turn_log(MESSAGES)
    with client.stream("Hi") as first:
        for entry in first:
            if entry.seq == 3:
                break
    rest = client.attach(TURN, after=first.cursor)
    assert [entry.seq for entry in rest][:2] == [4, 5]
    assert client.attach(TURN).result() == TEXT


def test_reading_goes_on_in_the_same_stream(server: FakeServer, client: IskraClient) -> None:
    server.log = turn_log(MESSAGES)
    stream = client.stream("Hi")
    seen = []
    for entry in stream:
        seen.append(entry.seq)
        if len(seen) == 3:
            break
    stream.close()
    seen += [entry.seq for entry in stream]
    assert seen == [entry["seq"] for entry in server.log]
    assert stream.text == TEXT


def test_a_stopping_server_is_waited_for(server: FakeServer, connect: Connect) -> None:
    log = turn_log(MESSAGES)
    server.log = [*log[:3], event(log[2]["seq"], "server.stopping")]
    waits: list[float] = []
    stream = connect(server.url, on_reconnect=lambda delay, cause: waits.append(delay)).stream("Hi")
    pieces = []
    for entry in stream:
        pieces.append(entry.type)
        if entry.type == EventType.SERVER_STOPPING:
            server.refusals = [(503, {"code": "shutting_down", "detail": "It stops.", "status": 503})] * 2
            server.log = log
    assert stream.text == TEXT
    assert len(waits) == 3


def test_a_server_that_stays_away_ends_in_a_clear_error(server: FakeServer, connect: Connect) -> None:
    server.log = turn_log(MESSAGES)[:2]
    server.cuts = [10] * 1000
    policy = ReconnectPolicy(first_delay=0.001, max_delay=0.001, give_up_after=0.2)
    stream = connect(server.url, reconnect=policy).stream("Hi")
    with pytest.raises(ServerUnreachableError, match=r"did not come back within 0\.2 s") as caught:
        stream.result()
    assert "attach to the turn" in str(caught.value)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((401, {"code": "unauthenticated", "detail": "No token.", "status": 401}), AuthenticationError),
        ((200, {"hello": "world"}), UnexpectedAnswerError),
        ((404, None), UnexpectedAnswerError),
    ],
)
def test_a_refusal_is_not_tried_again(
    server: FakeServer, refusal: tuple[int, dict[str, Any] | None], error: type[Exception], client: IskraClient
) -> None:
    server.log = turn_log(MESSAGES)
    server.refusals = [refusal]
    with pytest.raises(error):
        client.ask("Hi")
    assert not server.resumed_from


def test_an_answer_that_is_no_stream_is_told(server: FakeServer, client: IskraClient) -> None:
    server.stream_type = "text/html"
    with pytest.raises(UnexpectedAnswerError, match="text/html instead of an event stream"):
        client.ask("Hi")


def test_a_silent_stream_is_taken_up_again(server: FakeServer, connect: Connect) -> None:
    log = turn_log(MESSAGES)
    server.log = log[:2]
    policy = ReconnectPolicy(first_delay=0, max_delay=0, silence_timeout=0.1, attempt_timeout=5)
    causes: list[object] = []

    def note(_delay: float, cause: Exception | None) -> None:
        causes.append(cause)
        server.add(*log[2:])

    assert connect(server.url, reconnect=policy, on_reconnect=note).ask("Hi") == TEXT
    assert [type(cause).__name__ for cause in causes] == ["ReadTimeout"]


def test_a_failed_turn_raises_the_error_it_failed_with(server: FakeServer, client: IskraClient) -> None:
    server.log = [event(1, "turn.failed", code="too_many_steps", message="It went round and round.", mend="Ask less.")]
    with pytest.raises(TooManyStepsError, match=r"It went round and round. Ask less.") as caught:
        client.ask("Hi")
    assert caught.value.mend == "Ask less."


def test_a_cancelled_turn_raises_too(server: FakeServer, client: IskraClient) -> None:
    server.log = [event(1, "turn.cancelled", reason="by the user")]
    stream = client.stream("Hi")
    stream.cancel("by the user")
    with pytest.raises(TurnError, match="cancelled: by the user"):
        stream.result()
    assert ("POST", f"/api/v1/turns/{TURN}/cancel") in [entry[:2] for entry in server.requests]


APPROVAL = {
    "approval_id": "appr_1",
    "tool_call_id": "call_1",
    "tool": "write_file",
    "arguments": '{"path":"a.txt"}',
    "preview": "write a.txt",
    "risk": "write",
    "code": "K7Q2",
    "expires_at": "2026-01-01T01:00:00Z",
    "reason": "",
}


def waiting_server(server: FakeServer) -> None:
    server.approvals = {"appr_1": {"id": "appr_1", "state": "open"}}
    server.log = [
        event(1, "approval.requested", **APPROVAL),
        event(2, "approval.decided", approval_id="appr_1", decision="approved"),
        event(3, "turn.completed"),
    ]


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (True, {"decision": "approve"}),
        (False, {"decision": "deny"}),
        (Decision(approve=False, remark="not there"), {"decision": "deny", "remark": "not there"}),
        (Decision(True, arguments={"path": "b"}), {"decision": "approve", "arguments": {"path": "b"}}),
        (None, None),
    ],
)
def test_the_callback_decides_approvals(
    server: FakeServer, answer: Decision | bool | None, sent: object, client: IskraClient
) -> None:
    waiting_server(server)
    asked: list[ApprovalInfo] = []

    def on_approval(request: ApprovalInfo) -> Decision | bool | None:
        asked.append(request)
        return answer

    client.ask("Hi", on_approval=on_approval)
    assert [body for _, body in server.decisions] == ([] if sent is None else [sent])
    assert (asked[0].tool, asked[0].arguments, asked[0].code) == ("write_file", '{"path":"a.txt"}', "K7Q2")


def test_a_request_that_was_decided_before_is_not_asked_again(server: FakeServer, client: IskraClient) -> None:
    waiting_server(server)
    server.approvals["appr_1"]["state"] = "denied"

    def never(_request: ApprovalInfo) -> bool:
        raise AssertionError

    client.ask("Hi", on_approval=never)
    assert server.decisions == []


def test_a_decision_that_comes_second_does_no_harm(server: FakeServer, client: IskraClient) -> None:
    waiting_server(server)

    def too_late(_request: ApprovalInfo) -> bool:
        server.approvals["appr_1"]["state"] = "approved"
        return False

    client.ask("Hi", on_approval=too_late)


def test_a_callback_that_answers_with_a_text_is_a_mistake(server: FakeServer, client: IskraClient) -> None:
    waiting_server(server)
    with pytest.raises(TypeError, match="bool, a Decision or None, not str"):
        client.ask("Hi", on_approval=lambda request: "no")  # type: ignore[arg-type,return-value]


async def test_asynchronous_callbacks_are_awaited(server: FakeServer) -> None:
    waiting_server(server)

    async def on_approval(request: ApprovalInfo) -> bool:
        return request.tool == "write_file"

    async with AsyncIskraClient(server.url, reconnect=AT_ONCE) as client:
        await client.ask("Hi", on_approval=on_approval)
    assert server.decisions == [("appr_1", {"decision": "approve"})]


def test_questions_are_answered(server: FakeServer, client: IskraClient) -> None:
    server.log = [event(1, "question.asked", question="Which?", options=["a", "b"], step=0), event(2, "turn.completed")]
    stream = client.stream("Hi", on_question=lambda question: question.options[1])
    stream.start()
    next(iter(server.turns.values()))["state"] = "waiting_answer"
    stream.result()
    assert server.answers == ["b"]


def test_events_of_a_session_go_on_across_turns(server: FakeServer, client: IskraClient) -> None:
    server.log = turn_log([("one",)])
    events = client.events(SESSION)
    assert [next(events).seq for _ in server.log] == [entry["seq"] for entry in server.log]
    threading.Thread(target=server.add, args=(event(50, "turn.started", turn_id="turn_2"),)).start()
    assert next(events).seq == 50


def surface(cls: type) -> dict[str, list[str]]:
    members = inspect.getmembers(cls, lambda member: inspect.isfunction(member) or isinstance(member, property))
    return {
        name: list(inspect.signature(member).parameters) if inspect.isfunction(member) else []
        for name, member in members
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("one", "other"), [(IskraClient, AsyncIskraClient), (TurnStream, AsyncTurnStream)])
def test_both_clients_have_the_same_surface(one: type, other: type) -> None:
    plain, awaited = surface(one), surface(other)
    awaited["close"] = awaited.pop("aclose")
    assert plain == awaited


@pytest.mark.parametrize("resource", ["sessions", "turns", "approvals", "questions", "plugins"])
def test_the_resources_of_both_clients_have_the_same_surface(client: IskraClient, resource: str) -> None:
    plain = getattr(client, resource)
    awaited = getattr(AsyncIskraClient("http://127.0.0.1:1"), resource)
    assert surface(type(plain)) == surface(type(awaited))
    assert all(
        inspect.iscoroutinefunction(member)
        for name, member in inspect.getmembers(awaited, inspect.ismethod)
        if name[0] != "_"
    )


def test_a_question_is_typed() -> None:
    assert QuestionInfo(question="?").options == ()
