"""Sends the asynchronous client's requests and follows event streams, through whatever the network does."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import httpx

from iskra_sdk.client.calls import Call
from iskra_sdk.client.connection import Connection, check_is_stream, expect_silence, stream_request
from iskra_sdk.client.problem import error_from_answer
from iskra_sdk.client.reconnect import Backoff, ReconnectPolicy, is_temporary, pause_before_retry, unreachable
from iskra_sdk.client.sse import SSEDecoder
from iskra_sdk.client.turn_reader import TurnReader, event_from_wire
from iskra_sdk.errors import IskraError
from iskra_sdk.event import Event

T = TypeVar("T")


class AsyncTransport:
    """The connections of one client; its arguments are those of :class:`~iskra_sdk.client.AsyncIskraClient`."""

    def __init__(
        self,
        url: str | None,
        token: str | None,
        *,
        token_file: str | Path | None,
        timeout: float,
        retries: int,
        reconnect: ReconnectPolicy | None,
        on_reconnect: Callable[[float, Exception | None], None] | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.connection = Connection(url, token, token_file, timeout)
        self._retries = retries
        self._policy = reconnect or ReconnectPolicy()
        self._on_reconnect = on_reconnect
        self._http = httpx.AsyncClient(
            base_url=self.connection.url,
            headers=self.connection.headers,
            timeout=self.connection.timeout,
            transport=transport,
            # A proxy of the environment cannot reach a server on this machine.
            trust_env=not self.connection.is_local,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Make a call, again where that is safe and its answer was lost.

        Raises:
            IskraError: What the server answered, or why it could not be reached.
        """
        attempt = 0
        while True:
            error: IskraError
            try:
                response = await self._http.request(**self.connection.request(call))
                if response.is_success or response.status_code in call.accepts:
                    return call.parse(response.content)
                error = error_from_answer(response.status_code, response.headers, response.content)
                may_retry = call.is_repeatable and is_temporary(error)
            except httpx.TransportError as exc:
                error = unreachable(self.connection.url, exc)
                may_retry = call.is_repeatable and is_temporary(exc)
            pause = pause_before_retry(attempt, error) if may_retry and attempt < self._retries else None
            if pause is None:
                raise error
            await asyncio.sleep(pause)
            attempt += 1

    async def follow(self, session_id: str, reader: TurnReader) -> AsyncGenerator[Event, None]:
        """Yield what is new, over as many connections as it takes, until the reader is finished."""
        backoff = Backoff(self._policy, self.connection.url)
        while True:
            cause: Exception | None = None
            request = stream_request(self._http, session_id, reader.cursor, self._policy)
            try:
                async with aclosing(await self._http.send(request, stream=True)) as response:
                    if not response.is_success:
                        raise error_from_answer(response.status_code, response.headers, await response.aread())
                    check_is_stream(response)
                    backoff.connected()
                    expect_silence(request, self._policy)
                    decoder = SSEDecoder()
                    async for piece in response.aiter_bytes():
                        for sent in decoder.feed(piece):
                            for event in reader.read(event_from_wire(sent.data)):
                                backoff.progressed()
                                yield event
                        if reader.is_finished:
                            return
            except httpx.TransportError as exc:
                if not is_temporary(exc):
                    raise unreachable(self.connection.url, exc) from exc
                cause = exc
            except IskraError as exc:
                if not is_temporary(exc):
                    raise
                cause = exc
            delay = backoff.delay(cause)
            if self._on_reconnect is not None:
                self._on_reconnect(delay, cause)
            await asyncio.sleep(delay)
