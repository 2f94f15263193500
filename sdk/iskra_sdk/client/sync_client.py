"""The client for ordinary code."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from iskra_sdk.approval import ApprovalState
from iskra_sdk.client import calls
from iskra_sdk.client.calls import Call
from iskra_sdk.client.connection import Connection, check_is_stream, expect_silence, stream_request
from iskra_sdk.client.models import (
    AgentInfo,
    ApprovalInfo,
    ContextInfo,
    HealthInfo,
    MessageInfo,
    ModelInfo,
    PluginInfo,
    ProviderInfo,
    QuestionInfo,
    ReceiptInfo,
    ReplayInfo,
    SessionInfo,
    StepInfo,
    ToolInfo,
    TurnInfo,
)
from iskra_sdk.client.problem import error_from_answer
from iskra_sdk.client.reconnect import Backoff, ReconnectPolicy, is_temporary, pause_before_retry, unreachable
from iskra_sdk.client.sse import SSEDecoder
from iskra_sdk.client.turn_progress import (
    DecisionLike,
    TextJoiner,
    TurnProgress,
    as_decision,
    asked_question,
    requested_approval,
    title_of,
)
from iskra_sdk.client.turn_reader import TurnReader, event_from_wire
from iskra_sdk.errors import ApprovalClosedError, ConflictError, IskraError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import new_id
from iskra_sdk.session_store import TurnState

T = TypeVar("T")

OnApproval = Callable[[ApprovalInfo], DecisionLike]
OnQuestion = Callable[[QuestionInfo], str | None]


class IskraClient:
    """Talks to a running server.

    Example::

        with IskraClient() as client:
            print(client.ask("Hello", model="agent:ask"))

    One client may be used from several threads. Requests that are safe to repeat are repeated when their answer is
    lost.

    Args:
        url: Address of the server; by default ``ISKRA_URL``, or ``http://127.0.0.1:8700``.
        token: The token; by default ``ISKRA_TOKEN``, or for a server on this machine the content of ``token_file``.
        token_file: By default ``<ISKRA_DATA_DIR>/token``, or ``~/.iskra/token``.
        timeout: Seconds a request may wait for each of connection, sending and answer.
        retries: Repetitions of a request that is safe to repeat.
        reconnect: How broken streams are taken up again.
        on_reconnect: Called with the seconds until the next attempt and the cause, before each wait.
        transport: Another way to reach the server, e.g. ``httpx.MockTransport`` in tests.

    Raises:
        ConfigurationError: The address is none.
        AuthenticationError: The token cannot be read.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        timeout: float = 30.0,
        retries: int = 2,
        reconnect: ReconnectPolicy | None = None,
        on_reconnect: Callable[[float, Exception | None], None] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, token, token_file, timeout)
        self._retries = retries
        self._policy = reconnect or ReconnectPolicy()
        self._on_reconnect = on_reconnect
        self._http = httpx.Client(
            base_url=self._connection.url,
            headers=self._connection.headers,
            timeout=self._connection.timeout,
            transport=transport,
            # A proxy of the environment cannot reach a server on this machine.
            trust_env=not self._connection.is_local,
        )
        self.sessions = Sessions(self)
        self.turns = TurnsAPI(self)
        self.approvals = ApprovalsAPI(self)
        self.questions = Questions(self)
        self.plugins = Plugins(self)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._connection.url

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(
        self,
        text: str,
        session: str | SessionInfo | None = None,
        model: str | None = None,
        *,
        on_approval: OnApproval | None = None,
        on_question: OnQuestion | None = None,
        options: Mapping[str, object] | None = None,
    ) -> str:
        """Send a message, wait for the whole answer and return its text; see :meth:`stream` for the arguments.

        Raises:
            IskraError: The turn failed or was cancelled; the class says how.
        """
        stream = self.stream(text, session, model, on_approval=on_approval, on_question=on_question, options=options)
        return stream.result()

    def stream(
        self,
        text: str,
        session: str | SessionInfo | None = None,
        model: str | None = None,
        *,
        on_approval: OnApproval | None = None,
        on_question: OnQuestion | None = None,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> "TurnStream":
        """Return a stream of the turn that answers a message. The message is sent when the stream is started or read.

        Args:
            text: The message.
            session: The session or its id; a new one by default.
            model: Who answers: ``iskra``, ``agent:<name>``, ``voice:<name>``; by default the session's own choice,
                which for a new session is ``iskra``.
            on_approval: Asked about each tool call that needs a person; without it such calls wait for a decision
                made elsewhere.
            on_question: Asked when the agent asks; ``None`` leaves the question open.
            options: Parameters of the turn, e.g. ``{"parameters": {"temperature": 0}}``.
            idempotency_key: Names the turn, so that a repeated request makes one; made up by default.
        """
        return TurnStream(
            self,
            text,
            session,
            model,
            options=options,
            idempotency_key=idempotency_key or new_id("key"),
            on_approval=on_approval,
            on_question=on_question,
        )

    def attach(
        self,
        turn: str | TurnInfo,
        *,
        after: int | None = None,
        on_approval: OnApproval | None = None,
        on_question: OnQuestion | None = None,
    ) -> "TurnStream":
        """Return a stream of a turn that was started before, from its beginning or after the event ``after``."""
        return TurnStream(self, attach_to=turn, after=after, on_approval=on_approval, on_question=on_question)

    def events(self, session: str | SessionInfo, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a session above the number ``after``, past ones first, without end.

        Raises:
            ServerUnreachableError: The connection was lost and did not come back in time.
        """
        return self._follow(_id_of(session), TurnReader(cursor=after, begins_inside=after > 0))

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Call a route that has no method here, e.g. one of a plugin, and return its decoded answer.

        Args:
            method: ``GET``, ``POST``, …; only ``GET`` is repeated when the connection fails.
            path: The route's path, beginning with a slash.
            body: JSON-able object to send.
        """
        return self._send(calls.any_route(method, path, body))

    def models(self) -> list[ModelInfo]:
        """Return everything that answers."""
        return self._send(calls.list_models())

    def agents(self) -> list[AgentInfo]:
        """Return the agents."""
        return self._send(calls.list_agents())

    def tools(self) -> list[ToolInfo]:
        """Return the tools."""
        return self._send(calls.list_tools())

    def health(self) -> HealthInfo:
        """Return whether the server lives."""
        return self._send(calls.health())

    def ready(self) -> HealthInfo:
        """Return whether the server and what it depends on are ready."""
        return self._send(calls.ready())

    def providers(self) -> list[ProviderInfo]:
        """Return the sources of model answers and whether they work now; needs the permission ``admin:server``."""
        return self._send(calls.list_providers())

    def breakers(self) -> dict[str, Any]:
        """Return the circuit breakers' states."""
        return self._send(calls.breakers())

    def login_link(self) -> dict[str, Any]:
        """Return a one-time login address for the console."""
        return self._send(calls.login_link())

    def _send(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            error: IskraError
            try:
                response = self._http.request(**self._connection.request(call))
                if response.is_success or response.status_code in call.accepts:
                    return call.parse(response.content)
                error = error_from_answer(response.status_code, response.headers, response.content)
                may_retry = call.is_repeatable and is_temporary(error)
            except httpx.TransportError as exc:
                error = unreachable(self.url, exc)
                may_retry = call.is_repeatable and is_temporary(exc)
            pause = pause_before_retry(attempt, error) if may_retry and attempt < self._retries else None
            if pause is None:
                raise error
            time.sleep(pause)
            attempt += 1

    def _follow(self, session_id: str, reader: TurnReader) -> Generator[Event, None, None]:
        """Yield what is new, over as many connections as it takes, until the reader is finished."""
        backoff = Backoff(self._policy, self.url)
        while True:
            cause: Exception | None = None
            request = stream_request(self._http, session_id, reader.cursor, self._policy)
            try:
                with closing(self._http.send(request, stream=True)) as response:
                    if not response.is_success:
                        raise error_from_answer(response.status_code, response.headers, response.read())
                    check_is_stream(response)
                    backoff.connected()
                    expect_silence(request, self._policy)
                    decoder = SSEDecoder()
                    for piece in response.iter_bytes():
                        for sent in decoder.feed(piece):
                            for event in reader.read(event_from_wire(sent.data)):
                                backoff.progressed()
                                yield event
                        if reader.is_finished:
                            return
            except httpx.TransportError as exc:
                if not is_temporary(exc):
                    raise unreachable(self.url, exc) from exc
                cause = exc
            except IskraError as exc:
                if not is_temporary(exc):
                    raise
                cause = exc
            delay = backoff.delay(cause)
            if self._on_reconnect is not None:
                self._on_reconnect(delay, cause)
            time.sleep(delay)


class TurnStream(TurnProgress):
    """A turn as it happens: iterate over it for events, or over :meth:`texts` for the answer's text.

    Reading goes on where it stopped; it ends after the turn's last event. Lost connections are taken up again, no event
    comes twice and none is missing.
    """

    def __init__(
        self,
        client: IskraClient,
        text: str = "",
        session: str | SessionInfo | None = None,
        model: str | None = None,
        *,
        attach_to: str | TurnInfo | None = None,
        after: int | None = None,
        options: Mapping[str, object] | None = None,
        idempotency_key: str = "",
        on_approval: OnApproval | None = None,
        on_question: OnQuestion | None = None,
    ) -> None:
        super().__init__(after=after)
        self._client = client
        self._input = text
        self._session = _id_of(session) if session is not None else None
        self._model = model
        self._attach_to = attach_to
        self._options = options
        self._key = idempotency_key
        self._on_approval = on_approval
        self._on_question = on_question
        self._reading: Generator[Event, None, None] | None = None

    def start(self) -> TurnInfo:
        """Send the message, if that was not done yet; when it returns, the server has committed it."""
        if self.turn is not None:
            return self.turn
        if self._attach_to is not None:
            known = self._attach_to
            return self._begin(known if isinstance(known, TurnInfo) else self._client.turns.get(known))
        if self._session is None:
            title = title_of(self._input)
            self._session = (self._client.sessions.create(title, agent=self._model)).id
        call = calls.start_turn(self._session, self._input, self._model, self._options, self._key)
        return self._begin(self._client._send(call))

    def __iter__(self) -> Iterator[Event]:
        self._reading = self._read()
        return self._reading

    def close(self) -> None:
        """Let go of the connection; the turn goes on in the server."""
        if self._reading is not None:
            self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[Event, None, None]:
        turn = self.start()
        with closing(self._client._follow(turn.session_id, self._reader)) as events:
            for event in events:
                yield event
                if event.type == EventType.APPROVAL_REQUESTED and self._on_approval is not None:
                    self._decide(event, self._on_approval)
                elif event.type == EventType.QUESTION_ASKED and self._on_question is not None:
                    self._answer(event, self._on_question)

    def texts(self) -> Iterator[str]:
        """Yield the answer in pieces; joined, they are :attr:`text`, unless a piece had to be taken back.

        That happens only where the server crashed in mid-sentence, and is told by ``message.reset`` among the events.

        Raises:
            IskraError: The turn failed or was cancelled.
        """
        joiner = TextJoiner()
        for event in self:
            if piece := joiner.piece(event):
                yield piece
        if self.error is not None:
            raise self.error

    def result(self) -> str:
        """Read to the end and return the answer's text.

        Raises:
            IskraError: The turn failed or was cancelled; the class says how.
        """
        for _ in self:
            pass
        if self.error is not None:
            raise self.error
        return self.text

    def cancel(self, reason: str = "") -> TurnInfo:
        """Cancel the turn; the stream goes on to its last event."""
        return self._client.turns.cancel((self.start()).id, reason)

    def _decide(self, event: Event, ask: OnApproval) -> None:
        request = requested_approval(event)
        current = self._client.approvals.get(request.id)
        if current.state is not ApprovalState.OPEN:
            return
        answer = ask(request)
        decision = as_decision(answer)
        if decision is None:
            return
        try:
            self._client._send(
                calls.decide_approval(
                    request.id,
                    approve=decision.approve,
                    remark=decision.remark,
                    arguments=decision.arguments,
                    remember=decision.remember,
                )
            )
        except ApprovalClosedError:
            # Somebody else was quicker; the events tell what was decided.
            return

    def _answer(self, event: Event, ask: OnQuestion) -> None:
        question = asked_question(event)
        turn = self._client.turns.get(question.turn_id)
        if turn.state is not TurnState.WAITING_ANSWER:
            return
        answer = ask(question)
        if answer is None:
            return
        try:
            self._client.questions.answer(question.session_id, answer)
        except ConflictError:
            # Answered elsewhere in the meantime.
            return


class _Resource:
    def __init__(self, client: IskraClient) -> None:
        self._client = client


class Sessions(_Resource):
    """Sessions of the principal."""

    def create(
        self, title: str = "", *, agent: str | None = None, metadata: Mapping[str, object] | None = None
    ) -> SessionInfo:
        """Make a session; ``agent`` is the model id its turns use by default."""
        return self._client._send(calls.create_session(title, agent, metadata))

    def list(self, *, limit: int = 50, before: str | None = None) -> list[SessionInfo]:
        """Return sessions, newest first, after the one with the id ``before``."""
        return self._client._send(calls.list_sessions(limit, before))

    def get(self, session: str | SessionInfo) -> SessionInfo:
        """Return a session."""
        return self._client._send(calls.get_session(_id_of(session)))

    def delete(self, session: str | SessionInfo) -> None:
        """Remove a session with everything in it."""
        self._client._send(calls.delete_session(_id_of(session)))

    def messages(self, session: str | SessionInfo, *, after: int = 0, limit: int = 1000) -> "_list[MessageInfo]":
        """Return messages with a position above ``after``, oldest first."""
        return self._client._send(calls.list_messages(_id_of(session), after, limit))

    def context(self, session: str | SessionInfo) -> ContextInfo:
        """Return what the session's agent would see with the next message."""
        return self._client._send(calls.show_context(_id_of(session)))


class TurnsAPI(_Resource):
    """Turns."""

    def replay(self, turn: str | TurnInfo) -> ReplayInfo:
        """Run a finished turn's agent again on recorded answers and results, without effects, and compare the steps.

        Raises:
            TurnNotFoundError: There is no such turn.
            ConflictError: It is not finished.
        """
        return self._client._send(calls.replay_turn(_id_of(turn)))

    def steps(self, turn: str | TurnInfo) -> "_list[StepInfo]":
        """Return a turn's journal: model calls, tool calls, questions, handoffs."""
        return self._client._send(calls.list_steps(_id_of(turn)))

    def start(
        self,
        session: str | SessionInfo,
        text: str,
        model: str | None = None,
        *,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
    ) -> TurnInfo:
        """Send a message without following its turn; when it returns, the server has committed it."""
        return self._client._send(
            calls.start_turn(_id_of(session), text, model, options, idempotency_key or new_id("key"))
        )

    def list(self, session: str | SessionInfo, *, limit: int = 100, before: int | None = None) -> list[TurnInfo]:
        """Return up to 200 turns of a session, newest first, those with a number below ``before``."""
        return self._client._send(calls.list_turns(_id_of(session), limit, before))

    def get(self, turn: str | TurnInfo) -> TurnInfo:
        """Return a turn."""
        return self._client._send(calls.get_turn(_id_of(turn)))

    def cancel(self, turn: str | TurnInfo, reason: str = "") -> TurnInfo:
        """Cancel a turn; one that has finished stays as it is."""
        return self._client._send(calls.cancel_turn(_id_of(turn), reason))


class ApprovalsAPI(_Resource):
    """Approval requests."""

    def list(self, *, state: ApprovalState | None = ApprovalState.OPEN, limit: int = 100) -> list[ApprovalInfo]:
        """Return requests, newest first; ``state=None`` for all."""
        return self._client._send(calls.list_approvals(state, limit))

    def get(self, approval: str | ApprovalInfo) -> ApprovalInfo:
        """Return a request."""
        return self._client._send(calls.get_approval(_id_of(approval)))

    def approve(self, approval: str | ApprovalInfo, remark: str = "", *, remember: bool = False) -> ApprovalInfo:
        """Let the call run as it is shown; ``remember`` accepts the rule that was offered with the request.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return self._client._send(
            calls.decide_approval(_id_of(approval), approve=True, remark=remark, remember=remember)
        )

    def deny(self, approval: str | ApprovalInfo, remark: str = "") -> ApprovalInfo:
        """Refuse the call; the remark is told to the model.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
        """
        return self._client._send(calls.decide_approval(_id_of(approval), approve=False, remark=remark))

    def edit(self, approval: str | ApprovalInfo, arguments: Mapping[str, object], remark: str = "") -> ApprovalInfo:
        """Let the call run with other arguments.

        Raises:
            ApprovalClosedError: It was decided, expired or cancelled before.
            ToolArgumentsError: The arguments do not fit the tool's schema.
        """
        return self._client._send(
            calls.decide_approval(_id_of(approval), approve=True, remark=remark, arguments=arguments)
        )


class Questions(_Resource):
    """Questions that agents ask in the middle of a turn."""

    def answer(self, session: str | SessionInfo, text: str) -> TurnInfo:
        """Answer the open question of a session, by an option's number or text, or freely where there are none.

        Raises:
            ConflictError: No question is open.
        """
        return self._client._send(calls.answer_question(_id_of(session), text))


class Plugins(_Resource):
    """Plugins of the server; needs the permission ``admin:plugins``."""

    def list(self) -> list[PluginInfo]:
        """Return all plugins, also those that do not run."""
        return self._client._send(calls.list_plugins())

    def get(self, name: str) -> PluginInfo:
        """Return a plugin's state."""
        return self._client._send(calls.get_plugin(name))

    def enable(self, name: str) -> PluginInfo:
        """Switch a plugin on, for good; also lifts a quarantine."""
        return self._client._send(calls.enable_plugin(name))

    def disable(self, name: str) -> PluginInfo:
        """Switch a plugin off, for good; running turns finish on it."""
        return self._client._send(calls.disable_plugin(name))

    def set_log_level(self, name: str, level: str) -> dict[str, Any]:
        """Set what a plugin logs until it is loaded again: ``debug``, ``info``, ``warning``, ``error``, ``default``."""
        return self._client._send(calls.set_log_level(name, level))

    def reload(self, name: str) -> ReceiptInfo:
        """Load a plugin's code again and return the receipt; if the new code fails, the old one stays.

        Raises:
            PluginError: The new code cannot be used.
        """
        return self._client._send(calls.reload_plugin(name))

    def receipts(self, name: str) -> "_list[ReceiptInfo]":
        """Return what the latest reloads did."""
        return self._client._send(calls.plugin_receipts(name))

    def settings(self, name: str) -> dict[str, Any]:
        """Return a plugin's settings and their schema; secrets are masked."""
        return self._client._send(calls.plugin_settings(name))

    def configure(self, name: str, settings: Mapping[str, object]) -> dict[str, Any]:
        """Change settings of a plugin; those not given stay.

        Raises:
            PluginSettingsError: They do not fit the plugin's schema.
        """
        return self._client._send(calls.configure_plugin(name, settings))

    def install(self, source: str) -> PluginInfo:
        """Install a plugin from a path that the server can read."""
        return self._client._send(calls.install_plugin(source))


def _id_of(thing: str | SessionInfo | TurnInfo | ApprovalInfo) -> str:
    return thing if isinstance(thing, str) else thing.id


# Below a method `list`, the name means the method.
_list = list
