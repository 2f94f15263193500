"""Faults of WebSockets: a connection is slow or lost. A message is never left out of one that goes on."""

import math
from collections.abc import Mapping

from iskra_chaos.faults.delay import late
from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.injection import Inject
from iskra_chaos.faults.parameters import Bandwidth, LimitData, ResetPeer, SlowConsumer, Timeout
from iskra_sdk.interceptor import Proceed


def _lost(shot: Shot, what: str) -> ConnectionResetError:
    """Return what the server gets from the operating system when a client is gone."""
    shot.observe()
    return ConnectionResetError(f"{what} ({shot.fault.id})")


async def _drop(shot: Shot, message: bytes, proceed: Proceed) -> None:
    raise _lost(shot, "the connection was dropped by a fault")


async def _reset(shot: Shot, message: bytes, proceed: Proceed) -> None:
    if await shot.wait(shot.parameters(ResetPeer).timeout / 1000.0):
        raise _lost(shot, "the connection was reset by a fault")
    await proceed(message)


async def _fall_silent(shot: Shot, message: bytes, proceed: Proceed) -> None:
    if await shot.wait(shot.parameters(Timeout).timeout / 1000.0 or math.inf):
        raise _lost(shot, "the connection was held by a fault and closed")
    await proceed(message)


async def _limit(shot: Shot, message: bytes, proceed: Proceed) -> None:
    """Lose the connection with the message that goes over the limit, counted per session."""
    memory = shot.fault.memory
    sent = memory.get(shot.session, 0)
    total = (sent if isinstance(sent, int) else 0) + len(message)
    if total > shot.parameters(LimitData).bytes:
        memory.pop(shot.session, None)
        raise _lost(shot, "the connection was cut by a fault")
    memory[shot.session] = total
    await proceed(message)


async def _trickle(shot: Shot, message: bytes, proceed: Proceed) -> None:
    await shot.wait(len(message) / (shot.parameters(Bandwidth).rate * 1000.0))
    await proceed(message)


async def _be_slow(shot: Shot, message: bytes, proceed: Proceed) -> None:
    await shot.wait(shot.parameters(SlowConsumer).delay_ms / 1000.0)
    await proceed(message)


SOCKETS: Mapping[str, Inject] = {
    "latency": late,
    "bandwidth": _trickle,
    "timeout": _fall_silent,
    "reset_peer": _reset,
    "limit_data": _limit,
    "drop": _drop,
    "slow_consumer": _be_slow,
}
"""Faults of ``ws.send``."""
