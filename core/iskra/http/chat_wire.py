"""OpenAI's chat completions: what comes in, and how answers are written."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from iskra_sdk.errors import BadInputError

MESSAGES_LIMIT = 10_000

_dumps = orjson.dumps


def bad(message: str, param: str, *, mend: str = "") -> BadInputError:
    """Return the error about a parameter."""
    return BadInputError(message, mend=mend, facts={"param": param})


def model_of(body: Mapping[str, Any]) -> str:
    """Return the model a request names.

    Raises:
        BadInputError: It names none.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model or "\0" in model:
        raise bad("`model` must be the id of a model.", "model", mend="GET /v1/models lists them.")
    return model


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request.

    Raises:
        BadInputError: They are no list of messages.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or len(messages) > MESSAGES_LIMIT:
        raise bad("`messages` must be a list with at least one message.", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad(f"`messages[{index}]` must be an object with a `role`.", f"messages[{index}]")
    return messages


def wants_stream(body: Mapping[str, Any]) -> bool:
    """Return whether a request asks for a stream.

    Raises:
        BadInputError: The parameter is neither true nor false.
    """
    stream = body.get("stream")
    if stream is None or isinstance(stream, bool):
        return bool(stream)
    raise bad("`stream` must be true or false.", "stream")


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Return whether a stream shall end with its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def completion_id() -> str:
    """Return a new id of an answer."""
    return f"chatcmpl-{secrets.token_hex(12)}"


class ChunkWriter:
    """Writes the chunks of one streamed answer. Each carries a finish reason, null until the last.

    The parts of a chunk that stay the same are encoded once.
    """

    __slots__ = ("_has_role", "_head", "created", "id", "model")

    def __init__(self, model: str) -> None:
        self.id = completion_id()
        self.model = model
        self.created = int(time.time())
        self._has_role = False
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            _dumps(self.id),
            self.created,
            _dumps(model),
        )

    def delta(self, delta: Mapping[str, object], finish_reason: str | None = None) -> bytes:
        """Return a chunk."""
        if not self._has_role:
            self._has_role = True
            delta = {"role": "assistant", **delta}
        reason = b"null" if finish_reason is None else _dumps(finish_reason)
        return b'%b{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (self._head, _dumps(delta), reason)

    def text(self, text: str) -> bytes:
        """Return a chunk that adds to the answer."""
        if not self._has_role:
            return self.delta({"content": text})
        return b'%b{"index":0,"delta":{"content":%b},"finish_reason":null}]}\n\n' % (self._head, _dumps(text))

    def reasoning(self, text: str) -> bytes:
        """Return a chunk that adds to the visible thinking."""
        return self.delta({"reasoning_content": text})

    def finish(self, reason: str = "stop") -> bytes:
        """Return the terminal chunk."""
        return self.delta({}, reason)

    def usage(self, usage: Mapping[str, object]) -> bytes:
        """Return the chunk with the usage."""
        return b'%b],"usage":%b}\n\n' % (self._head, _dumps(usage))


def completion(
    model: str,
    text: str,
    *,
    usage: Mapping[str, object],
    reasoning: str = "",
    finish_reason: str = "stop",
    tool_calls: Sequence[Mapping[str, object]] = (),
) -> dict[str, object]:
    """Return a whole answer."""
    message: dict[str, object] = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning_content"] = reasoning
    if tool_calls:
        message["tool_calls"] = list(tool_calls)
        message["content"] = text or None
    return {
        "id": completion_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": usage,
    }


NO_USAGE: Mapping[str, object] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
