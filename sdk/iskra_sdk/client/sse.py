"""Decodes server-sent events as they arrive, in pieces of any size."""

from collections.abc import Iterator
from dataclasses import dataclass

from iskra_sdk.errors import UnexpectedAnswerError

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""An event larger than this is taken for an attack or a fault, not for an event."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event of a stream.

    Attributes:
        data: The joined ``data`` lines.
        type: The ``event`` field, ``message`` where there was none.
        id: The last ``id`` field seen in the stream so far.
    """

    data: str
    type: str = "message"
    id: str = ""


class SSEDecoder:
    """Follows the event stream rules of the HTML standard; an event cut off by the end of the stream is dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._type = ""
        self._id = ""
        self._skip_newline = False

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Take the next bytes and yield the events they complete.

        Raises:
            UnexpectedAnswerError: An event is larger than :data:`MAX_EVENT_BYTES`.
        """
        self._buffer += piece
        for line in self._lines():
            event = self._take(line)
            if event is not None:
                yield event
        if len(self._buffer) + self._size > MAX_EVENT_BYTES:
            raise UnexpectedAnswerError(f"The server sent an event of more than {MAX_EVENT_BYTES} bytes.")

    def _lines(self) -> Iterator[str]:
        """Cut whole lines off the buffer; they end with LF, CR LF or CR."""
        buffer = self._buffer
        start = 0
        if self._skip_newline and buffer:
            start = 1 if buffer[0] == 0x0A else 0
            self._skip_newline = False
        while True:
            newline = buffer.find(b"\n", start)
            carriage = buffer.find(b"\r", start, newline if newline >= 0 else len(buffer))
            end = carriage if carriage >= 0 else newline
            if end < 0:
                break
            line = buffer[start:end].decode(errors="replace")
            start = end + 1
            if carriage >= 0:
                if start == len(buffer):
                    self._skip_newline = True
                elif buffer[start] == 0x0A:
                    start += 1
            yield line
        del buffer[:start]

    def _take(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, event_type = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return ServerSentEvent("\n".join(data), event_type or "message", self._id)
