"""Clearances: signed tokens that let one approved operation start once."""

import hmac
import re
import secrets
import threading
from hashlib import sha256

from iskra_chaos.ethics.errors import ClearanceError
from iskra_chaos.ethics.operation import Operation, operation_hash
from iskra_chaos.ethics.review import Review
from iskra_sdk.clock import Clock
from iskra_sdk.errors import QueueFullError

LIFETIME = 60.0
"""Seconds between issue and expiry."""
_SHORTEST_KEY = 32
_MOST_REMEMBERED = 10_000
_SHAPE = re.compile(r"v1\.([0-9a-f]{16})\.([0-9a-f]{32})\.([0-9a-f]{64})\.(\d{1,15})\.([0-9a-f]{64})", re.ASCII)
_LONGEST_TOKEN = 256


class Clearances:
    """Issues clearances and takes each back once.

    A token is ``v1.<process>.<id>.<operation hash>.<expiry>.<HMAC-SHA-256>``. Time is monotonic, so a jump of the wall
    clock neither prolongs nor ends one. Ids of used tokens are kept until those would have expired anyway; tokens of an
    earlier process are refused, since what it saw used is not known here.

    Args:
        key: Secret of at least 32 bytes.
        clock: The server's.

    Raises:
        ValueError: The key is too short.
    """

    def __init__(self, key: bytes, clock: Clock) -> None:
        if len(key) < _SHORTEST_KEY:
            raise ValueError(f"a clearance key has at least {_SHORTEST_KEY} bytes, this one {len(key)}")
        self._key = key
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def issue(self, operation: Operation, review: Review) -> str:
        """Return a token for an approved operation.

        Raises:
            EthicsRefusedError: The review did not approve.
            ClearanceError: The review is of another operation, or is no longer valid.
        """
        review.require_approval()
        reviewed = operation_hash(operation)
        if not hmac.compare_digest(reviewed, review.operation_hash):
            raise ClearanceError("other_operation")
        if self._clock.now() >= review.expires_at:
            raise ClearanceError("expired")
        expiry = self._microseconds() + int(LIFETIME * 1e6)
        body = f"v1.{self._process}.{secrets.token_hex(16)}.{reviewed}.{expiry}"
        return f"{body}.{self._signature(body)}"

    def redeem(self, token: str, operation: Operation) -> None:
        """Use up a token; the operation may start if this returns.

        A token that is refused because of another operation stays unused.

        Raises:
            ClearanceError: It cannot be used; ``reason`` tells why.
            QueueFullError: More tokens were used within their lifetime than are remembered.
        """
        if not token:
            raise ClearanceError("missing")
        shape = _SHAPE.fullmatch(token) if len(token) <= _LONGEST_TOKEN else None
        if shape is None:
            raise ClearanceError("unknown")
        process, token_id, reviewed, expiry, signature = shape.groups()
        if not hmac.compare_digest(self._signature(token.rpartition(".")[0]), signature):
            raise ClearanceError("tampered")
        if process != self._process:
            raise ClearanceError("unknown")
        if self._microseconds() >= int(expiry):
            raise ClearanceError("expired")
        if not hmac.compare_digest(operation_hash(operation), reviewed):
            raise ClearanceError("used" if token_id in self._used else "other_operation")
        with self._lock:
            self._use(token_id, int(expiry))

    def _use(self, token_id: str, expiry: int) -> None:
        if token_id in self._used:
            raise ClearanceError("used")
        if len(self._used) >= _MOST_REMEMBERED:
            now = self._microseconds()
            self._used = {used: until for used, until in self._used.items() if until > now}
        if len(self._used) >= _MOST_REMEMBERED:
            raise QueueFullError(
                f"{_MOST_REMEMBERED} clearances were used within {LIFETIME:g} seconds.",
                mend="Start fewer operations at a time.",
                retry_after=LIFETIME,
            )
        self._used[token_id] = expiry

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), sha256).hexdigest()

    def _microseconds(self) -> int:
        return int(self._clock.monotonic() * 1e6)
