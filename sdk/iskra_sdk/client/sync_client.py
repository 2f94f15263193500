"""The client for ordinary code."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from iskra_sdk.client import calls
from iskra_sdk.client.models import (
    AgentInfo,
    HealthInfo,
    ModelInfo,
    ProviderInfo,
    SessionInfo,
    ToolInfo,
    TurnInfo,
    id_of,
)
from iskra_sdk.client.reconnect import ReconnectPolicy
from iskra_sdk.client.resources import ApprovalsAPI, Plugins, Questions, Sessions, TurnsAPI
from iskra_sdk.client.transport import Transport
from iskra_sdk.client.turn_reader import TurnReader
from iskra_sdk.client.turn_stream import OnApproval, OnQuestion, TurnStream
from iskra_sdk.event import Event
from iskra_sdk.ids import new_id


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
        self._transport = Transport(
            url,
            token,
            token_file=token_file,
            timeout=timeout,
            retries=retries,
            reconnect=reconnect,
            on_reconnect=on_reconnect,
            transport=transport,
        )
        self.sessions = Sessions(self._transport)
        self.turns = TurnsAPI(self._transport)
        self.approvals = ApprovalsAPI(self._transport)
        self.questions = Questions(self._transport)
        self.plugins = Plugins(self._transport)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._transport.connection.url

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

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
    ) -> TurnStream:
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
            self._transport,
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
    ) -> TurnStream:
        """Return a stream of a turn that was started before, from its beginning or after the event ``after``."""
        return TurnStream(
            self._transport, attach_to=turn, after=after, on_approval=on_approval, on_question=on_question
        )

    def events(self, session: str | SessionInfo, *, after: int = 0) -> Iterator[Event]:
        """Yield the events of a session above the number ``after``, past ones first, without end.

        Raises:
            ServerUnreachableError: The connection was lost and did not come back in time.
        """
        return self._transport.follow(id_of(session), TurnReader(cursor=after, begins_inside=after > 0))

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Call a route that has no method here, e.g. one of a plugin, and return its decoded answer.

        Args:
            method: ``GET``, ``POST``, …; only ``GET`` is repeated when the connection fails.
            path: The route's path, beginning with a slash.
            body: JSON-able object to send.
        """
        return self._transport.send(calls.any_route(method, path, body))

    def models(self) -> list[ModelInfo]:
        """Return everything that answers."""
        return self._transport.send(calls.list_models())

    def agents(self) -> list[AgentInfo]:
        """Return the agents."""
        return self._transport.send(calls.list_agents())

    def tools(self) -> list[ToolInfo]:
        """Return the tools."""
        return self._transport.send(calls.list_tools())

    def health(self) -> HealthInfo:
        """Return whether the server lives."""
        return self._transport.send(calls.health())

    def ready(self) -> HealthInfo:
        """Return whether the server and what it depends on are ready."""
        return self._transport.send(calls.ready())

    def providers(self) -> list[ProviderInfo]:
        """Return the sources of model answers and whether they work now; needs the permission ``admin:server``."""
        return self._transport.send(calls.list_providers())

    def breakers(self) -> dict[str, Any]:
        """Return each target's circuit breaker: ``state``, ``failures`` in a row, and ``opened_after`` how many."""
        return self._transport.send(calls.breakers())

    def login_link(self) -> dict[str, Any]:
        """Return a one-time login address for the console."""
        return self._transport.send(calls.login_link())
