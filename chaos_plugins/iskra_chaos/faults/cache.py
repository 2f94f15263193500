"""Faults of caches: they may forget, remember too long, or be away; nothing may depend on them."""

from collections.abc import Mapping
from typing import Any

from iskra_chaos.faults.delay import late
from iskra_chaos.faults.fault import Fault, Shot
from iskra_chaos.faults.injection import Inject, Watch
from iskra_sdk.errors import StoreUnavailableError
from iskra_sdk.interceptor import Proceed

_MOST_KEPT = 256
"""Values one fault keeps, to replay them."""


async def _miss(shot: Shot, key: str, proceed: Proceed) -> object:
    """Find nothing; observed where there was something to find."""
    if await proceed(key) is not None:
        shot.observe()
    return None


async def _be_stale(shot: Shot, key: str, proceed: Proceed) -> object:
    value = await proceed(key)
    kept = shot.fault.memory.get(key)
    keep(shot.fault, key, value)
    if kept is None or kept == value or not shot.is_active:
        return value
    shot.observe()
    return kept


async def _fail(shot: Shot, key: str, proceed: Proceed) -> object:
    raise shot.injected(StoreUnavailableError("The cache cannot be reached."))


def keep(fault: Fault, payload: Any, result: Any) -> None:
    """Keep the first value of a key."""
    if result is not None and len(fault.memory) < _MOST_KEPT:
        fault.memory.setdefault(payload, result)


CACHES: Mapping[str, Inject] = {"latency": late, "miss": _miss, "stale": _be_stale, "error": _fail}
WATCHES: Mapping[str, Watch] = {"stale": keep}
