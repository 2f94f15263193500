"""Answers of models, kept for requests that are the same in everything that decides the answer."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from iskra_plugins.caches.cache import Cache
from iskra_sdk import LLMRequest, Message, Risk
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import AnswerBuilder, LLMAnswer, LLMChunk, ToolCallDelta
from iskra_sdk.tool import Tool

_KEEPABLE = frozenset({"stop", "tool_calls"})
"""How an answer must have ended; one that was cut or filtered is not what the model would say."""
_FORM_MATTERS = frozenset({"audio", "logprobs", "modalities", "n"})
"""Parameters that put more into an answer than text and tool calls; a stream then does not stand for a whole answer."""
_IN_CHUNKS = frozenset({"role", "content", "tool_calls", "reasoning", "reasoning_content"})
"""What a stream of ours can say of a message."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, as a stream and, if it was asked for whole, as it came.

    Attributes:
        chunks: The stream.
        message: The message of a whole answer.
        body: The upstream's body of a whole answer, if it speaks OpenAI's protocol.
        target: ``provider/model`` of a whole answer.
    """

    chunks: tuple[LLMChunk, ...]
    message: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    target: str = ""


class Answers:
    """Wraps model calls.

    Only requests with ``temperature`` 0, or for an alias that an admin names, are looked up. What is kept is the whole
    answer; errors, cut streams and answers that ask for tools with an effect are not.

    Args:
        cache: Holds the answers.
        aliases: Aliases whose answers are kept whatever the temperature.
        is_shared: Whether users share answers; otherwise everybody has their own.
        tools: Returns the tools of the moment.
    """

    def __init__(
        self,
        cache: Cache[KeptAnswer],
        *,
        aliases: frozenset[str],
        is_shared: bool,
        tools: Callable[[], Mapping[str, Tool]],
    ) -> None:
        self.cache = cache
        self._aliases = aliases
        self._is_shared = is_shared
        self._tools = tools

    async def stream(self, request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        """Return a kept answer as a stream, or the model's, which is kept when it has come to its end."""
        if not self._may_keep(request):
            return await _proceeded(proceed, request)
        key = self._key(request, "stream")
        kept = await self._kept(key)
        if kept is not None:
            return _replayed(kept.chunks)
        return self._kept_on_the_way(key, await _proceeded(proceed, request))

    async def complete(self, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
        """Return a kept answer whole, or the model's, which is kept."""
        if not self._may_keep(request):
            return await _answered(proceed, request)
        key = self._key(request, "whole")
        kept = await self._kept(key)
        if kept is not None:
            return _whole(kept)
        answer = await _answered(proceed, request)
        if self._is_worth_keeping(answer):
            size = len(to_json([answer.message.wire, answer.wire, answer.reasoning], fallback=str)) * 4
            await self.cache.put(key, _taken_apart(answer), size)
        return answer

    def _may_keep(self, request: LLMRequest) -> bool:
        return request.parameters.get("temperature") == 0 or request.model.partition("/")[0] in self._aliases

    def _key(self, request: LLMRequest, form: str) -> str:
        caller = "" if self._is_shared else request.caller.principal_id
        asked = [
            caller,
            request.model,
            [message.wire for message in request.messages],
            request.wire_tools,
            dict(sorted(request.parameters.items())),
            form if _FORM_MATTERS & request.parameters.keys() else "",
        ]
        return hashlib.sha256(to_json(asked, fallback=str)).hexdigest()

    async def _kept(self, key: str) -> KeptAnswer | None:
        """Return a kept answer, if it may still be given: a tool that it asks for may have got an effect since."""
        kept = await self.cache.get(key)
        return kept if kept is not None and self._is_worth_keeping(_whole(kept)) else None

    async def _kept_on_the_way(self, key: str, stream: AsyncIterator[LLMChunk]) -> AsyncIterator[LLMChunk]:
        chunks: list[LLMChunk] = []
        size = 0
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk.text) + len(chunk.reasoning) + 200
            yield chunk
        # Only a stream that was read to its end comes here.
        kept = KeptAnswer(tuple(chunks))
        if self._is_worth_keeping(_whole(kept)):
            await self.cache.put(key, kept, size * 2)

    def _is_worth_keeping(self, answer: LLMAnswer) -> bool:
        if answer.finish_reason not in _KEEPABLE:
            return False
        if not answer.message.text and not answer.message.tool_calls:
            return False
        said = {name for name, value in answer.message.wire.items() if value not in (None, "", [])}
        if said - _IN_CHUNKS or not isinstance(answer.message.wire.get("content"), str | None):
            return False
        tools = self._tools()
        return all(call.name in tools and tools[call.name].risk is Risk.READ for call in answer.message.tool_calls)


async def _proceeded(proceed: Proceed, request: LLMRequest) -> AsyncIterator[LLMChunk]:
    stream: AsyncIterator[LLMChunk] = await proceed(request)
    return stream


async def _answered(proceed: Proceed, request: LLMRequest) -> LLMAnswer:
    answer: LLMAnswer = await proceed(request)
    return answer


def _taken_apart(answer: LLMAnswer) -> KeptAnswer:
    calls = tuple(
        ToolCallDelta(position, call.id, call.name, call.arguments)
        for position, call in enumerate(answer.message.tool_calls)
    )
    chunks = (
        LLMChunk(text=answer.message.text, reasoning=answer.reasoning, tool_calls=calls),
        LLMChunk(finish_reason=answer.finish_reason),
    )
    return KeptAnswer(chunks, dict(answer.message.wire), answer.wire, answer.target)


def _whole(kept: KeptAnswer) -> LLMAnswer:
    builder = AnswerBuilder()
    for chunk in kept.chunks:
        builder.add(chunk)
    finish_reason = builder.finish_reason or ""
    builder.finish_reason = finish_reason  # a stream without one is joined too, and is not worth keeping
    built = builder.build()
    return LLMAnswer(
        message=built.message if kept.message is None else Message(kept.message),
        finish_reason=finish_reason,
        reasoning=built.reasoning,
        target=kept.target,
        # Whoever passes it on writes its own id into it.
        wire=None if kept.body is None else dict(kept.body),
    )


async def _replayed(chunks: tuple[LLMChunk, ...]) -> AsyncIterator[LLMChunk]:
    for chunk in chunks:
        # The tokens were paid for once.
        yield chunk._replace(usage=None) if chunk.usage is not None else chunk
