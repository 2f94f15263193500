"""Notices that a model goes in circles: the same calls with the same results, again and again."""

import hashlib
import re
from collections import deque
from collections.abc import Sequence

from pydantic_core import from_json

from iskra_sdk.approval import canonical_arguments
from iskra_sdk.errors import RepeatedCallsError
from iskra_sdk.message import ToolCall, ToolResult

TIMES = 3
"""The same step so many times in a row is a loop."""

_TIME_TAKEN = re.compile(r"\b\d+\.\d+(?=\s?(?:s|ms|secs?|seconds)\b)")
"""How long something took: a command that is run again takes a little longer, and that alone is no new result."""

Step = frozenset[str]


class CallRepetition:
    """Watches the tool calls of one turn.

    A step is what one model answer asked for, with what came of it. Three equal steps in a row, or two steps that
    alternate twice (A B A B), are a loop. The model is told first; if it goes on all the same, the turn ends. A call
    whose result changes is never a loop: polling is allowed. Results that differ only in fractions of seconds, as the
    times that commands and test runs took do, or in the id of the call itself, are the same.

    Args:
        turn_id: The turn; the ids of its calls begin with it.

    Attributes:
        advice: What the model should be told with its next call; empty for nothing.
    """

    def __init__(self, turn_id: str) -> None:
        self.advice = ""
        self._call_id = re.compile(rf"{re.escape(turn_id)}\W\d+")  # long results name the artefact of their call
        self._steps: deque[Step] = deque(maxlen=4)
        self._told_about: frozenset[Step] = frozenset()

    def note(self, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
        """Take note of a step.

        Raises:
            RepeatedCallsError: The model was told, and repeats the step all the same.
        """
        step = frozenset(self._fingerprint(call, result) for call, result in zip(calls, results, strict=True))
        self._steps.append(step)
        names = ", ".join(sorted({call.name for call in calls}))
        if step in self._told_about:
            raise RepeatedCallsError(
                f"The model repeats the same tool calls ({names}) with the same results and does not stop.",
                mend="Say more exactly what you want, or use another model.",
            )
        self.advice = ""
        self._told_about = self._loop()
        if self._told_about:
            self.advice = (
                f"You have made the same tool calls ({names}) several times and got the same results each time. "
                "Making them again will not change that. Do something else, or tell the user what keeps you from it."
            )

    def _loop(self) -> frozenset[Step]:
        """Return the steps that the model goes round in; none if it does not."""
        steps = list(self._steps)
        if len(steps) >= TIMES and len(set(steps[-TIMES:])) == 1:
            return frozenset(steps[-1:])
        if len(steps) == 4 and steps[0] == steps[2] != steps[1] == steps[3]:
            return frozenset(steps)
        return frozenset()

    def _fingerprint(self, call: ToolCall, result: ToolResult) -> str:
        try:
            arguments = canonical_arguments(from_json(call.arguments or "{}"))
        except (ValueError, AttributeError, TypeError):
            arguments = call.arguments
        content = _TIME_TAKEN.sub("#", self._call_id.sub("#", result.content))
        text = "\0".join((call.name, arguments, result.error_code, content))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
