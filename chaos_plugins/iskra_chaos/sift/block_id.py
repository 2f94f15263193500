"""Ids of blocks: ULIDs whose random part is made of the content, so that equal input gives an equal id."""

import hashlib
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def block_id(content: str, at: datetime | None = None) -> str:
    """Return a ULID: the milliseconds of ``at``, 0 where it is unknown, then 80 bits of a hash of ``content``."""
    moment = max(0, int(at.timestamp() * 1000)) if at else 0
    number = (moment << 80) | int.from_bytes(hashlib.sha256(content.encode()).digest()[:10], "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
