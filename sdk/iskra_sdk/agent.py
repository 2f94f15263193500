"""Agents: who answers a turn."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from iskra_sdk.errors import TooManyStepsError
from iskra_sdk.message import ToolCall, ToolResult
from iskra_sdk.turn import Turn, TurnEvent


class Agent:
    """Answers turns. Three attributes make one; override :meth:`run` for anything else.

    Example::

        class Weather(Agent):
            name = "weather"
            description = "Tells the weather."
            tools = ("forecast",)
    """

    name: str
    """Unique in the server, ``[a-z][a-z0-9_-]*``; clients pick it as the model ``agent:<name>``."""
    description: str = ""
    """One sentence for people and for routing."""
    examples: Sequence[str] = ()
    """Messages it should get; they teach the routing."""
    prompt: str = ""
    """The system prompt."""
    tools: Sequence[str] = ()
    """Globs of the names of tools it may use, e.g. ``("read_file", "weather_*")``."""
    model: str = "default"
    """Router alias it calls."""
    parameters: Mapping[str, object] = {}
    """Model parameters under OpenAI's names, e.g. ``{"temperature": 0}``."""
    context_model: ClassVar[type[BaseModel] | None] = None
    """Structured context kept with the session; every field needs a default."""
    max_steps: int = 25
    """Model calls one turn may take."""

    def observe(self, context: Any, call: ToolCall, result: ToolResult) -> None:
        """Note in the structured context what a tool call came to; the default notes nothing.

        It is called after each tool call of a turn that the agent takes part in, also for calls of agents that it
        handed over to. After a crash it is called again for the recorded calls, with the context as it was before the
        turn; so it should use nothing but its arguments.

        Args:
            context: The agent's own context, an instance of :attr:`context_model`.
            call: The call; ``call.arguments`` is JSON text.
            result: What it came to; ``result.data`` is the typed result, if the tool has one.
        """

    def system_prompt(self, turn: Turn) -> str:
        """Return the system prompt of this turn; the default is :attr:`prompt`."""
        return self.prompt

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        """Answer a turn, yielding the answer as it comes.

        The default is the tool loop: call the model, run the tools it asks for, until it asks for none.

        Raises:
            TooManyStepsError: The model still wants tools after :attr:`max_steps` calls.
        """
        for _ in range(self.max_steps):
            async for event in turn.stream_model():
                yield event
            if turn.answer is None or not turn.answer.message.tool_calls:
                return
            await turn.call_tools(turn.answer.message.tool_calls)
        raise TooManyStepsError(
            f"The agent {self.name!r} made {self.max_steps} model calls without finishing.",
            mend="Ask for less in one message, or raise the agent's `max_steps`.",
        )
