"""Watches the clients that wait for an answer: notices who left, who stopped reading, and who needs a ping."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any

from iskra.http.exchange import Exchange
from iskra_sdk.errors import ShuttingDownError

TICK = 0.5
"""Seconds between two looks at all clients."""

PING_AFTER = 14.0
"""Seconds of silence after which a stream gets a ping."""

STALLED_AFTER = 5.0
"""Seconds one write may wait for a reader that does not read."""

_PING_TICKS = int(PING_AFTER / TICK)
_STALLED_TICKS = int(STALLED_AFTER / TICK)


class WatchedClient:
    """A client that waits for one answer; an async context manager around the work for it.

    When the client leaves, or stops reading, the task inside the context is cancelled and the context swallows that
    cancellation; :attr:`is_gone` tells. A cancellation from elsewhere passes through.
    """

    __slots__ = (
        "_cancelling",
        "_seen_writes",
        "_task",
        "_ticks",
        "_watch",
        "_watcher",
        "exchange",
        "is_gone",
        "is_stopped",
        "is_writing",
        "writes",
    )

    def __init__(self, exchange: Exchange, watch: "ClientWatch") -> None:
        self.exchange = exchange
        self.is_gone = False
        self.is_stopped = False
        self.is_writing = False
        self.writes = 0
        self._seen_writes = -1
        self._ticks = 0
        self._watch = watch
        self._watcher: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0

    async def __aenter__(self) -> "WatchedClient":
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - narrows the type
        self._task = task
        self._cancelling = task.cancelling()
        self._watch.clients.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watch.discard(self)
        watcher, self._watcher = self._watcher, None  # its last frame knows us: a circle of garbage otherwise
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait((watcher,))
        if not self.is_gone or self._task is None:
            return False
        is_ours = self._task.uncancel() <= self._cancelling
        if not is_ours or kind is None or not issubclass(kind, asyncio.CancelledError):
            return False
        if self.is_stopped and not self.exchange.is_started:
            raise ShuttingDownError(
                "The server is stopping.", mend="Send the request again in a moment.", retry_after=5
            )
        return True

    def tick(self) -> None:
        """Look at the client; called every :data:`TICK` seconds."""
        if self._watcher is None and not self.is_gone:
            # Only what lives for a tick gets a task of its own; most answers are done long before.
            self._watcher = asyncio.create_task(self._wait_for_disconnect())
        if self.writes != self._seen_writes:
            self._seen_writes = self.writes
            self._ticks = 0
            return
        self._ticks += 1
        if self.is_writing:
            if self._ticks >= _STALLED_TICKS:
                self.cut()
        elif self._ticks >= _PING_TICKS:
            self._ticks = 0
            self.ping()

    def ping(self) -> None:
        """Show the client that the server is alive; a stream overrides this."""

    def cut(self) -> None:
        """Give up on a client that does not read: close its connection at once and stop the work for it."""
        self.exchange.abort()
        self.leave()

    def stop(self) -> None:
        """End the work because the server stops; a client that has no answer yet is told so."""
        self.is_stopped = True
        self.leave()

    def leave(self) -> None:
        """Stop the work for the client."""
        if not self.is_gone and self._task is not None:
            self.is_gone = True
            self._task.cancel("the client left")

    async def _wait_for_disconnect(self) -> None:
        receive = self.exchange.receive
        while (await receive())["type"] != "http.disconnect":
            pass
        # A finished answer also reads as a disconnect.
        if not self.exchange.is_finished:
            self.leave()


class ClientWatch:
    """Looks at all waiting clients on one clock, so that each costs no timer of its own."""

    def __init__(self) -> None:
        self.clients: set[WatchedClient] = set()
        self.is_stopping = False
        self._is_idle: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; see :meth:`aclose`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="client-watch")

    async def aclose(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def discard(self, client: WatchedClient) -> None:
        """Forget a client that has its answer."""
        self.clients.discard(client)
        if not self.clients and self._is_idle is not None:
            self._is_idle.set()

    async def wait_idle(self, seconds: float) -> None:
        """Wait until no client waits any more, at most so long."""
        if not self.clients:
            return
        self._is_idle = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()

    def tell_stopping(self) -> None:
        """End what is still open because the server stops."""
        self.is_stopping = True
        for client in tuple(self.clients):
            client.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for client in tuple(self.clients):
                client.tick()
