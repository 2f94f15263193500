"""An answer that is held back until it is whole, so that it can be checked before anybody sees it."""

from collections.abc import AsyncGenerator, AsyncIterator

from iskra_sdk.llm import AnswerBuilder, LLMChunk, Usage

MOST_HELD = 60_000
"""Characters that are held back; a longer answer is passed on unchecked."""


class HeldAnswer:
    """Takes in a stream and gives out what may be seen meanwhile: the model's thinking, and calls of tools."""

    def __init__(self) -> None:
        self._held: list[LLMChunk] = []
        self._builder = AnswerBuilder()
        self._size = 0
        self.is_passed_on = False
        """It calls tools or is too long: everything is shown as it comes."""

    @property
    def text(self) -> str:
        """Its text so far."""
        return self._builder.text

    @property
    def finish_reason(self) -> str | None:
        """How it ended; ``None`` where it broke off."""
        return self._builder.finish_reason

    @property
    def usage(self) -> Usage | None:
        """Tokens, where they were counted."""
        return self._builder.usage

    @property
    def chunks(self) -> list[LLMChunk]:
        """What is held back, as it came."""
        return self._held

    async def take(self, stream: AsyncIterator[LLMChunk]) -> AsyncGenerator[LLMChunk]:
        """Yield what is shown at once."""
        async for chunk in stream:
            self._builder.add(chunk)
            if self.is_passed_on:
                yield chunk
                continue
            if chunk.reasoning and not (chunk.text or chunk.tool_calls or chunk.finish_reason or chunk.usage):
                yield chunk
                continue
            self._held.append(chunk)
            self._size += len(chunk.text)
            if chunk.tool_calls or self._size > MOST_HELD:
                self.is_passed_on = True
                for kept in self._held:
                    yield kept
