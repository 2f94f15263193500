"""Model calls: requests, streamed chunks, providers."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from iskra_sdk.errors import ProviderProtocolError
from iskra_sdk.message import Message, ToolCall


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens one call used, as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def wire(self) -> dict[str, int]:
        """The usage in OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it: ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]

    @property
    def wire(self) -> dict[str, object]:
        """The tool in OpenAI's shape."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.parameters},
        }


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose account a model call runs; for usage, budgets and limits.

    Attributes:
        is_answer: The call continues the conversation; side calls, such as the choice of an agent, do not.
        voice: In whose manner the turn answers; side calls have none.
        labels: Those that the client gave the request, e.g. to take part in an experiment. Anybody may give any, so
            nothing is permitted because of one; they are never sent to a provider's upstream.
    """

    principal_id: str = ""
    agent: str = ""
    session_id: str = ""
    turn_id: str = ""
    voice: str = ""
    is_answer: bool = False
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """A model call.

    Attributes:
        messages: The conversation, system message first if there is one.
        model: A router alias, ``default``, or ``alias/upstream model`` where the alias passes names through.
        tools: Tools the model may call, each a :class:`ToolSpec` or a mapping in OpenAI's shape.
        parameters: Sampling and output parameters under OpenAI's names (``temperature``, ``max_tokens``, ``stop``,
            ``response_format``, …); unknown ones are passed on.
        caller: On whose account.
        connect_timeout: Seconds a provider may take to reach its upstream; the router sets it from its settings.
    """

    messages: Sequence[Message]
    model: str = "default"
    tools: Sequence[ToolSpec | Mapping[str, object]] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    caller: Caller = field(default_factory=Caller)
    connect_timeout: float = 5.0

    @property
    def wire_tools(self) -> list[Mapping[str, object]]:
        """The tools in OpenAI's shape."""
        return [tool.wire if isinstance(tool, ToolSpec) else tool for tool in self.tools]


class ToolCallDelta(NamedTuple):
    """A piece of a tool call in a stream: the first piece of a position (from 0) has id and name."""

    position: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class LLMChunk(NamedTuple):
    """A piece of a streamed answer.

    Attributes:
        text: Text to append to the answer.
        reasoning: Text of the model's thinking, kept apart from the answer.
        tool_calls: Pieces of tool calls.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or ``content_filter`` on the last piece with content.
        usage: Tokens of the whole call, once, near the end, if the provider counts them.
        wire: The decoded chunk as the upstream sent it, if it speaks OpenAI's protocol; a gateway passes it on.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    wire: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LLMAnswer:
    """A whole answer.

    Attributes:
        message: The assistant message.
        finish_reason: See :class:`LLMChunk`.
        usage: Tokens used, if the provider counts them.
        reasoning: The model's thinking, if it was sent.
        target: ``provider/model`` that answered; filled in by the router.
        wire: The decoded body as the upstream sent it, if it speaks OpenAI's protocol.
    """

    message: Message
    finish_reason: str = "stop"
    usage: Usage | None = None
    reasoning: str = ""
    target: str = ""
    wire: dict[str, Any] | None = None


class AnswerBuilder:
    """Joins the chunks of a stream into an :class:`LLMAnswer`."""

    __slots__ = ("_calls", "_reasoning", "_text", "finish_reason", "usage")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[str]] = {}  # position → [id, name, arguments…]
        self.finish_reason: str | None = None
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def add(self, chunk: LLMChunk) -> None:
        """Take in the next chunk."""
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        for piece in chunk.tool_calls:
            call = self._calls.setdefault(piece.position, ["", ""])
            call[0] = call[0] or piece.id
            call[1] = call[1] or piece.name
            if piece.arguments:
                call.append(piece.arguments)
        if chunk.finish_reason:
            self.finish_reason = chunk.finish_reason
        if chunk.usage is not None:
            self.usage = chunk.usage

    def build(self) -> LLMAnswer:
        """Return the whole answer.

        Raises:
            ProviderProtocolError: The stream ended without a finish reason, so the answer was cut.
        """
        if self.finish_reason is None:
            raise ProviderProtocolError(
                "The model's stream ended without a finish reason; the answer is probably cut.",
                mend="Try again; if it stays, look at the upstream's logs.",
            )
        calls = [
            ToolCall(id=call[0] or f"call_{position}", name=call[1], arguments="".join(call[2:]) or "{}")
            for position, call in sorted(self._calls.items())
        ]
        return LLMAnswer(
            message=Message.assistant(self.text, calls),
            finish_reason=self.finish_reason,
            usage=self.usage,
            reasoning="".join(self._reasoning),
        )


class LLMProvider(ABC):
    """A source of model answers: an upstream server, a local model, a script.

    A provider makes one attempt and reports failures as :class:`~iskra_sdk.errors.LLMError`; retries, circuit
    breaking, fallback and overall deadlines are the router's. Cancelling the consuming task must stop the call,
    also at the upstream, within a second.
    """

    name: str
    """How targets name the provider, e.g. ``openai``."""
    is_language_model: bool = True
    """False for a stand-in, whose answers nobody should rely on where a model's judgement is wanted."""

    @abstractmethod
    def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        """Stream one answer of ``model``; ``request.model`` is the alias and not for the provider.

        Every successful stream has exactly one chunk with a ``finish_reason``. An error raised before the first
        chunk may be retried by the router; one raised later is not.

        Raises:
            LLMError: As the class says what went wrong.
        """

    async def complete(self, request: LLMRequest, model: str) -> LLMAnswer:
        """Return one whole answer. The default joins :meth:`stream`."""
        builder = AnswerBuilder()
        async for chunk in self.stream(request, model):
            builder.add(chunk)
        return builder.build()

    async def models(self) -> Sequence[str]:
        """Return the names of the models it offers; empty when it cannot tell.

        Raises:
            LLMError: The upstream cannot be asked now.
        """
        return ()

    async def check(self) -> str:
        """Return a sentence on its health for ``iskra doctor``.

        Raises:
            LLMError: It is not usable now.
        """
        return "ready"


class LLM(Protocol):
    """The router as plugins see it: aliases, retries, breaker and fallback included."""

    def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        """Stream an answer from the first target of ``request.model`` that works.

        Raises:
            LLMError: No target could answer, or the stream broke after its first token.
            UnknownModelError: There is no such alias.
        """

    def has_language_model(self, model: str = "default") -> bool:
        """Return whether a real language model stands behind an alias, and not a stand-in."""

    async def complete(self, request: LLMRequest) -> LLMAnswer:
        """Return a whole answer; raises as :meth:`stream` does."""
