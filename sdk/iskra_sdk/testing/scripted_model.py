"""A model that says what a test wrote down."""

import asyncio
import inspect
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.errors import LLMError
from iskra_sdk.llm import LLMAnswer, LLMChunk, LLMProvider, LLMRequest, ToolCallDelta, Usage
from iskra_sdk.message import ToolCall

_WORDS = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence in a stream; endless by default, until the call is cancelled or timed out."""

    seconds: float = math.inf


Step = str | LLMChunk | ToolCall | Pause | BaseException
"""A piece of a streamed reply; an exception is raised at its place."""

Reply = Step | LLMAnswer | Sequence[Step] | Callable[[LLMRequest], "Reply | Awaitable[Reply]"]
"""What the model does with one request.

A ``str`` is streamed word by word and an ``LLMAnswer`` is taken as it is. A sequence is streamed piece by piece; the
finish reason and the usage are added, unless it holds an ``LLMChunk`` (then the test writes the whole stream, and may
leave the end out) or an exception. A callable gets the request and returns any of these.
"""


class ScriptedModel(LLMProvider):
    """Answers requests with the given replies, in order, and keeps the requests.

    Attributes:
        requests: The requests so far.
        models_asked: The upstream model of each request.
        abandoned: How many streams were closed or cancelled before their end.

    Args:
        replies: One for each request.
        name: The provider's name in targets.
        models: What :meth:`models` lists.
        clock: What pauses are measured with.
        repeat: Begin again after the last reply instead of failing.
    """

    def __init__(
        self,
        *replies: Reply,
        name: str = "scripted",
        models: Sequence[str] = ("scripted",),
        clock: Clock | None = None,
        repeat: bool = False,
    ) -> None:
        self.name = name
        self.requests: list[LLMRequest] = []
        self.models_asked: list[str] = []
        self.abandoned = 0
        self._script: list[Reply] = list(replies)
        self._replies: list[Reply] = list(replies)
        self._models = tuple(models)
        self._clock: Clock = clock or SystemClock()
        self._repeat = repeat

    def add(self, *replies: Reply) -> None:
        """Append replies for coming requests."""
        self._script.extend(replies)
        self._replies.extend(replies)

    @property
    def remaining(self) -> int:
        """How many replies have not been used."""
        return len(self._replies)

    async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        """Stream the next reply."""
        steps = await self._next_steps(request, model)
        is_complete = False
        try:
            for step in steps:
                if isinstance(step, Pause):
                    await self._pause(step.seconds)
                elif isinstance(step, BaseException):
                    is_complete = True
                    raise step
                elif isinstance(step, LLMChunk):
                    yield step
            is_complete = True
        finally:
            if not is_complete:
                self.abandoned += 1

    async def models(self) -> Sequence[str]:
        """Return the models' names."""
        return self._models

    async def _next_steps(self, request: LLMRequest, model: str) -> Sequence[LLMChunk | Pause | BaseException]:
        self.requests.append(request)
        self.models_asked.append(model)
        if not self._replies and self._repeat:
            self._replies = list(self._script)
        if not self._replies:
            raise LLMError(
                f"The scripted model {self.name!r} has no reply left for request {len(self.requests)}.",
                mend="Give it another reply, or repeat=True.",
            )
        reply: object = self._replies.pop(0)
        while callable(reply):
            reply = reply(request)
            if inspect.isawaitable(reply):
                reply = await reply
        return _steps(reply)

    async def _pause(self, seconds: float) -> None:
        if math.isinf(seconds):
            await asyncio.get_running_loop().create_future()
        await self._clock.sleep(seconds)


def _steps(reply: object) -> Sequence[LLMChunk | Pause | BaseException]:
    if isinstance(reply, LLMAnswer):
        return _answer_steps(reply)
    if isinstance(reply, str):
        reply = _WORDS.findall(reply) or [reply]
    elif isinstance(reply, Step) or not isinstance(reply, Sequence):
        reply = [reply]
    steps: list[LLMChunk | Pause | BaseException] = []
    calls = words = 0
    for step in reply:
        if isinstance(step, str):
            words += 1
            steps.append(LLMChunk(text=step))
        elif isinstance(step, ToolCall):
            steps.append(LLMChunk(tool_calls=(ToolCallDelta(calls, step.id, step.name, step.arguments),)))
            calls += 1
        elif isinstance(step, LLMChunk | Pause | BaseException):
            steps.append(step)
        else:
            raise TypeError(f"a scripted model cannot reply with {type(step).__name__}")
    if not any(isinstance(step, LLMChunk | BaseException) for step in reply):
        steps.append(LLMChunk(finish_reason="tool_calls" if calls else "stop"))
        steps.append(LLMChunk(usage=Usage(1, words + calls)))
    return steps


def _answer_steps(answer: LLMAnswer) -> Sequence[LLMChunk]:
    deltas = tuple(
        ToolCallDelta(position, call.id, call.name, call.arguments)
        for position, call in enumerate(answer.message.tool_calls)
    )
    return [
        LLMChunk(text=answer.message.text, reasoning=answer.reasoning, tool_calls=deltas),
        LLMChunk(finish_reason=answer.finish_reason),
        LLMChunk(usage=answer.usage),
    ]
