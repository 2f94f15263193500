"""Chat completions straight from the router: no session, no turn, the client's own tools and parameters.

This is the hot path. A chunk is decoded by the provider once and encoded here once.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import orjson

from iskra.http.chat_wire import NO_USAGE, ChunkWriter, completion, completion_id, wants_stream, wants_usage
from iskra.http.client_watch import ClientWatch, WatchedClient
from iskra.http.exchange import Exchange
from iskra.http.problems import openai_error, unexpected
from iskra.http.request_labels import request_labels
from iskra.http.sse import DONE, EventStream, encode_data
from iskra.llm import LLMRouter
from iskra.plugin_host import PluginHost
from iskra_sdk.errors import IskraError
from iskra_sdk.llm import Caller, LLMChunk, LLMRequest
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

PREFIX = "llm:"

_NOT_PARAMETERS = frozenset({"model", "messages", "tools", "stream", "stream_options"})
_dumps = orjson.dumps


class Gateway:
    """Answers chat completions for the models ``llm:<alias>`` and ``llm:<alias>/<upstream model>``."""

    def __init__(self, llm: LLMRouter, plugins: PluginHost, watch: ClientWatch) -> None:
        self._llm = llm
        self._plugins = plugins
        self._watch = watch

    async def answer(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        *,
        model: str,
        messages: list[dict[str, Any]],
        alias: str = "",
    ) -> None:
        """Answer a request.

        Args:
            model: The model id that the answer shows.
            messages: The conversation.
            alias: The alias to call, where it is not the one in ``model``.
        """
        tools = body.get("tools") if not alias else None
        request = LLMRequest(
            messages=[Message(message) for message in messages],
            model=alias or model[len(PREFIX) :],
            tools=tools if isinstance(tools, list) else (),
            parameters={name: value for name, value in body.items() if name not in _NOT_PARAMETERS},
            caller=Caller(principal_id=exchange.principal.id, labels=request_labels(exchange)),
        )
        with self._plugins.lease() as lease:
            providers = lease.catalog.providers
            if wants_stream(body):
                chunks = cast("AsyncGenerator[LLMChunk]", self._llm.stream(request, providers))
                async with aclosing(chunks):
                    await self._stream(exchange, chunks, model, with_usage=wants_usage(body))
                return
            async with WatchedClient(exchange, self._watch) as client:
                answer = await self._llm.complete(request, providers)
            if client.is_gone:
                return
            wire = answer.wire
            if wire is None:
                wire = completion(
                    model,
                    answer.message.text,
                    usage=answer.usage.wire if answer.usage else NO_USAGE,
                    reasoning=answer.reasoning,
                    finish_reason=answer.finish_reason,
                    tool_calls=[call.wire for call in answer.message.tool_calls],
                )
            else:
                wire["id"] = completion_id()
                wire["model"] = model
            await exchange.respond(200, _dumps(wire))

    async def _stream(
        self, exchange: Exchange, chunks: AsyncGenerator[LLMChunk], model: str, *, with_usage: bool
    ) -> None:
        writer = ChunkWriter(model)
        answer_id = writer.id
        async with EventStream(exchange, self._watch) as stream:
            write = stream.write
            try:
                async for chunk in chunks:
                    wire = chunk.wire
                    if wire is None:
                        await write(_synthetic(writer, chunk, with_usage=with_usage))
                        continue
                    choices = wire.get("choices")
                    if choices:
                        for choice in choices:
                            if "finish_reason" not in choice:
                                choice["finish_reason"] = None
                    elif chunk.usage is not None and not with_usage:
                        continue
                    wire["id"] = answer_id
                    wire["model"] = model
                    await write(b"data: " + _dumps(wire) + b"\n\n")
            except IskraError as error:
                if not exchange.is_started:
                    raise
                await stream.finish(encode_data(openai_error(error, exchange.correlation_id)))
            except Exception as error:
                if not exchange.is_started:
                    raise
                logger.error("stream failed", exc_info=error)
                document = openai_error(unexpected(exchange.correlation_id), exchange.correlation_id)
                await stream.finish(encode_data(document))
            else:
                await stream.finish(DONE)


def _synthetic(writer: ChunkWriter, chunk: LLMChunk, *, with_usage: bool) -> bytes:
    """Return chunks for a provider that does not speak OpenAI's protocol."""
    delta: dict[str, object] = {}
    if chunk.text:
        delta["content"] = chunk.text
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
    if chunk.tool_calls:
        delta["tool_calls"] = [
            {
                "index": piece.position,
                **({"id": piece.id, "type": "function"} if piece.id else {}),
                "function": {**({"name": piece.name} if piece.name else {}), "arguments": piece.arguments},
            }
            for piece in chunk.tool_calls
        ]
    encoded = b""
    if delta or chunk.finish_reason:
        encoded = writer.delta(delta, chunk.finish_reason)
    if chunk.usage is not None and with_usage:
        encoded += writer.usage(chunk.usage.wire)
    return encoded
