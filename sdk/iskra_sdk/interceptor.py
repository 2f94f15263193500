"""Interceptors: wrap a named point of the kernel."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Proceed = Callable[[Any], Awaitable[Any]]
"""Goes on with the (perhaps changed) payload and returns the result."""

Around = Callable[[Any, Proceed], Awaitable[Any]]
"""Gets the payload and ``proceed``; returns the result, after as many calls of ``proceed`` as it sees fit."""

AroundNow = Callable[[datetime, Callable[[datetime], datetime]], datetime]
"""What :attr:`Point.CLOCK` takes: telling the time is not awaited, so neither is what wraps it."""


class Point(StrEnum):
    """Where interceptors can be put: the payload they get → the result they return."""

    LLM_REQUEST = "llm.request"
    """``LLMRequest`` → ``LLMAnswer``: a call for a whole answer, through the router."""
    LLM_STREAM = "llm.stream"
    """``LLMRequest`` → ``AsyncIterator[LLMChunk]``: a streamed call, through the router."""
    TOOL_CALL = "tool.call"
    """``ToolInvocation`` → ``ToolResult``: a validated and approved call."""
    TOOL_RESULT = "tool.result"
    """``ToolResult`` → ``ToolResult``: before it is recorded and shown to the model."""
    BUS_PUBLISH = "bus.publish"
    """``Event`` → ``None``; returning without ``proceed`` drops the event."""
    BUS_DELIVER = "bus.deliver"
    """``Event`` → ``None``: delivery to one event handler, of the plugin that ``iskra_sdk.event_bus.receiving_plugin``
    names."""
    STORE_READ = "store.read"
    """``str`` (what is read) → the value read."""
    STORE_WRITE = "store.write"
    """``Sequence[Change]`` → ``None``: one atomic change."""
    CACHE_GET = "cache.get"
    """``str`` (key) → the cached value or ``None``."""
    WS_SEND = "ws.send"
    """``bytes`` → ``None``: one WebSocket message."""
    TURN = "turn"
    """``Turn`` → ``None``: a whole turn of an agent."""
    CLOCK = "clock"
    """``datetime`` → ``datetime``: the wall-clock time that the kernel and plugins are told. Durations, deadlines and
    leases run on the monotonic clock, which nothing wraps. ``around`` is an :data:`AroundNow`."""


class Position(StrEnum):
    """Where in the chain an interceptor goes."""

    OUTER = "outer"
    """Sees the call first and the result last; among several, the one registered first is outermost."""
    INNERMOST = "innermost"
    """Next to the real thing, e.g. a fault injected below all caches and guardrails.

    At ``llm.request`` and ``llm.stream`` it wraps each single attempt at a provider, so retries, failover and the
    circuit breaker see what it does.
    """


@dataclass(frozen=True, slots=True)
class Interceptor:
    """Wraps one point.

    Attributes:
        point: Which point.
        around: The wrapper, an :data:`Around` (of the clock, an :data:`AroundNow`); what it raises counts as raised by
            the point itself.
        position: Where in the chain.
        name: For receipts and traces.
    """

    point: Point
    around: Callable[[Any, Any], Any]
    position: Position = Position.OUTER
    name: str = ""
