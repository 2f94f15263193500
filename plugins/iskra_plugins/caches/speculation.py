"""Runs reads that are likely to come next while the model still thinks, so that they are in the cache when it asks.

What is likely is learned: after a certain read, this user's agents often made a certain other read. It never runs a
call with an effect, nor a tool about which anybody was ever asked, and it stays within a budget.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Risk, Tool, ToolContext, ToolResult
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.interceptor import Proceed
from iskra_sdk.tool import ToolInvocation

logger = logging.getLogger(__name__)

_REMEMBERED = 5000
"""Reads whose successors are remembered."""
_SUCCESSORS = 8
_LEAST_COUNT = 2
_LEAST_SHARE = 0.5
_SESSIONS = 1000

_Call = tuple[str, str]  # tool and canonical arguments


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be run ahead after one read.

    Attributes:
        calls: Reads.
        seconds: All of them together.
    """

    calls: int
    seconds: float


class Speculation:
    """Learns which read follows which, and runs likely ones ahead.

    Args:
        results: The cache that what is run ahead goes to.
        budget: How much may be run ahead.
        start: Starts a background task of the plugin.
        tools: Returns the tools of the moment; none is held on to, so that their plugins can go.

    Attributes:
        ahead: Reads that were run ahead.
        used: Those that were asked for afterwards.
    """

    def __init__(
        self,
        results: ToolResults,
        budget: Budget,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        tools: Callable[[], Mapping[str, Tool]],
    ) -> None:
        self.ahead = 0
        self.used = 0
        self._results = results
        self._budget = budget
        self._start = start
        self._tools = tools
        self._next: OrderedDict[tuple[str, _Call], Counter[_Call]] = OrderedDict()
        self._last: OrderedDict[str, _Call] = OrderedDict()
        self._pending: set[tuple[str, _Call]] = set()
        self._asked_about: set[str] = set()

    def somebody_was_asked(self, tool: str) -> None:
        """Never run this tool ahead."""
        self._asked_about.add(tool)

    async def around(self, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
        """Run a call, note what it followed, and run ahead what is likely to follow it."""
        result: ToolResult = await proceed(invocation)
        if invocation.tool.risk is not Risk.READ or not invocation.tool.reads or result.is_error:
            return result
        user, session = invocation.context.principal.id, invocation.context.session_id
        call = (invocation.tool.name, canonical_arguments(invocation.arguments))
        if (session, call) in self._pending:
            self._pending.discard((session, call))
            self.used += 1
        self._learn(user, session, call)
        likely = self._likely(user, call)
        if likely:
            self._start(lambda: self._run_ahead(session, likely, invocation.context))
        return result

    def _learn(self, user: str, session: str, call: _Call) -> None:
        before = self._last.get(session)
        self._last[session] = call
        self._last.move_to_end(session)
        if len(self._last) > _SESSIONS:
            self._last.popitem(last=False)
        if before is None or before == call:
            return
        followers = self._next.setdefault((user, before), Counter())
        followers[call] += 1
        if len(followers) > _SUCCESSORS:
            del followers[min(followers, key=lambda known: followers[known])]
        self._next.move_to_end((user, before))
        if len(self._next) > _REMEMBERED:
            self._next.popitem(last=False)

    def _likely(self, user: str, call: _Call) -> list[_Call]:
        """Return the reads that are likely to follow, and to follow those, within the budget."""
        found: list[_Call] = []
        seen = {call}
        while len(found) < self._budget.calls:
            followers = self._next.get((user, call))
            if not followers:
                break
            call, count = followers.most_common(1)[0]
            if call in seen or count < _LEAST_COUNT or count / followers.total() < _LEAST_SHARE:
                break
            if call[0] in self._asked_about:
                break
            seen.add(call)
            found.append(call)
        return found

    async def _run_ahead(self, session: str, likely: list[_Call], context: ToolContext) -> None:
        async def run(invocation: ToolInvocation) -> ToolResult:
            self.ahead += 1
            self._pending.add((session, call))
            return await invocation.tool.run(invocation.arguments, invocation.context)

        try:
            async with asyncio.timeout(self._budget.seconds):
                for call in likely:
                    tool = self._tools().get(call[0])
                    if tool is None or tool.risk is not Risk.READ:
                        return
                    if (session, call) not in self._pending:
                        await self._results.around(ToolInvocation(tool, tool.validate(call[1]), context), run)
        except TimeoutError:
            logger.debug("no time left to run ahead")
        except Exception as exc:  # a read that fails now fails again, and is told, when it is asked for
            logger.debug("a read that was run ahead failed", extra={"cause": str(exc)[:200]})
        if len(self._pending) > _REMEMBERED:
            self._pending.clear()

    @property
    def facts(self) -> dict[str, int]:
        """How it stands, for people."""
        return {"run_ahead": self.ahead, "used": self.used, "wasted": max(0, self.ahead - self.used)}
