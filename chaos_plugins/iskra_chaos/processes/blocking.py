"""Refuses tool calls that go in circles, while pattern_break is in force."""

import hashlib
import logging
from collections.abc import Callable
from typing import Any

from iskra_chaos.processes.perturbed_session import PerturbedSession
from iskra_metrics.loops import fingerprint
from iskra_sdk.interceptor import Proceed
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import ToolInvocation

logger = logging.getLogger(__name__)

_LONGEST_COMPARED = 64_000
"""Characters of a result that are parsed; a longer one is compared as it is, which takes no time."""

REFUSAL = (
    "Refused: the same call has now brought the same result {times} times. Asking again will not change it. "
    "Use what you know, ask for something else, or tell the user what is missing."
)


class Blocking:
    """The interceptor of ``tool.call``. Where it fails itself, the call is made as if it were not there.

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
        session, asked, times = self._judged(invocation)
        if session is None:
            return await proceed(invocation)
        if times:
            return ToolResult(REFUSAL.format(times=times), is_error=True)
        result = await proceed(invocation)
        self._take_in(session, invocation, asked, result)
        return result

    def _judged(self, invocation: ToolInvocation) -> tuple[PerturbedSession | None, str, int]:
        """Return the operation in force, the fingerprint of the call, and how often it was answered the same."""
        try:
            session = self._find(invocation.context.session_id)
            if session is None:
                return None, "", 0
            asked = fingerprint(invocation.tool.name, invocation.arguments, "")
            times = session.circle_of(invocation.context.turn_id).refuses(asked)
            session.process.requested += 1
            if times:
                session.process.applied += 1
                self._note(session, invocation.tool.name)
        except Exception:
            logger.exception("judging a tool call failed", extra={"tool": invocation.tool.name})
            return None, "", 0
        return session, asked, times

    def _take_in(self, session: PerturbedSession, invocation: ToolInvocation, asked: str, result: object) -> None:
        try:
            content = result.content if isinstance(result, ToolResult) else repr(result)
            if len(content) > _LONGEST_COMPARED:
                content = hashlib.sha256(content.encode(errors="replace")).hexdigest()
            answered = fingerprint(invocation.tool.name, invocation.arguments, content)
            session.circle_of(invocation.context.turn_id).note(asked, answered)
        except Exception:
            logger.exception("comparing a tool result failed", extra={"tool": invocation.tool.name})
