"""A turn as an agent sees it."""

from collections.abc import AsyncIterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.llm import LLMAnswer
from iskra_sdk.message import Message, ToolCall, ToolResult
from iskra_sdk.principal import Principal
from iskra_sdk.tool import Tool


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of thinking or progress: shown to people who want it, never part of the answer."""

    text: str


TurnEvent = str | TextDelta | ReasoningDelta
"""What an agent yields; a plain ``str`` is a piece of the answer."""


class AgentCard(Protocol):
    """What a turn may know of an agent: enough to choose one. Every :class:`~iskra_sdk.agent.Agent` is one."""

    @property
    def name(self) -> str:
        """The agent's name."""

    @property
    def description(self) -> str:
        """One sentence on what it does."""

    @property
    def examples(self) -> Sequence[str]:
        """Messages it should get."""


class Turn(Protocol):
    """One user message and everything that follows from it.

    Every awaited step below (model answer, tool results, question, handoff) is written to the turn's journal before
    the next begins. When the server crashes, the agent's ``run`` is called again and the recorded steps return their
    recorded outcomes at once, without new effects, until the point of the crash is reached. So ``run`` must
    take the same steps when they return the same outcomes: keep time, randomness and outside calls in tools.
    """

    id: TurnId
    session_id: SessionId
    principal: Principal
    agent: str
    """Name of the agent that runs now."""
    voice: str
    """Name of the voice that answers are given in; empty without one."""
    labels: frozenset[str]
    """Labels that the client gave the request; see :class:`~iskra_sdk.llm.Caller`."""
    input: Message
    """The user's message that began the turn."""
    messages: MutableSequence[Message]
    """The conversation for the next model call, without the system prompt; steps append to it."""
    tools: Mapping[str, Tool]
    """The tools this agent may use."""
    agents: Mapping[str, AgentCard]
    """The agents loaded when the turn began, by name: those that :meth:`hand_off` can reach."""
    context: BaseModel | None
    """The agent's structured context, if it declares one; kept with the session."""
    answer: LLMAnswer | None
    """What the last model step came to."""

    def stream_model(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str] | None = None,
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncIterator[TurnEvent]:
        """Call the model once and yield its answer as it comes; then :attr:`answer` holds it whole.

        The assistant message is appended to :attr:`messages`.

        Args:
            prompt: System prompt instead of the agent's own.
            messages: Conversation instead of :attr:`messages`; the answer is then not appended.
            tools: Names of the tools offered, instead of all of :attr:`tools`.
            model: Alias instead of the agent's.
            parameters: Added to the agent's parameters.

        Raises:
            LLMError: No target could answer.
        """

    async def call_tools(self, calls: Sequence[ToolCall]) -> Sequence[ToolResult]:
        """Run tool calls: validate, ask for approval where a rule says so, execute, record.

        Results come in the order of ``calls`` and are appended to :attr:`messages`. A failed or denied call is
        a result with ``is_error``, so that the model can react.
        """

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Run one tool call that the agent itself wants; nothing is appended to :attr:`messages`."""

    async def ask(self, question: str, options: Sequence[str] = ()) -> str:
        """Ask the user and wait for the answer, however long it takes.

        The question is shown as part of the answer. In a chat client the user answers with the next message,
        by an option's number or text, or freely where there are no options.

        Returns:
            The chosen option's text, or the free answer.
        """

    def has_language_model(self, model: str | None = None) -> bool:
        """Return whether a real language model stands behind an alias, by default the agent's own.

        With ``False``, what :meth:`stream_model` brings is a stand-in's work: good enough to show, not to rely on.
        """

    def hand_off(self, agent: str, *, reason: str = "") -> AsyncIterator[TurnEvent]:
        """Let another agent finish the turn and yield what it yields.

        Args:
            agent: The agent's name.
            reason: Why, in a few words for people who look at the turn; never the user's message.

        Raises:
            TurnError: There is no such agent, or the turn was handed over too often.
        """
