"""Results of tools that only read, kept until something that they read has changed."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict

from iskra_plugins.caches.cache import Cache
from iskra_plugins.caches.resources import Resources, Version
from iskra_plugins.caches.tool_identity import ToolIdentities
from iskra_sdk import Risk, ToolResult
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.interceptor import Proceed
from iskra_sdk.tool import Tool, ToolInvocation

_REMEMBERED = 10_000


class ToolResults:
    """Wraps tool calls.

    A result is kept for the user and session that it was made for, with the versions of the resources that it was made
    from. A call with an effect counts as a write to its resources, and to everything if it does not name any.

    In a cache that others share, a result is for all of them where the disk alone tells whether it is out of date, and
    the tool is the same in each of them. Otherwise, and until files have settled, it is for this process. What this
    process knows to be written is read anew by it, as it would be without others.

    Args:
        cache: Holds the results.
        resources: Knows when they are out of date.
    """

    def __init__(self, cache: Cache[ToolResult], resources: Resources) -> None:
        self.cache = cache
        self._resources = resources
        self._own = secrets.token_hex(16)
        self._identities = ToolIdentities()
        self._kept_at: OrderedDict[str, int] = OrderedDict()  # shared key → the writes that our result came after

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
        key, is_current = await self._key(invocation, before)
        kept = await self.cache.get(key) if is_current else None
        if kept is not None and _may_keep(kept):
            return kept
        result = await _run(proceed, invocation)
        if (
            _may_keep(result)
            and before.is_certain
            and await asyncio.to_thread(self._resources.version, reads) == before
        ):
            self._note(key, before.writes)
            await self.cache.put(key, result, len(result.content) * 2 + 500)
        return result

    async def _key(self, invocation: ToolInvocation, version: Version) -> tuple[str, bool]:
        """Return the key of a call, and whether what lies under it cannot be from before a write that we know of."""
        identity = None
        if self.cache.is_shared and version.is_settled:
            identity = await asyncio.to_thread(self._identities.of, invocation.tool)
        if identity is None:
            # A reloaded plugin's tool is another one.
            number = self._identities.here(invocation.tool)
            return _digest(invocation, self._own, number, version.writes, version.states), True
        key = _digest(invocation, str(self._resources.workspace), identity, version.states)
        return key, version.writes <= self._kept_at.get(key, 0)

    def _note(self, key: str, writes: int) -> None:
        if not writes:
            return
        self._kept_at[key] = writes
        self._kept_at.move_to_end(key)
        if len(self._kept_at) > _REMEMBERED:
            self._kept_at.popitem(last=False)


async def _run(proceed: Proceed, invocation: ToolInvocation) -> ToolResult:
    result: ToolResult = await proceed(invocation)
    return result


def _may_keep(result: ToolResult) -> bool:
    """Return whether a result is good for another time.

    A failure is not, nor one whose words count as the server's own, which nobody may forge, nor one that says so.
    """
    return not result.is_error and not result.is_trusted and not result.metadata.get("no_store")


def _digest(invocation: ToolInvocation, *made_from: object) -> str:
    call = invocation.context
    tool: Tool = invocation.tool
    parts = (
        tool.name,
        canonical_arguments(invocation.arguments),
        call.principal.id,
        call.session_id,
        made_from,
    )
    return hashlib.sha256(repr(parts).encode(errors="replace")).hexdigest()
