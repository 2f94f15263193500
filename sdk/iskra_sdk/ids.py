"""Identifiers: opaque strings, sortable by creation time within one kind."""

import secrets
import time
from typing import NewType

SessionId = NewType("SessionId", str)
TurnId = NewType("TurnId", str)
MessageId = NewType("MessageId", str)
ApprovalId = NewType("ApprovalId", str)
EffectId = NewType("EffectId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_RANDOM_BITS = 60


def new_id(prefix: str) -> str:
    """Return ``prefix_`` plus 22 characters: 48 bits of milliseconds, then 60 random bits.

    Ids made in different milliseconds sort by time; ids cannot be guessed from one another.
    """
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    digits = []
    for _ in range(22):
        value, digit = divmod(value, 32)
        digits.append(_ALPHABET[digit])
    digits.reverse()
    return f"{prefix}_{''.join(digits)}"
