"""Results of tools that only read, kept until something that they read has changed."""

import asyncio
import hashlib

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.resources import Resources
from iskra_sdk import Risk, ToolResult
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.interceptor import Proceed
from iskra_sdk.tool import Tool, ToolInvocation


class ToolResults:
    """Wraps tool calls.

    A result is kept for the user and session that it was made for, with the versions of the resources that it was made
    from. A call with an effect counts as a write to its resources, and to everything if it does not name any.

    Args:
        cache: Holds the results.
        resources: Knows when they are out of date.
    """

    def __init__(self, cache: BoundedCache[ToolResult], resources: Resources) -> None:
        self.cache = cache
        self._resources = resources

    async def around(self, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
        """Return a result that was kept, or run the call."""
        tool = invocation.tool
        reads, writes = tool.resource_keys(invocation.arguments)
        if tool.risk is not Risk.READ:
            try:
                return await _run(proceed, invocation)
            finally:
                self._resources.wrote(writes)  # also after a failure: half of it may have been done
        if not reads or writes:
            return await _run(proceed, invocation)
        before = await asyncio.to_thread(self._resources.version, reads)
        if before is None:
            return await _run(proceed, invocation)
        key = _key(tool, invocation, before)
        kept = self.cache.get(key)
        if kept is not None:
            return kept
        result = await _run(proceed, invocation)
        if not result.is_error and await asyncio.to_thread(self._resources.version, reads) == before:
            self.cache.put(key, result, len(result.content) * 2 + 500)
        return result


async def _run(proceed: Proceed, invocation: ToolInvocation) -> ToolResult:
    result: ToolResult = await proceed(invocation)
    return result


def _key(tool: Tool, invocation: ToolInvocation, version: tuple[object, ...]) -> str:
    call = invocation.context
    parts = (
        tool.name,
        id(tool),  # a reloaded plugin's tool is another one
        canonical_arguments(invocation.arguments),
        call.principal.id,
        call.session_id,
        version,
    )
    return hashlib.sha256(repr(parts).encode(errors="replace")).hexdigest()
