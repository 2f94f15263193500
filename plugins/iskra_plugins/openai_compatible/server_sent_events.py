"""Splits a byte stream into server-sent events."""

from collections.abc import Sequence


class LineTooLongError(ValueError):
    """A line, or the data of one event, is over the limit."""


class EventSplitter:
    """Collects the ``data`` of events from bytes as they arrive, cut anywhere.

    Follows the WHATWG's event stream format, without lone carriage returns as line ends and without event names:
    OpenAI's protocol uses neither.

    Args:
        limit: Most bytes a line, or the data of one event, may have.
    """

    __slots__ = ("_data", "_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []  # of a line that has not ended
        self._size = 0
        self._data: bytes | None = None  # of an event that has not ended

    def feed(self, received: bytes) -> Sequence[bytes]:
        """Take in bytes; return the data of the events that ended with them.

        Raises:
            LineTooLongError: The limit is passed.
        """
        if b"\n" not in received:
            # A long line is joined once, not with every piece.
            self._size += len(received)
            if self._size > self._limit:
                raise LineTooLongError
            self._pieces.append(received)
            return ()
        if self._pieces:
            self._pieces.append(received)
            received = b"".join(self._pieces)
            self._pieces.clear()
        lines = received.split(b"\n")
        rest = lines.pop()
        self._size = len(rest)
        if rest:
            self._pieces.append(rest)
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line[5:].strip())
            elif self._data is not None and not line.rstrip(b"\r"):
                events.append(self._data)
                self._data = None
        if self._size > self._limit:
            raise LineTooLongError
        return events

    def close(self) -> Sequence[bytes]:
        """Return the data of an event whose blank line never came; some servers leave the last one out."""
        if self._pieces:
            return self.feed(b"\n\n")
        data, self._data = self._data, None
        return () if data is None else (data,)

    def _add(self, data: bytes) -> None:
        self._data = data if self._data is None else b"\n".join((self._data, data))
        if len(self._data) > self._limit:
            raise LineTooLongError
