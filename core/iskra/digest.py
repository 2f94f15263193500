"""Short fingerprints of values, to tell later whether something is still the same."""

import hashlib

from pydantic_core import to_json


def digest(value: object) -> str:
    """Return 16 hexadecimal digits that equal JSON-able values share; what is not JSON-able counts by its text."""
    return hashlib.blake2b(to_json(value, fallback=str), digest_size=8).hexdigest()
