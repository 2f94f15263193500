"""Turns chunks and answers of OpenAI's chat completions protocol into ours."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from iskra_sdk.errors import ProviderProtocolError
from iskra_sdk.llm import LLMAnswer, LLMChunk, ToolCallDelta, Usage
from iskra_sdk.message import Message, ToolCall, clean_text


class WrongShapeError(ValueError):
    """The upstream sent JSON of another shape than the protocol's, or no JSON at all."""


def decode(data: bytes) -> dict[str, Any]:
    """Decode a JSON object whose text is fit for databases and other parsers.

    Raises:
        WrongShapeError: It is no JSON object.
    """
    try:
        wire = orjson.loads(data)
        if b"\\u0000" in data:
            wire = _cleaned(wire)
    except orjson.JSONDecodeError:
        wire = _decode_leniently(data)
    if type(wire) is not dict:
        raise WrongShapeError(f"a JSON {type(wire).__name__} instead of an object")
    return wire


def _decode_leniently(data: bytes) -> object:
    """Decode what is almost JSON: lone surrogates, raw control characters, broken UTF-8."""
    try:
        return _cleaned(json.loads(data.decode(errors="replace"), strict=False))
    except (ValueError, RecursionError) as exc:
        raise WrongShapeError("something that is no JSON, or only a part of it") from exc


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): _cleaned(item) for key, item in value.items()}
    return value


class ChunkReader:
    """Reads the chunks of one stream, in order.

    Attributes:
        is_finished: The finish reason has passed.
    """

    __slots__ = ("_call_ids", "_pending_usage", "_usage_told", "is_finished")

    def __init__(self) -> None:
        self.is_finished = False
        self._call_ids: list[str] = []
        self._pending_usage: Usage | None = None
        self._usage_told = False

    def read(self, wire: dict[str, Any]) -> LLMChunk:
        """Turn a decoded chunk into ours.

        Raises:
            WrongShapeError: It is of another shape.
        """
        try:
            choices = wire.get("choices")
            text = reasoning = ""
            tool_calls: tuple[ToolCallDelta, ...] = ()
            finish_reason = None
            if choices:
                choice = choices[0]
                if choice.get("index"):
                    choice = next((other for other in choices if not other.get("index")), {})
                delta = choice.get("delta")
                if delta:
                    text = delta.get("content") or ""
                    if type(text) is not str:
                        text = _text_of_parts(text)
                    reasoning = _reasoning(delta)
                    if calls := delta.get("tool_calls"):
                        tool_calls = tuple([self._tool_call(call) for call in calls])
                finish_reason = choice.get("finish_reason") or None
                if finish_reason is not None:
                    finish_reason = None if self.is_finished else str(finish_reason)
                    self.is_finished = True
            usage = wire.get("usage")
            if usage is not None:
                usage = self._usage(usage)
            return LLMChunk(text, reasoning, tool_calls, finish_reason, usage, wire)
        except (AttributeError, TypeError, KeyError, IndexError) as exc:
            raise WrongShapeError("JSON of another shape than a chunk's") from exc

    def remaining_usage(self) -> Usage | None:
        """Return the usage if it was told too early and never again."""
        return None if self._usage_told else self._pending_usage

    def _usage(self, wire: Mapping[str, Any]) -> Usage | None:
        """Pass on the count of the whole call only: some servers tell a running count with every chunk."""
        self._pending_usage = read_usage(wire)
        if not self.is_finished or self._usage_told or self._pending_usage is None:
            return None
        self._usage_told = True
        return self._pending_usage

    def _tool_call(self, call: Mapping[str, Any]) -> ToolCallDelta:
        function = call.get("function") or {}
        call_id = str(call.get("id") or "")
        position = call.get("index")
        if type(position) is not int or position < 0:
            # Without an index, a new id begins a new call and no id continues the last one.
            if call_id and call_id not in self._call_ids:
                self._call_ids.append(call_id)
            position = self._call_ids.index(call_id) if call_id else max(len(self._call_ids) - 1, 0)
        return ToolCallDelta(position, call_id, str(function.get("name") or ""), _arguments(function))


def read_answer(wire: dict[str, Any]) -> LLMAnswer:
    """Turn a decoded whole answer into ours.

    Raises:
        WrongShapeError: It is of another shape.
    """
    try:
        choice = wire["choices"][0]
        message = choice["message"]
        content = message.get("content") or ""
        calls = [
            ToolCall(
                str(call.get("id") or f"call_{position}"),
                str(call["function"]["name"]),
                _arguments(call["function"]) or "{}",
            )
            for position, call in enumerate(message.get("tool_calls") or ())
        ]
        finish_reason = choice.get("finish_reason")
        if not finish_reason:
            raise ProviderProtocolError(
                "The upstream's answer has no finish reason; it is probably cut.",
                mend="Try again; if it stays, look at the upstream's logs.",
            )
        usage = wire.get("usage")
        return LLMAnswer(
            Message.assistant(content if type(content) is str else _text_of_parts(content), calls),
            str(finish_reason),
            None if usage is None else read_usage(usage),
            _reasoning(message),
            "",
            wire,
        )
    except (AttributeError, TypeError, KeyError, IndexError) as exc:
        raise WrongShapeError("JSON of another shape than an answer's") from exc


def chunks_of_answer(wire: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return the chunks a server should have streamed instead of this whole answer.

    Raises:
        WrongShapeError: It is no answer.
    """
    try:
        choice = wire["choices"][0]
        delta = dict(choice["message"])
    except (TypeError, KeyError, IndexError, ValueError) as exc:
        raise WrongShapeError("JSON of another shape than an answer's") from exc
    frame = {"id": wire.get("id"), "created": wire.get("created"), "model": wire.get("model")}
    frame["object"] = "chat.completion.chunk"
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": position, **call} for position, call in enumerate(calls)]
    content = {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    end = {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": choice.get("finish_reason")}]}
    usage = [{**frame, "choices": [], "usage": wire["usage"]}] if wire.get("usage") else []
    return [content, end, *usage]


def read_usage(wire: Mapping[str, Any]) -> Usage | None:
    """Read token counts; ``None`` where there are none."""
    prompt, completion = wire.get("prompt_tokens"), wire.get("completion_tokens")
    if type(prompt) is not int and type(completion) is not int:
        return None
    return Usage(prompt if type(prompt) is int else 0, completion if type(completion) is int else 0)


def _reasoning(delta: Mapping[str, Any]) -> str:
    """Return the thinking, under the names that servers give it."""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    return reasoning if type(reasoning) is str else ""


def _arguments(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments")
    if arguments is None:
        return ""
    return arguments if type(arguments) is str else orjson.dumps(arguments).decode()


def _text_of_parts(content: object) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
