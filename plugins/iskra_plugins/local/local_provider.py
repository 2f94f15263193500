"""The provider ``local``: turns model calls into requests to model processes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from iskra_plugins.local.model_process import ModelProcess
from iskra_sdk import LLMChunk, LLMProvider, LLMRequest, Message, ToolCallDelta, Usage
from iskra_sdk.errors import LLMError, ProviderRejectedError, ProviderUnavailableError

# OpenAI's names first, then what llama.cpp has besides; others are left out.
_PARAMETERS = frozenset(
    {"temperature", "top_p", "stop", "seed", "max_tokens", "presence_penalty", "frequency_penalty", "logit_bias"}
    | {"tool_choice", "top_k", "min_p", "typical_p", "repeat_penalty", "mirostat_mode", "mirostat_tau", "mirostat_eta"}
)


class LocalProvider(LLMProvider):
    """Answers with models on this machine.

    Args:
        processes: One per model.
    """

    name = "local"

    def __init__(self, processes: Sequence[ModelProcess]) -> None:
        self._processes = {process.name: process for process in processes}

    async def stream(self, request: LLMRequest, model: str) -> AsyncGenerator[LLMChunk, None]:
        """Stream one answer; calls to one model run one after the other."""
        process = self._processes.get(model)
        if process is None:
            raise ProviderRejectedError(
                f"There is no local model {model!r}.",
                upstream_status=404,
                mend=f"Configured are: {', '.join(self._processes)}.",
            )
        async with aclosing(process.generate(_arguments(request))) as answers:
            async for answer in answers:
                chunk = _chunk(answer)
                if chunk is not None:
                    yield chunk

    async def models(self) -> Sequence[str]:
        """Return the configured names."""
        return tuple(self._processes)

    async def check(self) -> str:
        """Return what each model does, or raise if none can be used."""
        sentences: list[str] = []
        failed = 0
        for process in self._processes.values():
            try:
                sentences.append(await process.check())
            except LLMError as error:
                failed += 1
                sentences.append(error.message)
        if failed == len(self._processes):
            raise ProviderUnavailableError(" ".join(sentences))
        return "; ".join(sentences)

    async def aclose(self) -> None:
        """End all children."""
        for process in self._processes.values():
            await process.aclose()


def _arguments(request: LLMRequest) -> dict[str, object]:
    arguments: dict[str, object] = {key: value for key, value in request.parameters.items() if key in _PARAMETERS}
    if arguments.get("max_tokens") is None and "max_completion_tokens" in request.parameters:
        arguments["max_tokens"] = request.parameters["max_completion_tokens"]
    response_format = _response_format(request.parameters.get("response_format"))
    if response_format is not None:
        arguments["response_format"] = response_format
    if request.tools:
        arguments["tools"] = request.wire_tools
    arguments = {key: value for key, value in arguments.items() if value is not None}
    return {**arguments, "messages": [_message(message) for message in request.messages]}


def _response_format(wanted: object) -> dict[str, object] | None:
    """Translate OpenAI's ``json_schema`` to what llama-cpp-python makes a grammar of."""
    if not isinstance(wanted, Mapping) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, Mapping) else wanted.get("schema")
    return {"type": "json_object", **({"schema": schema} if schema is not None else {})}


def _message(message: Message) -> Mapping[str, object]:
    content = message.wire.get("content")
    if isinstance(content, str):
        return message.wire
    if isinstance(content, list) and any(part.get("type") != "text" for part in content if isinstance(part, dict)):
        raise ProviderRejectedError(
            "Local models read text only; the message has parts of another kind.", upstream_status=400
        )
    # Chat templates of model files expect text, also where OpenAI's shape has parts or null.
    return {**message.wire, "content": message.text}


def _chunk(answer: Mapping[str, Any]) -> LLMChunk | None:
    if "done" in answer:
        return LLMChunk(usage=Usage(**answer["done"]))
    choice = answer["chunk"]
    delta = choice["delta"]
    calls = tuple(
        ToolCallDelta(
            call["index"], call.get("id") or "", call["function"].get("name") or "", call["function"]["arguments"]
        )
        for call in delta.get("tool_calls") or ()
    )
    chunk = LLMChunk(text=delta.get("content") or "", tool_calls=calls, finish_reason=choice.get("finish_reason"))
    return chunk if chunk.text or chunk.tool_calls or chunk.finish_reason else None


def _tool_call(call: Mapping[str, Any]) -> ToolCallDelta:
    function = call["function"]
    return ToolCallDelta(call["index"], call.get("id") or "", function.get("name") or "", function["arguments"])
