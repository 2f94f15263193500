"""Messages in OpenAI's chat shape, the one every provider and frontend understands."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic_core import from_json, to_json

from iskra_sdk.untrusted import mark

Role = Literal["system", "user", "assistant", "tool"]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Letters and marks that fonts draw as nothing; the rest of what is unseen has the categories Cc and Cf.
_DRAWN_AS_NOTHING = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def clean_text(text: str) -> str:
    """Replace NUL and lone surrogates, which databases and JSON parsers refuse, by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_blank(text: str) -> bool:
    """Return whether a person sees nothing in a text: it is empty, or all space and zero-width or direction marks."""
    return all(
        char.isspace() or char in _DRAWN_AS_NOTHING or unicodedata.category(char) in ("Cc", "Cf") for char in text
    )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to run a tool.

    Attributes:
        id: The model's id of the call, unique within its message.
        name: Name of the tool.
        arguments: The arguments as the model wrote them: JSON text, possibly malformed.
    """

    id: str
    name: str
    arguments: str = "{}"

    @property
    def wire(self) -> dict[str, object]:
        """The call in OpenAI's shape."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class Message:
    """One message of a conversation.

    A thin, immutable view of OpenAI's chat message: unknown fields survive, and the encoded form is kept so
    that a history is not encoded again for every model call.
    """

    __slots__ = ("_encoded", "_wire", "id")

    def __init__(self, wire: Mapping[str, object] | None = None, *, encoded: bytes | None = None, id: str = "") -> None:
        if wire is None and encoded is None:
            raise ValueError("a message needs its wire form or its encoded form")
        self._wire = wire
        self._encoded = encoded
        self.id = id
        """Under which the session's store has it; empty for one that is not stored. No model sees it."""

    def with_id(self, id: str) -> "Message":
        """Return the same message under an id."""
        return Message(self._wire, encoded=self._encoded, id=id)

    @classmethod
    def system(cls, text: str) -> "Message":
        """Make a system message."""
        return cls({"role": "system", "content": text})

    @classmethod
    def user(cls, text: str) -> "Message":
        """Make a user message."""
        return cls({"role": "user", "content": text})

    @classmethod
    def assistant(cls, text: str, tool_calls: Iterable[ToolCall] = ()) -> "Message":
        """Make an assistant message, with the tool calls it asks for."""
        wire: dict[str, object] = {"role": "assistant", "content": text}
        if calls := [call.wire for call in tool_calls]:
            wire["tool_calls"] = calls
            wire["content"] = text or None
        return cls(wire)

    @classmethod
    def tool(cls, tool_call_id: str, text: str) -> "Message":
        """Make the answer to a tool call."""
        return cls({"role": "tool", "tool_call_id": tool_call_id, "content": text})

    @property
    def wire(self) -> Mapping[str, object]:
        """The message in OpenAI's chat shape. Treat it as read-only."""
        if self._wire is None:
            self._wire = cast("Mapping[str, object]", from_json(cast("bytes", self._encoded)))
        return self._wire

    @property
    def encoded(self) -> bytes:
        """The message as UTF-8 JSON, encoded once."""
        if self._encoded is None:
            self._encoded = to_json(self._wire)
        return self._encoded

    @property
    def role(self) -> Role:
        """Who speaks."""
        return cast("Role", self.wire.get("role", "user"))

    @property
    def text(self) -> str:
        """The text of the message; parts that are no text (images, audio) are left out."""
        content = self.wire.get("content")
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            return ""
        texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for text in texts if isinstance(text, str))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls an assistant message asks for, in the model's order."""
        calls = self.wire.get("tool_calls")
        if not isinstance(calls, list):
            return ()
        return tuple(
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in cast("list[dict[str, Any]]", calls)
        )

    @property
    def tool_call_id(self) -> str | None:
        """The call that a tool message answers."""
        value = self.wire.get("tool_call_id")
        return value if isinstance(value, str) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.wire == other.wire

    def __hash__(self) -> int:
        return hash(self.encoded)

    def __repr__(self) -> str:
        text = self.text
        return f"Message({self.role}: {text[:40]!r}{'…' if len(text) > 40 else ''})"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call came to.

    Attributes:
        content: Text for the model.
        data: The typed result, JSON-able, for programs; ``None`` when the text is all there is.
        is_error: The call failed; ``content`` says how.
        error_code: Code of the error, e.g. ``tool_timeout``; empty on success.
        metadata: JSON-able facts for other plugins. ``no_store`` set to true says that the result holds for this one
            call: no cache keeps it.
        is_trusted: The content is the server's own or a person's words, e.g. why a call was refused. A tool has no
            reason to set it.
    """

    content: str
    data: object = None
    is_error: bool = False
    error_code: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    is_trusted: bool = False

    def message(self, call: ToolCall) -> Message:
        """Return the message that tells the model: the content, marked as untrusted, and as an error if it is one."""
        text = self.content if self.is_trusted else mark(self.content, call.name)
        if self.is_error:
            text = f"Error ({self.error_code or 'tool_failed'}): {text}"
        return Message.tool(call.id, text)
