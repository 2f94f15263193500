"""Logging in and out of the console: a browser's way to a cookie."""

from iskra.http.auth import COOKIE, LOGIN_LIFETIME, Authenticator, cookie_value, require_same_origin
from iskra.http.exchange import JSON, Exchange
from iskra.http.inputs import LoginInput, read
from iskra.http.problems import Header
from iskra_sdk.errors import AuthenticationError

_LOCATION: Header = (b"location", b"/")
_NO_STORE: Header = (b"cache-control", b"no-store")


class Login:
    """``/login`` and ``/logout``."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def __call__(self, exchange: Exchange) -> None:
        """``GET /login?code=…`` uses up a one-time code; ``POST /login`` takes a token. Both set the cookie."""
        if exchange.method == "GET":
            code = exchange.query.get("code", "")
            secret = await self._authenticator.log_in(code, exchange.address, exchange.correlation_id)
            await exchange.respond(303, b"", [_LOCATION, _NO_STORE, _cookie(exchange, secret)])
            return
        if exchange.origin:
            require_same_origin(exchange)
        given = read(LoginInput, await exchange.read_json())
        principal = self._authenticator.principal_of_token(given.token)
        if principal is None:
            await self._authenticator.fail(exchange.address, exchange.correlation_id)
            raise AuthenticationError(
                "The token is not valid.", mend="It is in the file `token` of the data directory."
            )
        code = self._authenticator.mint_code(principal)
        secret = await self._authenticator.log_in(code, exchange.address, exchange.correlation_id)
        await exchange.respond(200, b'{"status":"ok"}', [JSON, _NO_STORE, _cookie(exchange, secret)])

    async def log_out(self, exchange: Exchange) -> None:
        """``POST /logout``: forget the login and its cookie."""
        secret = cookie_value(exchange.cookie, COOKIE)
        if secret:
            require_same_origin(exchange)
            principal = await self._authenticator.principal_of_cookie(secret)
            if principal is not None:
                await self._authenticator.log_out(secret, principal, exchange.correlation_id)
        gone = (b"set-cookie", f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0".encode())
        await exchange.respond(200, b'{"status":"ok"}', [JSON, gone])


def _cookie(exchange: Exchange, secret: str) -> Header:
    secure = "; Secure" if exchange.scope.get("scheme") == "https" else ""
    seconds = int(LOGIN_LIFETIME.total_seconds())
    return b"set-cookie", f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}".encode()
