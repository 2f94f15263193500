"""The resilience form of an operation: its faults, by its intensity and within its hard limits.

Killing a worker, restarting a plugin and multiplying the load are no faults of a point; whoever runs the operation
does that from outside.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations as pairs_of
from typing import Any

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.faults.firing import Burst, FailFirst, Intermittent, Persistent, Single, Strategy, uniform
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.vocabulary import VOCABULARY, Family
from iskra_sdk.interceptor import Point

_CAREFUL = 0.7
"""Below this intensity no delay may use up more than half of a call's deadline."""
_SPREAD = 0.5
"""σ of a lognormal delay: one call in forty takes more than 2.7 times the median."""
_HIGHEST_SKEW = 120.0
"""Seconds by which the wall clock is off at most, either way."""
_BREAKS = frozenset({Family.CRASH, Family.OMISSION, Family.SHAPE})
_DELAYS = {
    Point.STORE_READ: "slow",
    Point.STORE_WRITE: "slow",
    Point.BUS_PUBLISH: "delay",
    Point.BUS_DELIVER: "delay",
}
_COMBINED = (
    (Point.LLM_STREAM, "slow_drip", "cut_stream", "rate_limited"),
    (Point.LLM_REQUEST, "server_error", "malformed_tool_json", "truncated"),
    (Point.TOOL_CALL, "latency", "error"),
    (Point.BUS_DELIVER, "duplicate", "reorder", "drop_redeliver"),
    (Point.STORE_READ, "slow", "locked"),
    (Point.WS_SEND, "drop", "slow_consumer"),
)
_Factor = tuple[Point, str]


def faults_of(
    operation: OperationType,
    intensity: float,
    *,
    seed: int = 0,
    point: Point | None = None,
    deadline: float = 10.0,
    experiment: str = "",
    ttl: float = 10.0,
) -> list[FaultSpec]:
    """Return the faults of an operation; they belong to one experiment.

    Args:
        operation: Any but ``emergent_stimulation``, which has :func:`combinations_of`.
        intensity: In [0.1, 1].
        seed: Chooses among kinds, and decides which calls are hit.
        point: Where, for ``micro_disturbance`` and ``pattern_break``; a streamed model call by default.
        deadline: Seconds a call at the point may take.
        experiment: What the faults belong to.
        ttl: Seconds each lasts without a heartbeat.

    Raises:
        ValueError: The intensity is out of range, or the point has nothing to offer for the operation.
    """
    if not 0.1 <= intensity <= 1.0:
        raise ValueError(f"an intensity is in [0.1, 1], not {intensity:g}")
    given = {"seed": seed, "experiment": experiment, "ttl": ttl, "intensity": intensity}
    found: list[dict[str, Any]]
    match operation:
        case "micro_disturbance":
            found = _micro_disturbance(intensity, point or Point.LLM_STREAM, deadline)
        case "pattern_break":
            found = _pattern_break(intensity, point or Point.LLM_STREAM, seed)
        case "paradox_generation":
            found = _paradox(intensity, seed)
        case "fire_reset":
            found = _fire_reset(intensity)
        case "quantum_flux":
            found = _quantum_flux(intensity, seed)
        case _:
            raise ValueError("emergent_stimulation is a series of combinations; ask combinations_of() for them")
    return [FaultSpec.model_validate({**given, **each}) for each in found]


def combinations_of(
    intensity: float, *, seed: int = 0, experiment: str = "", ttl: float = 10.0
) -> list[list[FaultSpec]]:
    """Return the combinations of ``emergent_stimulation``, to be tried one after another.

    Each has 2 + round(2i) faults, at different points, and every two faults at different points meet in at least one
    of them (a pairwise covering array, built greedily: Cohen et al., *The AETG System*, 1997).
    """
    if not 0.1 <= intensity <= 1.0:
        raise ValueError(f"an intensity is in [0.1, 1], not {intensity:g}")
    strategy = Intermittent(probability=0.05 + 0.25 * intensity)
    return [
        [
            FaultSpec(
                point=point,
                kind=kind,
                strategy=strategy,
                seed=seed,
                experiment=experiment,
                ttl=ttl,
                intensity=intensity,
            )
            for point, kind in row
        ]
        for row in _covering_rows(2 + round(2 * intensity), seed)
    ]


def _fault(point: Point, kind: str, strategy: Strategy, **parameters: float) -> dict[str, Any]:
    return {"point": point, "kind": kind, "strategy": strategy, "parameters": parameters}


def _micro_disturbance(intensity: float, point: Point, deadline: float) -> list[dict[str, Any]]:
    """Delays at one point; streams and sockets are slow throughout, too."""
    strategy = Intermittent(probability=0.05 + 0.25 * intensity)
    limit = (deadline / 2.0 if intensity < _CAREFUL else deadline) * 1000.0
    median = min(100.0 + 900.0 * intensity, limit)
    chunk = min(10.0 + 90.0 * intensity, limit)
    name = _DELAYS.get(point, "latency")
    if name not in VOCABULARY.get(point, {}):
        raise ValueError(f"{point} cannot be slowed down")
    if name == "delay":
        return [_fault(point, name, strategy, delay_ms=median)]
    late = _fault(point, name, strategy, latency=median, sigma=_SPREAD, longest=min(limit, 30_000.0))
    slow = {Point.LLM_STREAM: "slow_drip", Point.WS_SEND: "slow_consumer"}.get(point)
    return [late] if slow is None else [late, _fault(point, slow, strategy, delay_ms=chunk)]


def _pattern_break(intensity: float, point: Point, seed: int) -> list[dict[str, Any]]:
    """One kind of failure, which the seed chooses, more often as the intensity grows."""
    kinds = [kind for kind in VOCABULARY.get(point, {}).values() if kind.family in _BREAKS]
    if not kinds:
        raise ValueError(f"{point} has nothing that breaks")
    kind = kinds[int(uniform(seed, "pattern_break", point) * len(kinds))]
    parameters = {"keep": 1.0 - 0.7 * intensity} if "keep" in kind.parameters.model_fields else {}
    return [_fault(point, kind.name, _breaking_strategy(intensity), **parameters)]


def _breaking_strategy(intensity: float) -> Strategy:
    if intensity < 0.25:
        return Single()
    if intensity < 0.5:
        return Burst(count=3)
    if intensity < 0.75:
        return Intermittent(probability=0.05 + 0.45 * intensity)
    return Persistent()


def _paradox(intensity: float, seed: int) -> list[dict[str, Any]]:
    """A tool that lies, told behind all caches: what one of them kept would outlive the fault."""
    kinds = [kind for kind in VOCABULARY[Point.TOOL_RESULT].values() if kind.family is Family.VALUE]
    kind = kinds[int(uniform(seed, "paradox") * len(kinds))]
    has_fields = "fields" in kind.parameters.model_fields
    parameters = {"fields": math.ceil(5 * intensity)} if has_fields else {}
    return [_fault(Point.TOOL_RESULT, kind.name, Intermittent(probability=0.3), **parameters)]


def _fire_reset(intensity: float) -> list[dict[str, Any]]:
    """Loss of state: a connection, then caches and locks, then the disk."""
    if intensity < 0.4:
        return [_fault(Point.WS_SEND, "drop", Single())]
    found = [
        _fault(Point.WS_SEND, "drop", Intermittent(probability=0.1)),
        _fault(Point.CACHE_GET, "miss", Persistent()),
    ]
    broken = "locked" if intensity < _CAREFUL else "full"
    return [*found, _fault(Point.STORE_WRITE, broken, FailFirst(count=1 if intensity < _CAREFUL else 3))]


def _quantum_flux(intensity: float, seed: int) -> list[dict[str, Any]]:
    """Order and time. For the first moments all plugins are cut off from events, then they come out of their order.

    The clock is the whole server's, so it is skewed in test environments only.
    """
    often, seldom = Intermittent(probability=0.3 * intensity), Intermittent(probability=0.1 * intensity)
    skew = _HIGHEST_SKEW * intensity * (2.0 * uniform(seed, "skew") - 1.0)
    return [
        _fault(Point.BUS_DELIVER, "duplicate", often),
        _fault(Point.BUS_DELIVER, "reorder", often, window=1 + math.ceil(9 * intensity)),
        _fault(Point.BUS_DELIVER, "drop_redeliver", seldom),
        _fault(Point.BUS_DELIVER, "partition", Persistent(), heals_after_ms=100.0 + 900.0 * intensity),
        {**_fault(Point.CLOCK, "skew", Persistent(), seconds=skew), "intensity": None},
    ]


def _covering_rows(arity: int, seed: int) -> Iterator[Sequence[_Factor]]:
    factors = [(point, kind) for point, *kinds in _COMBINED for kind in kinds]
    uncovered = {frozenset(pair) for pair in pairs_of(factors, 2) if pair[0][0] is not pair[1][0]}
    order = {factor: uniform(seed, "order", *factor) for factor in factors}

    while uncovered:
        row = sorted(
            min(uncovered, key=lambda pair: sorted(order[factor] for factor in pair)), key=lambda factor: order[factor]
        )
        while len(row) < arity:
            taken = {point for point, _ in row}
            free = [factor for factor in factors if factor[0] not in taken]
            row.append(max(free, key=lambda new: (sum(frozenset((new, old)) in uncovered for old in row), order[new])))
        uncovered -= {frozenset(pair) for pair in pairs_of(row, 2)}
        yield row
