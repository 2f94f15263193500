"""Interceptor chains: what stands between a consumer and the real thing at each named point."""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from iskra_sdk.errors import PluginError
from iskra_sdk.interceptor import Around, Interceptor, Point, Position, Proceed

Chain = Callable[[Any, Proceed], Awaitable[Any]]
"""Runs all interceptors of a point around ``proceed``, the real thing."""


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
    """

    __slots__ = ("chain", "point")

    def __init__(self, point: Point) -> None:
        self.point = point
        self.chain: Chain | None = None


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
        chains = {point: _chain(point, interceptors) for point in Point}
        for point, chain in chains.items():
            self._slots[point].chain = chain


def _chain(point: Point, interceptors: Sequence[OwnedInterceptor]) -> Chain | None:
    mine = [owned for owned in interceptors if owned.value.point is point]
    mine.sort(key=lambda owned: owned.value.position is Position.INNERMOST)  # stable: equals keep their order
    links = [_guarded(owned) for owned in mine]
    return functools.reduce(_around, reversed(links)) if links else None


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
    around = interceptor.around
    if interceptor.point is not Point.LLM_STREAM or not inspect.isasyncgenfunction(around):
        return around

    async def start(payload: Any, proceed: Proceed) -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = around(payload, proceed)
        return stream

    return start
