"""Refuses tool calls that go in circles, while pattern_break is in force."""

from collections.abc import Callable
from typing import Any

from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_metrics.loops import REPEATS, find_loop, fingerprint
from iskra_sdk.interceptor import Proceed
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import ToolInvocation

_REMEMBERED = 24

REFUSAL = (
    "Refused: the same call has now brought the same result {times} times. Asking again will not change it. "
    "Use what you know, ask for something else, or tell the user what is missing."
)


class Blocking:
    """The interceptor of ``tool.call``.

    Args:
        find: Returns the pattern_break in force in a session.
        note: Told of every call that is refused.
    """

    def __init__(
        self, find: Callable[[str], PerturbedSession | None], note: Callable[[PerturbedSession, str], None]
    ) -> None:
        self._find = find
        self._note = note

    async def around(self, invocation: ToolInvocation, proceed: Proceed) -> Any:
        """Run a call, unless it would only repeat what was answered the same before."""
        session = self._find(invocation.context.session_id)
        if session is None or session.blocks_left <= 0:
            return await proceed(invocation)
        own = f"{invocation.tool.name} {fingerprint(invocation.tool.name, invocation.arguments, '')}"
        session.process.requested += 1
        loop = find_loop([print_ for print_, _ in session.calls])
        if loop is not None and own in {asked for _, asked in session.calls[-loop.length :]}:
            session.blocks_left -= 1
            session.process.applied += 1
            self._note(session, invocation.tool.name)
            return ToolResult(REFUSAL.format(times=max(loop.repeats, REPEATS)), is_error=True)
        result: ToolResult = await proceed(invocation)
        print_ = fingerprint(invocation.tool.name, invocation.arguments, result.content)
        session.calls.append((print_, own))
        del session.calls[:-_REMEMBERED]
        return result
