"""Runs the server: binds the port, starts the kernel, serves until a signal, stops in order."""

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from iskra.garbage import GarbageKeeper
from iskra.http import HTTPLayer, create_app
from iskra.http.auth import OWNER_ID, owner_token, token_path
from iskra.kernel import Kernel
from iskra.logging_setup import Redaction, set_up_logging
from iskra.settings import Settings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConfigurationError, IskraError

logger = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

_SECRET_VARIABLES = ("ISKRA_TOKEN", "ISKRA_MODEL_KEY", "ISKRA_DATABASE_URL")
"""Taken out of the environment once read, so that no program we start inherits them."""

_HEAD_LIMIT = 65_536  # bytes of a request's head
_HEADERS_LIMIT = 128
_HEAD_SECONDS = 20.0  # a head that is not complete by then is given up
_SOCKET_MESSAGE_LIMIT = 1_048_576
_SOCKET_PING_EVERY = 20.0
_SOCKET_PONG_WITHIN = 12.0
_LAST_WORDS = 3.0  # seconds that streams get to say how they ended, after the turns' grace
_SWEEP_EVERY = 5.0


class PortInUseError(ConfigurationError):
    """Another program listens on the address."""

    code = "port_in_use"


class _BoundedHTTP(HttpToolsProtocol):
    """Limits what a client may send before its request has a head, which the parser does not."""

    is_head_open = False
    head_bytes = 0
    chunk = 0
    head_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.is_head_open = True
        self.head_since = self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_head_open = True
        self.head_bytes = 0
        self.head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self.is_head_open = False
        if len(self.headers) > _HEADERS_LIMIT or (self.chunk > _HEAD_LIMIT and self._head_size() > _HEAD_LIMIT):
            raise ValueError("the head of the request is too large")  # the parser turns it into a 400
        self.scope["iskra.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def data_received(self, data: bytes) -> None:
        self.chunk = len(data)
        super().data_received(data)
        if self.is_head_open:
            self.head_bytes += len(data)
            if self.head_bytes > _HEAD_LIMIT and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")


def _web_socket(**given: Any) -> asyncio.Protocol:
    """Make the protocol of a connection that becomes a WebSocket; many servers never see one."""
    from iskra.websocket_protocol import AbortableWebSocket

    return AbortableWebSocket(**given)


class Server(uvicorn.Server):
    """One running server.

    Attributes:
        url: Where it listens, e.g. ``http://127.0.0.1:8700``.
        token: The owner's token.
    """

    def __init__(self, settings: Settings, sock: socket.socket, token: str) -> None:
        self.settings = settings
        self.token = token
        self.url = _url(settings.host, sock.getsockname()[1])
        self.layer: HTTPLayer | None = None
        self._socket = sock
        self._sweeper: asyncio.Task[None] | None = None
        self.has_started = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                self._app,
                http=_BoundedHTTP,
                ws=_web_socket,  # type: ignore[arg-type]  # called as the class would be
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=_SOCKET_MESSAGE_LIMIT,
                ws_per_message_deflate=False,
                ws_ping_interval=_SOCKET_PING_EVERY,
                ws_ping_timeout=_SOCKET_PONG_WITHIN,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(settings.shutdown_grace + _LAST_WORDS) + 1,
            )
        )

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if self.layer is None:
            raise RuntimeError("the server has no application yet")
        await self.layer(scope, receive, send)

    def stop(self) -> None:
        """Begin to stop; :meth:`serve_kernel` returns when everything has ended."""
        if self.layer is not None:
            self.layer.stopping.set()
        self.should_exit = True

    async def serve_kernel(self, kernel: Kernel) -> None:
        """Serve a kernel until :meth:`stop`."""
        self.layer = create_app(kernel, token=self.token, stop=self.stop)
        self.config.app = self.layer
        self.layer.watch.start()
        self._sweeper = asyncio.create_task(self._sweep())
        try:
            await self.serve(sockets=[self._socket])
        finally:
            self._sweeper.cancel()
            await asyncio.wait((self._sweeper,))
            await self.layer.watch.aclose()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :func:`run`, which also has to take them while the kernel starts."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let turns end, tell the streams that are left, then close what is still open."""
        layer = self.layer
        if layer is None:
            return
        layer.stopping.set()
        ending = asyncio.create_task(self._end_streams(layer))
        try:
            await super().shutdown(sockets)
        finally:
            await ending

    async def _end_streams(self, layer: HTTPLayer) -> None:
        loop = asyncio.get_running_loop()
        grace = self.settings.shutdown_grace
        deadline = loop.time() + grace
        kernel = layer.kernel
        await kernel.turns.close(grace)
        kernel.logs.stop()
        # What is left after that are answers of the gateway: they get the rest of the time, then a last word.
        await layer.watch.wait_idle(max(0.0, deadline - loop.time()))
        layer.watch.tell_stopping()

    async def _sweep(self) -> None:
        """Close connections whose request never gets a complete head."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            now = loop.time()
            for connection in list(self.server_state.connections):
                if (
                    isinstance(connection, _BoundedHTTP)
                    and connection.is_head_open
                    and now - connection.head_since > _HEAD_SECONDS
                ):
                    connection.transport.abort()


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def bind(settings: Settings) -> socket.socket:
    """Take the port, before anything else is started.

    Raises:
        PortInUseError: Another program has it.
        ConfigurationError: The address is not one of this machine, or may not be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        if exc.errno in (98, 48, 10048):  # EADDRINUSE on Linux, macOS, Windows
            raise PortInUseError(
                f"Port {settings.port} on {settings.host} is in use by another program.",
                mend="Stop that program, or choose another port with `--port` (0 takes a free one).",
            ) from exc
        raise ConfigurationError(
            f"The server cannot listen on {settings.host}:{settings.port}: {exc.strerror or exc}.",
            mend="Choose another `--host` or `--port`.",
        ) from exc
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def running_server(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Server]:
    """Run a server inside the current event loop, e.g. in a test on port 0.

    Example::

        async with running_server(settings) as server:
            print(server.url, server.token)
    """
    token = owner_token(settings)
    sock = bind(settings)
    try:
        async with Kernel.open(settings, clock) as kernel:
            server = Server(settings, sock, token)
            serving = asyncio.create_task(server.serve_kernel(kernel))
            started = asyncio.create_task(server.has_started.wait())
            await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
            started.cancel()
            try:
                yield server
            finally:
                server.stop()
                await serving
    finally:
        sock.close()


def run(settings: Settings) -> int:
    """Run the server until a signal; return the exit status."""
    redact = set_up_logging(settings.log_level, settings.log_format, secrets=_secrets(settings))
    for variable in _SECRET_VARIABLES:
        os.environ.pop(variable, None)
    try:
        token = owner_token(settings)
        redact.add(token)
        sock = bind(settings)
    except IskraError as error:
        return _refuse(error)
    _allow_many_files()
    with contextlib.closing(sock), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, sock, token, redact))


def _allow_many_files() -> None:
    """Raise the limit of open files as far as we may: every client needs one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, sock: socket.socket, token: str, redact: Redaction) -> int:
    server = Server(settings, sock, token)
    main = asyncio.current_task()
    is_serving = False
    is_stopping = False

    def on_signal() -> None:
        # Every signal after the first changes nothing: the end has its deadlines.
        nonlocal is_stopping
        if is_stopping:
            return
        is_stopping = True
        logger.info("stopping")
        if is_serving:
            server.stop()
        elif main is not None:
            main.cancel()

    with _signals(on_signal):
        try:
            async with Kernel.open(settings) as kernel:
                is_serving = True
                if is_stopping:
                    return EXIT_OK
                keeper = GarbageKeeper(kernel.plugins, kernel.clock)
                beside = (
                    asyncio.create_task(_announce(server, redact)),
                    asyncio.create_task(keeper.run(), name="garbage"),
                )
                try:
                    await server.serve_kernel(kernel)
                finally:
                    for task in beside:
                        task.cancel()
                    await asyncio.wait(beside)
        except asyncio.CancelledError:
            if not is_stopping:
                raise
            if main is not None:
                main.uncancel()
            return EXIT_OK
        except IskraError as error:
            return _refuse(error)
    return EXIT_OK


@contextlib.contextmanager
def _signals(handler: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    taken = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, handler)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _refuse(error: IskraError) -> int:
    sys.stderr.write(f"iskra: {error}\n")
    return EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_FAILED


def _secrets(settings: Settings) -> list[str]:
    values = (settings.token, settings.model_key, settings.database_url)
    return [value.get_secret_value() for value in values if value is not None]


def _program() -> str:
    """Return how a person in the present folder calls ``iskra``."""
    if shutil.which("iskra") is not None:
        return "iskra"
    here = Path(sys.executable).with_name("iskra")
    try:
        return str(here.relative_to(Path.cwd()))
    except ValueError:
        return str(here)


def _options(settings: Settings, url: str) -> str:
    """Return what the program must be told to find this server and its token."""
    options = "" if url.endswith(":8700") else f" --url {url}"
    is_default = settings.data_dir == Settings().data_dir
    return options if is_default else f"{options} --data-dir {shlex.quote(str(settings.data_dir))}"


async def _announce(server: Server, redact: Redaction) -> None:
    """Tell the person who started the server how to use it, once it listens."""
    await server.has_started.wait()
    settings, url, layer = server.settings, server.url, server.layer
    logger.info("listening", extra={"url": url})
    if settings.log_level in ("warning", "error") or layer is None:
        return
    owner = layer.authenticator.principal_of_token(server.token)
    if owner is None or owner.id != OWNER_ID:
        return
    code = layer.authenticator.mint_code(owner)
    redact.add(code)
    is_file = settings.token is None
    shown = f"$(cat {token_path(settings)})" if is_file else "$ISKRA_TOKEN"
    origin = f"  (kept in {token_path(settings)})" if is_file else "  (from ISKRA_TOKEN)"
    lines = [
        "",
        f"  Iskra listens on {url}",
        f"  Console   {url}/login?code={code}  (works once, for ten minutes)",
        f"  Token     {server.token if is_file else 'as you set it'}{origin}",
        "",
        "  Try it:",
        f'    curl -s {url}/v1/models -H "Authorization: Bearer {shown}"',
        f'    curl -sN {url}/v1/chat/completions -H "Authorization: Bearer {shown}" -H "Content-Type: application/json"'
        + """ -d '{"model": "iskra", "stream": true, "messages": [{"role": "user", "content": "What can you do?"}]}'""",
        f"    {_program()} chat{_options(settings, url)}",
        "",
    ]
    with contextlib.suppress(OSError, ValueError):  # nobody reads it, e.g. in a pipe that was closed
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
