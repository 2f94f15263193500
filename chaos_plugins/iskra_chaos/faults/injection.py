"""The shape of an injector."""

from collections.abc import Awaitable, Callable
from typing import Any

from iskra_chaos.faults.fault import Fault, Shot
from iskra_sdk.interceptor import Proceed

Inject = Callable[[Shot, Any, Proceed], Awaitable[Any]]
"""Acts on a call that is hit: gets the payload and ``proceed``, and returns the result or raises."""

Watch = Callable[[Fault, Any, Any], None]
"""Sees the payload and the result of a call that is in reach and not hit, for faults that replay what was before."""
