"""``/api/v1/ws``: one socket for many sessions, with resume."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import Field, TypeAdapter, ValidationError
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from iskra.http.auth import COOKIE, Authenticator, cookie_value, require_same_origin
from iskra.http.exchange import EXCHANGE, Exchange, decode_object
from iskra.http.inputs import AnswerInput, CancelInput, DecisionInput, Input, Name, Text, TurnInput, invalid
from iskra.http.problems import HTTPError, problem, unexpected
from iskra.http.wire import approval_wire, turn_wire
from iskra.kernel import Kernel
from iskra_sdk.errors import AuthenticationError, BadInputError, IskraError, PermissionDeniedError, QueueFullError
from iskra_sdk.event import EventType
from iskra_sdk.ids import ApprovalId, SessionId, TurnId
from iskra_sdk.interceptor import Point
from iskra_sdk.principal import Principal

logger = logging.getLogger(__name__)

PATH = "/api/v1/ws"
AUTHENTICATE_WITHIN = 10.0
SEND_WITHIN = 5.0
MOST_SOCKETS = 4096
"""Sockets one principal may have open; at most a quarter of the files the process may have open."""
SUBSCRIPTIONS_PER_SOCKET = 256
MESSAGES_PER_SECOND = 200.0
"""Messages of one principal's sockets that are read a second, once it has used up ``MESSAGES_AT_ONCE``."""
MESSAGES_AT_ONCE = 1000.0
MISTAKES = 20
"""Messages that make no sense after which a socket is closed."""

_POLICY, _UNSUPPORTED, _RESTARTING = 1008, 1003, 1012


class _Request(Input):
    id: Annotated[Text, Field(max_length=100)] | int | None = None


class Authenticate(_Request):
    type: Literal["auth"]
    token: Annotated[str, Field(max_length=1000)]


class Subscribe(_Request):
    type: Literal["subscribe"]
    session_id: Name
    after: Annotated[int, Field(ge=0, le=2**62)] = 0


class Unsubscribe(_Request):
    type: Literal["unsubscribe"]
    session_id: Name


class StartTurn(_Request, TurnInput):
    type: Literal["turn"]
    session_id: Name
    idempotency_key: Annotated[Text, Field(max_length=200)] = ""


class Cancel(_Request, CancelInput):
    type: Literal["cancel"]
    turn_id: Name


class Answer(_Request, AnswerInput):
    type: Literal["answer"]
    session_id: Name


class Decide(_Request, DecisionInput):
    type: Literal["decide"]
    approval_id: Name


class Ping(_Request):
    type: Literal["ping"]


Command = Subscribe | Unsubscribe | StartTurn | Cancel | Answer | Decide | Ping
_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])
_PERMISSIONS = {
    "subscribe": "sessions:read",
    "unsubscribe": "sessions:read",
    "turn": "sessions:write",
    "cancel": "sessions:write",
    "answer": "sessions:write",
    "decide": "approvals:decide",
}


class WebSocketRoute(BaseRoute):
    """The route of the socket. Its permission is checked before or, for clients that cannot send headers, after the
    handshake; each command needs its own as well."""

    path = PATH
    permission = "sessions:read"

    def __init__(self, kernel: Kernel, authenticator: Authenticator, cors_origins: frozenset[str]) -> None:
        self._kernel = kernel
        self._authenticator = authenticator
        self._cors_origins = cors_origins
        self._sockets: Counter[str] = Counter()
        self._paces: dict[str, _Pace] = {}
        self.limit = _socket_limit()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_ours = scope["type"] == "websocket" and scope["path"] == self.path
        return (Match.FULL, {}) if is_ours else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope[EXCHANGE]
        principal = await self._identify(exchange)
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        if principal is not None:
            self._admit(principal)
        exchange.is_started = True
        await send({"type": "websocket.accept"})
        if principal is None:
            principal = await self._authenticate_late(exchange)
            if principal is None:
                return
        self._sockets[principal.id] += 1
        pace = self._paces.setdefault(principal.id, _Pace())
        try:
            await _Connection(self._kernel, exchange, principal, pace).run()
        finally:
            self._sockets[principal.id] -= 1
            if not self._sockets[principal.id]:
                del self._sockets[principal.id], self._paces[principal.id]

    async def _identify(self, exchange: Exchange) -> Principal | None:
        """Return who opens the socket, ``None`` if the first message will tell."""
        origin = exchange.origin.decode("latin-1")
        if origin and origin not in self._cors_origins:
            require_same_origin(exchange)
        if exchange.authorization:
            return await self._authenticator.authenticate(exchange)
        if cookie_value(exchange.cookie, COOKIE):
            require_same_origin(exchange)
            return await self._authenticator.authenticate(exchange)
        return None

    def _admit(self, principal: Principal) -> None:
        principal.require(self.permission)
        if self._sockets[principal.id] >= self.limit:
            raise QueueFullError(
                f"You have {self.limit} sockets open already.", mend="Close some; one serves many sessions."
            )

    async def _authenticate_late(self, exchange: Exchange) -> Principal | None:
        """Wait for the message with the token; close the socket if it does not come or is wrong."""
        close = "no token came in time"
        try:
            async with asyncio.timeout(AUTHENTICATE_WITHIN):
                message = await exchange.receive()
            if message["type"] == "websocket.disconnect":
                return None
            given = Authenticate.model_validate(decode_object((message.get("text") or "").encode()))
            principal = self._authenticator.principal_of_token(given.token)
            if principal is None:
                await self._authenticator.fail(exchange.address, exchange.correlation_id)
                raise AuthenticationError("The token is not valid.")
            self._admit(principal)
        except TimeoutError:
            pass
        except (ValidationError, BadInputError):
            close = 'the first message must be {"type": "auth", "token": …}'
        except IskraError as error:
            close = error.message[:100]
        else:
            return principal
        await exchange.send({"type": "websocket.close", "code": _POLICY, "reason": close})
        return None


class _Pace:
    """How fast one principal's sockets are read: a flood slows itself down, and nobody else."""

    def __init__(self) -> None:
        self._left = MESSAGES_AT_ONCE
        self._at = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Return when a message that was read may be obeyed, and the next one read."""
        now = asyncio.get_running_loop().time()
        self._left = min(MESSAGES_AT_ONCE, self._left + (now - self._at) * MESSAGES_PER_SECOND) - 1.0
        self._at = now
        if self._left < 0.0:
            await asyncio.sleep(-self._left / MESSAGES_PER_SECOND)


class _Connection:
    """One authenticated socket."""

    def __init__(self, kernel: Kernel, exchange: Exchange, principal: Principal, pace: _Pace) -> None:
        self._kernel = kernel
        self._exchange = exchange
        self._principal = principal
        self._pace = pace
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._send_slot = kernel.points.slot(Point.WS_SEND)
        self._group: asyncio.TaskGroup | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Serve the socket until either side closes it."""
        principal = self._principal
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._send({"type": "ready", "principal": principal.id})
                await self._read()
                for follower in self._followers.values():
                    follower.cancel()
        except* (TimeoutError, OSError) as errors:
            # A reader that stalls, or left while we wrote.
            self._exchange.abort()
            logger.debug("socket given up", extra={"causes": len(errors.exceptions)})

    async def _read(self) -> None:
        mistakes = 0
        while True:
            message = await self._exchange.receive()
            if message["type"] == "websocket.disconnect":
                self._is_closed = True
                return
            # Only now: a socket that is silent must take nothing from the others, e.g. when all of them resume at once.
            await self._pace.wait()
            text = message.get("text")
            if text is None:
                await self._close(_UNSUPPORTED, "send text")
                return
            request_id: object = None
            try:
                document = decode_object(text.encode(errors="replace"))
                request_id = document.get("id")
                command = _read_command(document)
                self._principal.require(_PERMISSIONS.get(command.type, WebSocketRoute.permission))
                await self._obey(command)
            except IskraError as error:
                mistakes += isinstance(error, BadInputError | PermissionDeniedError)
                await self._tell_error(error, request_id)
                if mistakes >= MISTAKES:
                    await self._close(_POLICY, "too many mistakes")
                    return
            except (OSError, TimeoutError):
                raise
            except Exception as error:
                logger.error("socket command failed", exc_info=error)
                await self._tell_error(unexpected(self._exchange.correlation_id), request_id)

    async def _obey(self, command: Command) -> None:
        kernel, principal = self._kernel, self._principal
        match command:
            case Ping():
                await self._send({"type": "pong", "id": command.id})
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                follower = self._followers.pop(command.session_id, None)
                if follower is not None:
                    follower.cancel()
                await self._send({"type": "unsubscribed", "id": command.id, "session_id": command.session_id})
            case StartTurn():
                turn = await kernel.turns.start(
                    principal,
                    SessionId(command.session_id),
                    command.text,
                    model=command.model,
                    options=command.turn_options,
                    idempotency_key=command.idempotency_key,
                )
                await self._result(command, turn_wire(turn))
            case Cancel():
                await kernel.turns.cancel(
                    principal, TurnId(command.turn_id), reason=command.reason or "cancelled by the user"
                )
                await self._result(command, turn_wire(await kernel.store.turn(principal, TurnId(command.turn_id))))
            case Answer():
                answered = await kernel.turns.answer(principal, SessionId(command.session_id), command.text)
                if answered is None:
                    raise HTTPError(409, "No question is open in this session.", mend="Send the text as a new turn.")
                await self._result(command, turn_wire(answered))
            case Decide():
                request = await kernel.approvals.decide(
                    principal,
                    ApprovalId(command.approval_id),
                    approve=command.decision == "approve",
                    remark=command.remark,
                    arguments=command.arguments,
                    remember=command.remember,
                )
                await self._result(command, approval_wire(request))

    async def _subscribe(self, command: Subscribe) -> None:
        session = await self._kernel.store.session(self._principal, SessionId(command.session_id))
        follower = self._followers.pop(session.id, None)
        if follower is not None:
            follower.cancel()
        if len(self._followers) >= SUBSCRIPTIONS_PER_SOCKET:
            raise QueueFullError(f"A socket may follow {SUBSCRIPTIONS_PER_SOCKET} sessions.", mend="Open another one.")
        if self._group is None:
            raise RuntimeError("the connection does not run")
        await self._send({"type": "subscribed", "id": command.id, "session_id": session.id, "after": command.after})
        self._followers[session.id] = self._group.create_task(self._follow(session.id, command.after))

    async def _follow(self, session_id: SessionId, after: int) -> None:
        batches = cast("Any", self._kernel.logs.follow(self._principal, session_id, after=after))
        try:
            async with aclosing(batches):
                async for batch in batches:
                    for event in batch:
                        await self._send({"type": "event", "session_id": session_id, "event": event.wire})
                    if batch[-1].type == EventType.SERVER_STOPPING:
                        await self._close(_RESTARTING, "the server is stopping")
        except IskraError as error:
            self._followers.pop(session_id, None)
            await self._tell_error(error, None, session_id=session_id)

    async def _result(self, command: Command, document: Mapping[str, object]) -> None:
        await self._send({"type": "result", "id": command.id, "command": command.type, "result": document})

    async def _tell_error(self, error: IskraError, request_id: object, **facts: object) -> None:
        document = problem(error, self._exchange.correlation_id)
        await self._send({"type": "error", "id": request_id, "error": document, **facts})

    async def _send(self, document: Mapping[str, object]) -> None:
        encoded = orjson.dumps(document, default=str)
        chain = self._send_slot.chain
        if chain is None:
            await self._write(encoded)
        else:
            write: Callable[[bytes], Awaitable[None]] = self._write
            await chain(encoded, write)

    async def _write(self, encoded: bytes) -> None:
        async with asyncio.timeout(SEND_WITHIN), self._sending:
            if not self._is_closed:
                await self._exchange.send({"type": "websocket.send", "text": encoded.decode()})

    async def _close(self, code: int, reason: str) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(SEND_WITHIN):
                await self._exchange.send({"type": "websocket.close", "code": code, "reason": reason})


def _socket_limit() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return MOST_SOCKETS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_SOCKETS if files == resource.RLIM_INFINITY else max(16, min(MOST_SOCKETS, files // 4))


def _read_command(document: Mapping[str, object]) -> Command:
    try:
        return _COMMANDS.validate_python(document)
    except ValidationError as exc:
        raise invalid(exc.errors(include_url=False, include_input=False, include_context=False)) from exc
