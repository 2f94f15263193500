"""The WebSocket half of the server, imported at the first handshake."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_BACKLOG_LIMIT = 4 * 1_048_576  # bytes that wait to be sent while the peer keeps asking for more


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """Lets the application cut a socket whose reader stalls, and cuts one that asks for answers and never reads."""

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _BACKLOG_LIMIT:
            self.transport.abort()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["iskra.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
