"""Answers of models, kept for requests that are the same in everything that decides the answer."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping

from pydantic_core import to_json

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_sdk import LLMRequest, Risk
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import AnswerBuilder, LLMAnswer, LLMChunk
from iskra_sdk.tool import Tool

_KEEPABLE = frozenset({"stop", "tool_calls"})
"""How an answer must have ended; one that was cut or filtered is not what the model would say."""


class Answers:
    """Wraps model calls.

    Only requests with ``temperature`` 0, or for an alias that an admin names, are looked up. What is kept is the whole
    answer; errors, cut streams and answers that ask for tools with an effect are not.

    Args:
        cache: Holds the chunks of answers.
        aliases: Aliases whose answers are kept whatever the temperature.
        is_shared: Whether users share answers; otherwise everybody has their own.
        tools: Returns the tools of the moment.
    """

    def __init__(
        self,
        cache: BoundedCache[tuple[LLMChunk, ...]],
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
        key = self._key(request)
        kept = self.cache.get(key)
        if kept is not None:
            return _replayed(kept)
        return self._kept_on_the_way(key, await _proceeded(proceed, request))

    async def complete(self, request: LLMRequest, proceed: Proceed) -> LLMAnswer:
        """Return a kept answer whole, or the model's. Whole answers are read from the cache and not added to it."""
        kept = self.cache.get(self._key(request)) if self._may_keep(request) else None
        if kept is None:
            answer: LLMAnswer = await proceed(request)
            return answer
        builder = AnswerBuilder()
        for chunk in kept:
            builder.add(chunk)
        return builder.build()

    def _may_keep(self, request: LLMRequest) -> bool:
        return request.parameters.get("temperature") == 0 or request.model.partition("/")[0] in self._aliases

    def _key(self, request: LLMRequest) -> str:
        caller = "" if self._is_shared else request.caller.principal_id
        asked = [
            caller,
            request.model,
            [message.wire for message in request.messages],
            request.wire_tools,
            dict(sorted(request.parameters.items())),
        ]
        return hashlib.sha256(to_json(asked, fallback=str)).hexdigest()

    async def _kept_on_the_way(self, key: str, stream: AsyncIterator[LLMChunk]) -> AsyncIterator[LLMChunk]:
        chunks: list[LLMChunk] = []
        size = 0
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk.text) + len(chunk.reasoning) + 200
            yield chunk
        # Only a stream that was read to its end comes here.
        if self._is_worth_keeping(chunks):
            self.cache.put(key, tuple(chunks), size * 2)

    def _is_worth_keeping(self, chunks: list[LLMChunk]) -> bool:
        builder = AnswerBuilder()
        for chunk in chunks:
            builder.add(chunk)
        if builder.finish_reason not in _KEEPABLE:
            return False
        tools = self._tools()
        return all(
            call.name in tools and tools[call.name].risk is Risk.READ for call in builder.build().message.tool_calls
        )


async def _proceeded(proceed: Proceed, request: LLMRequest) -> AsyncIterator[LLMChunk]:
    stream: AsyncIterator[LLMChunk] = await proceed(request)
    return stream


async def _replayed(chunks: tuple[LLMChunk, ...]) -> AsyncIterator[LLMChunk]:
    for chunk in chunks:
        # The tokens were paid for once.
        yield chunk._replace(usage=None) if chunk.usage is not None else chunk
