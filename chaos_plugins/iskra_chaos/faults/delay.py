"""How long a fault holds a call."""

import math
from typing import Any

from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.parameters import Latency
from iskra_sdk.interceptor import Proceed


def latency_seconds(shot: Shot) -> float:
    """Return the delay of a ``Latency`` for this call: median · e^(σ·z), give or take the jitter."""
    given = shot.parameters(Latency)
    milliseconds = given.latency
    if given.sigma:
        milliseconds *= math.exp(given.sigma * _standard_normal(shot))
    if given.jitter:
        milliseconds += given.jitter * (2.0 * shot.draw("jitter") - 1.0)
    return min(max(0.0, milliseconds), given.longest) / 1000.0


def _standard_normal(shot: Shot) -> float:
    """Box and Muller, *A Note on the Generation of Random Normal Deviates*, 1958."""
    radius = math.sqrt(-2.0 * math.log(1.0 - shot.draw("normal", 1)))
    return radius * math.cos(2.0 * math.pi * shot.draw("normal", 2))


async def late(shot: Shot, payload: Any, proceed: Proceed) -> Any:
    """Begin the call late."""
    await shot.wait(latency_seconds(shot))
    return await proceed(payload)
