"""Interceptor chains: what stands between a consumer and the real thing at each named point."""

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, cast

from iskra_sdk.errors import PluginError
from iskra_sdk.interceptor import Around, AroundNow, Interceptor, Point, Position, Proceed

logger = logging.getLogger(__name__)

Chain = Callable[[Any, Proceed], Awaitable[Any]]
"""Runs all interceptors of a point around ``proceed``, the real thing."""

_SEVERAL_ATTEMPTS = frozenset({Point.LLM_REQUEST, Point.LLM_STREAM})
"""Points whose consumer may try the real thing several times for one call."""


class OwnedInterceptor(Protocol):
    """An interceptor and the plugin it came from, as the catalog lists them."""

    @property
    def value(self) -> Interceptor: ...

    @property
    def plugin(self) -> str: ...


class Slot:
    """One point, kept by its consumer.

    The consumer tests ``slot.chain is None`` and then calls the real thing itself, so a point that nobody intercepts
    costs one attribute and one comparison.

    Attributes:
        chain: Wraps a call from outside.
        attempt: Wraps each attempt of a call, at the points whose consumer makes several; elsewhere ``None``, and the
            innermost interceptors are the last links of ``chain``.
        now: Wraps telling the time; :attr:`~iskra_sdk.Point.CLOCK` only.
    """

    __slots__ = ("attempt", "chain", "now", "point")

    def __init__(self, point: Point) -> None:
        self.point = point
        self.chain: Chain | None = None
        self.attempt: Chain | None = None
        self.now: AroundNow | None = None


class Points:
    """All points, each with its present chain."""

    def __init__(self) -> None:
        self._slots = {point: Slot(point) for point in Point}

    def slot(self, point: Point) -> Slot:
        """Return the slot of a point; it stays the same object when chains change."""
        return self._slots[point]

    def rebuild(self, interceptors: Sequence[OwnedInterceptor]) -> None:
        """Put these interceptors, and no others, in place.

        Outer ones come before innermost ones, and among equals the first is outermost. Calls under way finish on
        the chain they began with. Every chain is made before the first is put in place, so a mistake changes nothing.
        """
        chains: dict[Point, tuple[Chain | None, Chain | None, AroundNow | None]] = {}
        for point in Point:
            mine = [owned for owned in interceptors if owned.value.point is point]
            outer = [owned for owned in mine if owned.value.position is Position.OUTER]
            innermost = [owned for owned in mine if owned.value.position is Position.INNERMOST]
            if point is Point.CLOCK:
                chains[point] = (None, None, _now_chain([*outer, *innermost]))
            elif point in _SEVERAL_ATTEMPTS:
                chains[point] = (_chain(outer), _chain(innermost), None)
            else:
                chains[point] = (_chain([*outer, *innermost]), None, None)
        for point, (chain, attempt, now) in chains.items():
            slot = self._slots[point]
            slot.chain, slot.attempt, slot.now = chain, attempt, now


def _chain(interceptors: Sequence[OwnedInterceptor]) -> Chain | None:
    links = [_guarded(owned) for owned in interceptors]
    return functools.reduce(_around, reversed(links)) if links else None


def _now_chain(interceptors: Sequence[OwnedInterceptor]) -> AroundNow | None:
    def around(inner: AroundNow, outer: AroundNow) -> AroundNow:
        return lambda now, proceed: outer(now, lambda changed: inner(changed, proceed))

    links = [_guarded_now(owned) for owned in interceptors]
    return functools.reduce(around, reversed(links)) if links else None


def _guarded_now(owned: OwnedInterceptor) -> AroundNow:
    """Return an interceptor of the clock as a link: one that fails, or returns no time, is passed over."""
    around = cast("AroundNow", owned.value.around)

    def link(now: datetime, proceed: Callable[[datetime], datetime]) -> datetime:
        try:
            told: object = around(now, proceed)
            if isinstance(told, datetime) and told.tzinfo is not None:
                return told
            logger.warning("interceptor of the clock returned no aware time", extra={"plugin": owned.plugin})
        except (Exception, SystemExit):
            logger.warning("interceptor of the clock failed", extra={"plugin": owned.plugin}, exc_info=True)
        return proceed(now)

    return link


def _around(inner: Chain, outer: Chain) -> Chain:
    def chain(payload: Any, proceed: Proceed) -> Awaitable[Any]:
        return outer(payload, lambda changed: inner(changed, proceed))

    return chain


def _guarded(owned: OwnedInterceptor) -> Chain:
    """Return an interceptor as a link of a chain: it may raise what it likes, but never end the server."""
    around = _awaitable(owned.value)

    async def link(payload: Any, proceed: Proceed) -> Any:
        try:
            return await around(payload, proceed)
        except SystemExit as exc:
            raise PluginError(
                owned.plugin,
                f"its interceptor of {owned.value.point} tried to end the server.",
                mend="Raise an error of iskra_sdk.errors instead of calling sys.exit().",
            ) from exc

    return link


def _awaitable(interceptor: Interceptor) -> Around:
    """Let ``llm.stream`` be wrapped by an asynchronous generator, the natural way to write one."""
    around = cast("Around", interceptor.around)
    if interceptor.point is not Point.LLM_STREAM or not inspect.isasyncgenfunction(around):
        return around

    async def start(payload: Any, proceed: Proceed) -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = around(payload, proceed)
        return stream

    return start


async def intercepted_stream(
    chain: Chain, payload: Any, begin: Callable[[Any], AsyncIterator[Any]]
) -> AsyncIterator[Any]:
    """Stream through a chain whose real thing, ``begin``, returns a stream; both are closed with what is returned."""
    streams: list[AsyncIterator[Any]] = []

    async def proceed(changed: Any) -> AsyncIterator[Any]:
        stream = begin(changed)
        streams.append(stream)
        return stream

    try:
        stream = await chain(payload, proceed)
        if stream not in streams:
            streams.insert(0, stream)
        async for piece in stream:
            yield piece
    finally:
        # The interceptors' streams end before the one they wrap.
        for stream in streams:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
