"""Who is asking: bearer tokens, the console's cookie, one-time login codes, and limits on failures."""

import hashlib
import hmac
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from iskra.http.exchange import Exchange
from iskra.settings import Settings, UserSettings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import (
    AuthenticationError,
    BusyError,
    ConfigurationError,
    DataDirectoryError,
    PermissionDeniedError,
    StoreError,
)
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import AppendAudit, AuditEntry, Credential, DeleteCredentials, PutCredential, SessionStore

logger = logging.getLogger(__name__)

OWNER_ID = "owner"
COOKIE = "iskra_session"
SHORTEST_TOKEN = 16
CODE_SECONDS = 600.0
LOGIN_LIFETIME = timedelta(days=30)
FAILURES_PER_MINUTE = 20
"""Failed logins one address may make; after that it is told to wait."""

_KNOWN_TOKENS = frozenset(
    {"changeme", "secret", "token", "password", "iskra", "test", "admin", "default", "your-token-here", "replace-me"}
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED_ADDRESSES = 4096
_REMEMBERED_COOKIES = 1024
_COOKIE_SECONDS = 2.0  # how long a looked-up cookie is believed; a revoked one works at most this much longer
_OPEN_CODES = 64


class TooManyAttemptsError(BusyError):
    """An address or a user asks too often."""

    code = "too_many_requests"
    http_status = 429


def digest_of(secret: str | bytes) -> str:
    """Return the SHA-256 (hex) by which a secret is known."""
    return hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode(errors="replace")).hexdigest()


def owner_token(settings: Settings) -> str:
    """Return the owner's token: the setting, or the one in ``<data_dir>/token``, which is made at the first start.

    Raises:
        ConfigurationError: The token is too short or well known.
        DataDirectoryError: The file cannot be read or written.
    """
    if settings.token is not None:
        return _checked(settings.token.get_secret_value(), "the setting `token`")
    path = token_path(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            token = path.read_text(encoding="utf-8").strip()
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            return _checked(token, str(path))
        token = f"isk-{secrets.token_urlsafe(32)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is no text"
        raise DataDirectoryError(
            f"The token file {path} cannot be used: {reason}.",
            mend="Choose a data directory you may write to with `--data-dir`, or set ISKRA_TOKEN.",
        ) from exc
    return token


def token_path(settings: Settings) -> Path:
    """Return where the generated token is kept."""
    return settings.data_dir / "token"


def _checked(token: str, source: str) -> str:
    if len(token) < SHORTEST_TOKEN or token.lower().strip("!.-_ 0123456789") in _KNOWN_TOKENS or len(set(token)) < 6:
        raise ConfigurationError(
            f"The owner's token in {source} is too easy to guess.",
            mend=f"Use at least {SHORTEST_TOKEN} random characters, or remove it to have one generated.",
        )
    return token


@dataclass(slots=True)
class _Failures:
    count: int
    since: float


class FailureLimit:
    """Counts failures per address in windows of a minute, on a monotonic clock."""

    def __init__(self, clock: Clock, *, per_minute: int = FAILURES_PER_MINUTE) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def is_over(self, address: str) -> bool:
        """Whether the address has used up its failures."""
        failures = self._failures.get(address)
        return (
            failures is not None
            and failures.count >= self._per_minute
            and self._clock.monotonic() - failures.since < 60.0
        )

    def record(self, address: str) -> None:
        """Count a failure."""
        now = self._clock.monotonic()
        failures = self._failures.pop(address, None)
        if failures is None or now - failures.since >= 60.0:
            failures = _Failures(0, now)
        failures.count += 1
        self._failures[address] = failures
        while len(self._failures) > _REMEMBERED_ADDRESSES:
            self._failures.popitem(last=False)


class RequestLimit:
    """A token bucket per principal: so many requests a minute, in any rhythm."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, principal_id: str) -> None:
        """Count a request.

        Raises:
            TooManyAttemptsError: The principal has none left now.
        """
        now = self._clock.monotonic()
        left, at = self._buckets.get(principal_id, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60.0)
        if left < 1.0:
            raise TooManyAttemptsError(
                "You have sent too many requests.",
                mend="Wait a moment.",
                retry_after=(1.0 - left) * 60.0 / self._per_minute,
            )
        self._buckets[principal_id] = (left - 1.0, now)


class Authenticator:
    """Turns credentials into principals. There is one parser for them, here.

    A known token always works. Failures are limited per address: beyond the limit they are answered 429 and no longer
    audited one by one, so that guessing neither floods the audit log nor locks anybody out.
    """

    def __init__(
        self,
        *,
        token: str,
        users: Sequence[UserSettings],
        store: SessionStore,
        clock: Clock,
        requests_per_minute: int = 0,
    ) -> None:
        self._store = store
        self._clock = clock
        owner = Principal(OWNER_ID, "the owner", frozenset({"*"}))
        self._by_digest = [(digest_of(token), owner)]
        self._by_id = {OWNER_ID: owner}
        for user in users:
            principal = Principal(user.name, user.name, frozenset(user.permissions), frozenset(user.claims))
            self._by_digest.append((user.token_sha256, principal))
            self._by_id[user.name] = principal
        self._failures = FailureLimit(clock)
        self._requests = RequestLimit(clock, requests_per_minute) if requests_per_minute else None
        self._cookies: OrderedDict[str, tuple[Principal | None, float]] = OrderedDict()
        self._codes: dict[str, tuple[str, float]] = {}

    # Requests --------------------------------------------------------------------------------------------------------

    async def authenticate(self, exchange: Exchange) -> Principal:
        """Return who sent the request.

        Raises:
            AuthenticationError: No valid credential came with it.
            PermissionDeniedError: A page of another origin used the console's cookie.
            TooManyAttemptsError: Too many failures from this address, or too many requests.
        """
        header = exchange.authorization
        if header:
            scheme, _, token = header.partition(b" ")
            principal = self.principal_of_token(token.strip()) if scheme.lower() == b"bearer" else None
        else:
            secret = cookie_value(exchange.cookie, COOKIE)
            if not secret:
                raise _unauthenticated("No credential came with the request.")
            principal = await self.principal_of_cookie(secret)
            if principal is not None and exchange.scope.get("method", "GET") not in _SAFE_METHODS:
                require_same_origin(exchange)
        if principal is None:
            await self.fail(exchange.address, exchange.correlation_id)
            raise _unauthenticated("The credential is not valid.")
        if self._requests is not None:
            self._requests.take(principal.id)
        exchange.principal = principal
        return principal

    def principal_of_token(self, token: str | bytes) -> Principal | None:
        """Return whose token this is."""
        digest = digest_of(token)
        found = None
        for known, principal in self._by_digest:  # no early exit: all comparisons take their time
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    async def principal_of_cookie(self, secret: str) -> Principal | None:
        """Return whose login this is."""
        digest = digest_of(secret)
        now = self._clock.monotonic()
        known = self._cookies.get(digest)
        if known is not None and known[1] > now:
            return known[0]
        credential = await self._store.credential(digest)
        principal = None if credential is None else self._by_id.get(credential.principal_id)
        self._cookies.pop(digest, None)
        if principal is not None:  # strangers' guesses are not worth remembering
            self._cookies[digest] = (principal, now + _COOKIE_SECONDS)
            while len(self._cookies) > _REMEMBERED_COOKIES:
                self._cookies.popitem(last=False)
        return principal

    async def fail(self, address: str, correlation_id: str) -> None:
        """Count and audit a failed login.

        Raises:
            TooManyAttemptsError: There were too many from this address.
        """
        if self._failures.is_over(address):
            raise TooManyAttemptsError(
                "Too many failed logins came from this address.", mend="Wait a minute.", retry_after=60.0
            )
        self._failures.record(address)
        await self._audit("", "login.failed", {"address": address}, correlation_id)

    # Logins of the console -------------------------------------------------------------------------------------------

    def mint_code(self, principal: Principal) -> str:
        """Return a one-time code that logs a browser in as ``principal`` within ten minutes."""
        now = self._clock.monotonic()
        self._codes = {digest: entry for digest, entry in self._codes.items() if entry[1] > now}
        while len(self._codes) >= _OPEN_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(24)
        self._codes[digest_of(code)] = (principal.id, now + CODE_SECONDS)
        return code

    async def log_in(self, code: str, address: str, correlation_id: str) -> str:
        """Use up a code and return the secret of a new login.

        Raises:
            AuthenticationError: The code is unknown, used or too old.
            TooManyAttemptsError: Too many failures from this address.
        """
        entry = self._codes.pop(digest_of(code), None)
        if entry is None or entry[1] <= self._clock.monotonic() or entry[0] not in self._by_id:
            await self.fail(address, correlation_id)
            raise _unauthenticated(
                "This login link was used before, or is older than ten minutes.",
                mend="Make a new one with `iskra login`, or restart the server and use the link it prints.",
            )
        secret = secrets.token_urlsafe(32)
        now = self._clock.now()
        await self._store.apply(
            [
                PutCredential(Credential(digest_of(secret), entry[0], now, now + LOGIN_LIFETIME)),
                AppendAudit(
                    AuditEntry(now, entry[0], "login.console", data={"address": address}, correlation_id=correlation_id)
                ),
            ]
        )
        return secret

    async def log_out(self, secret: str, principal: Principal, correlation_id: str) -> None:
        """Forget a login."""
        digest = digest_of(secret)
        self._cookies.pop(digest, None)
        entry = AuditEntry(self._clock.now(), principal.id, "logout", correlation_id=correlation_id)
        await self._store.apply([DeleteCredentials(digest=digest), AppendAudit(entry)])

    async def _audit(self, principal_id: str, action: str, data: Mapping[str, object], correlation_id: str) -> None:
        entry = AuditEntry(self._clock.now(), principal_id, action, data=data, correlation_id=correlation_id)
        try:
            await self._store.apply([AppendAudit(entry)])
        except StoreError:
            logger.warning("audit entry not written", extra={"action": action})


def cookie_value(header: bytes, name: str) -> str:
    """Return a cookie's value from a ``Cookie`` header, or the empty string."""
    if not header:
        return ""
    for part in header.decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def require_same_origin(exchange: Exchange) -> None:
    """Refuse a request that a page of another origin makes with the console's cookie.

    Raises:
        PermissionDeniedError: The Origin header is missing or names another origin.
    """
    origin = exchange.origin.decode("latin-1")
    host = exchange.host.decode("latin-1")
    if origin and host and origin in (f"http://{host}", f"https://{host}"):
        return
    raise PermissionDeniedError(
        "A page of another origin may not use the console's login.", mend="Send a token in the Authorization header."
    )


def _unauthenticated(message: str, *, mend: str = "") -> AuthenticationError:
    return AuthenticationError(
        message,
        mend=mend or "Send `Authorization: Bearer <token>`; the token is in the file `token` of the data directory.",
    )
