"""Server-sent events: the only module that knows how they are written.

It writes raw ASGI. ``docs/explanation/decisions.md`` has the measurements behind that.
"""

from collections.abc import Iterable

import orjson

from iskra.http.client_watch import ClientWatch, WatchedClient
from iskra.http.exchange import Exchange
from iskra.http.problems import Header, is_openai_path, openai_error, problem
from iskra_sdk.errors import ShuttingDownError
from iskra_sdk.event import Event, EventType

HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"

_dumps = orjson.dumps


def encode_data(document: object) -> bytes:
    """Return a document as an unnamed event."""
    return b"data: " + _dumps(document) + b"\n\n"


def encode_named(name: str, document: object) -> bytes:
    """Return a document as an event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + _dumps(document, default=str) + b"\n\n"


def encode_events(events: Iterable[Event]) -> bytes:
    """Return events of a session log: ``id`` is the number, ``event`` the type."""
    return b"".join(
        b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), _dumps(event.wire, default=str))
        for event in events
    )


class EventStream(WatchedClient):
    """One answer as a stream of events. The head goes out with the first write or ping."""

    __slots__ = ("headers",)

    def __init__(self, exchange: Exchange, watch: ClientWatch, headers: Iterable[Header] = ()) -> None:
        super().__init__(exchange, watch)
        self.headers = (*HEADERS, *headers)

    def stop(self) -> None:
        """End the stream because the server stops, with an event that says so."""
        exchange = self.exchange
        if exchange.is_started and not exchange.is_finished:
            exchange.is_finished = True
            _send_now(exchange, {"type": "http.response.body", "body": _last_words(exchange)})
        super().stop()

    async def __aenter__(self) -> "EventStream":
        await super().__aenter__()
        return self

    async def write(self, encoded: bytes) -> None:
        """Send encoded events; waits while the client's buffer is full."""
        exchange = self.exchange
        self.is_writing = True
        if not exchange.is_started:
            await exchange.start(200, self.headers)
        await exchange.send({"type": "http.response.body", "body": encoded, "more_body": True})
        self.writes += 1
        self.is_writing = False

    async def finish(self, encoded: bytes = b"") -> None:
        """Send the last events and end the answer."""
        exchange = self.exchange
        self.is_writing = True
        if not exchange.is_started:
            await exchange.start(200, self.headers)
        exchange.is_finished = True
        await exchange.send({"type": "http.response.body", "body": encoded})
        self.is_writing = False

    def ping(self) -> None:
        """Send a comment, without waiting: a client with a full buffer needs none."""
        exchange = self.exchange
        if exchange.is_finished:
            return
        if not exchange.is_started:
            exchange.is_started = True
            headers = exchange.finish_headers(self.headers)
            _send_now(exchange, {"type": "http.response.start", "status": 200, "headers": headers})
        _send_now(exchange, {"type": "http.response.body", "body": PING, "more_body": True})


def _send_now(exchange: Exchange, message: dict[str, object]) -> None:
    """Send if that takes no waiting; drop the message otherwise."""
    sending = exchange.send(message).__await__()
    try:
        next(sending)
    except StopIteration:
        return
    close = getattr(sending, "close", None)
    if close is not None:
        close()


def _last_words(exchange: Exchange) -> bytes:
    error = ShuttingDownError("The server is stopping.", mend="Send the request again in a moment.", retry_after=5)
    if is_openai_path(exchange.path):
        return encode_data(openai_error(error, exchange.correlation_id))
    return encode_named(EventType.SERVER_STOPPING, problem(error, exchange.correlation_id))
