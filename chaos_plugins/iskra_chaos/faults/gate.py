"""Where faults stand in a chain: one interceptor for each point, which lets calls pass or be hit."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from iskra_chaos.faults import bus, cache, clock, store, tools
from iskra_chaos.faults.attribution import NEEDS_CALL, NEEDS_TURN, PASSAGES, remember_call, remember_turn
from iskra_chaos.faults.bus import Lane, Lanes
from iskra_chaos.faults.fault import Fault, Passage
from iskra_chaos.faults.injection import Inject, Watch
from iskra_chaos.faults.llm import WHOLE
from iskra_chaos.faults.llm_stream import STREAM
from iskra_chaos.faults.websocket import SOCKETS
from iskra_sdk.event import Event
from iskra_sdk.interceptor import Interceptor, Point, Position, Proceed

INJECTORS: Mapping[Point, Mapping[str, Inject]] = {
    Point.LLM_REQUEST: WHOLE,
    Point.LLM_STREAM: STREAM,
    Point.TOOL_CALL: tools.CALLS,
    Point.TOOL_RESULT: tools.RESULTS,
    Point.BUS_PUBLISH: bus.PUBLISHES,
    Point.BUS_DELIVER: bus.DELIVERIES,
    Point.STORE_READ: store.READS,
    Point.STORE_WRITE: store.WRITES,
    Point.CACHE_GET: cache.CACHES,
    Point.WS_SEND: SOCKETS,
}
_WATCHES: Mapping[Point, Mapping[str, Watch]] = {
    Point.TOOL_CALL: tools.WATCHES,
    Point.TOOL_RESULT: tools.WATCHES,
    Point.CACHE_GET: cache.WATCHES,
}
_NO_WATCHES: Mapping[str, Watch] = {}

Active = Callable[[Point], tuple[Fault, ...]]
"""Returns the faults at a point; some of them may have ended a moment ago."""


class _Gate:
    """Lets the calls of one point pass by its faults, the one added first being outermost."""

    __slots__ = ("_active", "_injectors", "_passage", "_point", "_watches")

    def __init__(self, point: Point, active: Active) -> None:
        self._point = point
        self._active = active
        self._passage = PASSAGES[point]
        self._injectors = INJECTORS[point]
        self._watches = _WATCHES.get(point, _NO_WATCHES)

    async def around(self, payload: Any, proceed: Proceed) -> Any:
        faults = self._active(self._point)
        passage = self._passage(payload) if faults else None
        if passage is None:
            return await proceed(payload)
        return await self._by(faults, passage, payload, proceed)

    async def _by(self, faults: tuple[Fault, ...], passage: Passage, payload: Any, proceed: Proceed) -> Any:
        """Pass by the first fault on the way to the others."""
        fault, *others = faults
        inner = proceed
        if others:
            rest = tuple(others)

            async def inner(changed: Any) -> Any:
                return await self._by(rest, passage, changed, proceed)

        shot = fault.take(passage)
        if shot is not None:
            return await self._injectors[fault.kind.name](shot, payload, inner)
        result = await inner(payload)
        watch = self._watches.get(fault.kind.name)
        if watch is not None and fault.lease.is_active and fault.may_watch(passage):
            watch(fault, payload, result)
        return result


class _ToolCallGate(_Gate):
    """Remembers the call, because some faults ask for it later."""

    __slots__ = ()

    async def around(self, payload: Any, proceed: Proceed) -> Any:
        return await remember_call(payload, lambda invocation: _Gate.around(self, invocation, proceed))


class _DeliveryGate(_Gate):
    """Leads events over their handler's lane while some of them may be held back."""

    __slots__ = ("_lanes",)

    def __init__(self, active: Active, lanes: Lanes) -> None:
        super().__init__(Point.BUS_DELIVER, active)
        self._lanes = lanes

    async def around(self, payload: Event, proceed: Proceed) -> None:
        lane = self._lanes.lane()
        faults = self._active(self._point)
        if not lane.is_busy and not any(fault.kind.name in bus.ORDERS for fault in faults):
            await super().around(payload, proceed)
            return
        async with lane.turn:
            passage = self._passage(payload) if faults else None
            errors: list[Exception] = []
            try:
                await self._over(lane, faults if passage is not None else (), passage, payload, proceed)
            except Exception as exc:
                errors.append(exc)
            errors += await lane.release()
        if errors:
            raise errors[0]

    async def _over(
        self, lane: Lane, faults: tuple[Fault, ...], passage: Passage | None, event: Event, proceed: Proceed
    ) -> None:
        if not faults or passage is None:
            await lane.towards(proceed)(event)
            return
        fault, *others = faults

        async def inner(changed: Event) -> None:
            await self._over(lane, tuple(others), passage, changed, proceed)

        name = fault.kind.name
        concerns = bus.CONCERNS.get(name)
        shot = fault.take(passage) if concerns is None or concerns(fault, event) else None
        if shot is None:
            await inner(event)
        elif name in bus.ORDERS:
            await bus.ORDERS[name](shot, event, inner, lane, proceed)
        else:
            await self._injectors[name](shot, event, inner)


def interceptor(point: Point, active: Active, lanes: Lanes) -> Interceptor:
    """Return the interceptor of a point."""
    name = f"faults at {point}"
    if point is Point.CLOCK:

        def tell(now: datetime, proceed: Callable[[datetime], datetime]) -> datetime:
            return clock.skewed(active(Point.CLOCK), now, proceed)

        return Interceptor(point, tell, Position.INNERMOST, name)
    if point is Point.BUS_DELIVER:
        gate: _Gate = _DeliveryGate(active, lanes)
    else:
        gate = (_ToolCallGate if point is Point.TOOL_CALL else _Gate)(point, active)
    return Interceptor(point, gate.around, Position.INNERMOST, name)


def companions(points: frozenset[Point]) -> list[Interceptor]:
    """Return interceptors that change nothing and remember whose call it is, where these points ask for it."""
    found = []
    if points & NEEDS_TURN:
        found.append(Interceptor(Point.TURN, remember_turn, name="whose turn it is, for faults"))
    if points & NEEDS_CALL:
        found.append(Interceptor(Point.TOOL_CALL, remember_call, name="whose call it is, for faults"))
    return found
