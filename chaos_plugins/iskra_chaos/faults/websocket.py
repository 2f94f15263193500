"""Faults of WebSockets: a connection is slow or lost. A message is never left out of one that goes on."""

from collections.abc import Mapping

from iskra_chaos.faults.delay import latency_seconds
from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.injection import Inject
from iskra_chaos.faults.parameters import Bandwidth, LimitData, ResetPeer, SlowConsumer, Timeout
from iskra_sdk.interceptor import Proceed

_SEND_WITHIN = 5.0
"""Seconds after which the server gives a reader up that does not take a message."""


def _lost(shot: Shot, what: str) -> ConnectionResetError:
    """Return what the server gets from the operating system when a client is gone."""
    shot.observe()
    return ConnectionResetError(f"{what} ({shot.fault.id})")


async def _hold(shot: Shot, seconds: float, message: bytes, proceed: Proceed) -> None:
    """Let a message wait; a wait that the server would not put up with loses the connection."""
    if await shot.wait(min(seconds, _SEND_WITHIN)) and seconds > _SEND_WITHIN:
        raise TimeoutError(f"the reader was held by a fault ({shot.fault.id})")
    await proceed(message)


async def _drop(shot: Shot, message: bytes, proceed: Proceed) -> None:
    raise _lost(shot, "the connection was dropped by a fault")


async def _reset(shot: Shot, message: bytes, proceed: Proceed) -> None:
    if await shot.wait(min(shot.parameters(ResetPeer).timeout / 1000.0, _SEND_WITHIN)):
        raise _lost(shot, "the connection was reset by a fault")
    await proceed(message)


async def _fall_silent(shot: Shot, message: bytes, proceed: Proceed) -> None:
    seconds = shot.parameters(Timeout).timeout / 1000.0 or _SEND_WITHIN
    if await shot.wait(min(seconds, _SEND_WITHIN)):
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


async def _late(shot: Shot, message: bytes, proceed: Proceed) -> None:
    await _hold(shot, latency_seconds(shot), message, proceed)


async def _trickle(shot: Shot, message: bytes, proceed: Proceed) -> None:
    await _hold(shot, len(message) / (shot.parameters(Bandwidth).rate * 1000.0), message, proceed)


async def _be_slow(shot: Shot, message: bytes, proceed: Proceed) -> None:
    await _hold(shot, shot.parameters(SlowConsumer).delay_ms / 1000.0, message, proceed)


SOCKETS: Mapping[str, Inject] = {
    "latency": _late,
    "bandwidth": _trickle,
    "timeout": _fall_silent,
    "reset_peer": _reset,
    "limit_data": _limit,
    "drop": _drop,
    "slow_consumer": _be_slow,
}
"""Faults of ``ws.send``."""
