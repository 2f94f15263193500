"""Where the server is and who we are: address, token, headers."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from iskra_sdk.client.calls import Call
from iskra_sdk.client.reconnect import ReconnectPolicy
from iskra_sdk.errors import AuthenticationError, ConfigurationError, UnexpectedAnswerError

DEFAULT_URL = "http://127.0.0.1:8700"
_DEFAULT_DATA_DIR = "~/.iskra"


class Connection:
    """What both clients need to know to send a request.

    Args:
        url: Address of the server; by default ``ISKRA_URL``, or the address that ``iskra serve`` binds by default.
        token: The token; by default ``ISKRA_TOKEN``, or for a server on this machine the content of ``token_file``.
        token_file: By default ``<ISKRA_DATA_DIR>/token``, or ``~/.iskra/token``.
        timeout: Seconds a request may wait for each of connection, sending and answer.
        environment: Where variables are looked up; tests pass their own.

    Raises:
        ConfigurationError: The address is none.
        AuthenticationError: The token cannot be read, or cannot be one.
    """

    def __init__(
        self,
        url: str | None,
        token: str | None,
        token_file: str | Path | None,
        timeout: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self.url = _checked_url(url or environment.get("ISKRA_URL") or DEFAULT_URL)
        self.is_local = is_local_url(self.url)
        self.token = _checked_token(token or environment.get("ISKRA_TOKEN") or self._from_file(token_file, environment))
        self.timeout = httpx.Timeout(timeout, connect=min(timeout, 5.0))

    def _from_file(self, token_file: str | Path | None, environment: Mapping[str, str]) -> str | None:
        if token_file is None:
            # The token of this machine's server is nobody else's business.
            if not self.is_local:
                return None
            path = Path(environment.get("ISKRA_DATA_DIR") or _DEFAULT_DATA_DIR).expanduser() / "token"
            if not path.is_file():
                return None
        else:
            path = Path(token_file).expanduser()
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise AuthenticationError(
                f"The token file {path} cannot be read: {exc}.",
                mend="Run as the user who started the server, or pass the token in ISKRA_TOKEN.",
            ) from exc

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        headers = {"Accept": "application/json", "User-Agent": "iskra-client"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """Return the arguments of ``httpx.Client.request`` for a call."""
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.query) or None,
            "json": call.body,
            "headers": dict(call.headers),
        }


def stream_request(
    client: httpx.Client | httpx.AsyncClient, session_id: str, cursor: int, policy: ReconnectPolicy
) -> httpx.Request:
    """Return the request for a session's events after ``cursor``, with the deadlines of an attempt to connect."""
    return client.build_request(
        "GET",
        f"/api/v1/sessions/{session_id}/events",
        params={"after": cursor},
        headers={"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(cursor)},
        timeout=httpx.Timeout(policy.attempt_timeout),
    )


def expect_silence(request: httpx.Request, policy: ReconnectPolicy) -> None:
    """Change the deadline of a request whose answer has begun: from here on pings keep it alive."""
    request.extensions["timeout"]["read"] = policy.silence_timeout


def is_local_url(url: str) -> bool:
    """Return whether an address is on this machine."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigurationError(f"{url!r} is no address: {exc}.", mend=f"Write it like {DEFAULT_URL}.") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"{url!r} is no address of a server.", mend=f"Write it like {DEFAULT_URL}.")
    return url.rstrip("/")


def _checked_token(token: str | None) -> str | None:
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise AuthenticationError(
            "The token holds characters that no token has, such as a space or a line break.",
            mend="Copy it again; `iskra token show` prints it.",
        )
    return token


def check_is_stream(response: httpx.Response) -> None:
    """Raise unless a successful answer is a stream of events.

    Raises:
        UnexpectedAnswerError: It is something else.
    """
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        raise UnexpectedAnswerError(
            f"{response.request.url} answered with {kind or 'no content type'} instead of an event stream.",
            mend="Check that the address is that of an Iskra server and that no proxy answers in its place.",
        )
