# /// iskra-plugin
# name = "own_answers"
# permissions = ["interceptors"]
# ///
"""A plugin for the server under test: it answers model calls itself, so that no fault at a provider is ever met."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from iskra_sdk import hookimpl
from iskra_sdk.interceptor import Interceptor, Point
from iskra_sdk.llm import LLMChunk


async def answer(_request: Any, _proceed: Any) -> AsyncIterator[LLMChunk]:
    async def pieces() -> AsyncIterator[LLMChunk]:
        yield LLMChunk("Yes, done. END", finish_reason="stop")

    return pieces()


@hookimpl
def register_interceptors() -> Iterable[Interceptor]:
    return [Interceptor(Point.LLM_STREAM, answer)]
