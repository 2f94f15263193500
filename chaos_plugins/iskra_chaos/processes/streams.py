"""Streams of answers that end with the block they are read in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iskra_sdk.llm import LLMChunk


@asynccontextmanager
async def closed_at_end(stream: AsyncIterator[LLMChunk]) -> AsyncIterator[AsyncIterator[LLMChunk]]:
    """Close a stream at the end of the block; one that cannot be closed, as other plugins may make, is left alone."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
