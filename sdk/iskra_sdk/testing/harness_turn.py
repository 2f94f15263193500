"""A turn in memory: the steps of ``iskra_sdk.Turn`` without a server."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import cast

from pydantic import BaseModel
from pydantic_core import to_json

from iskra_sdk.agent import Agent
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.errors import BadInputError, IskraError, ToolDeniedError, ToolError, ToolTimeoutError, TurnError
from iskra_sdk.ids import EffectId, SessionId, TurnId, new_id
from iskra_sdk.llm import AnswerBuilder, Caller, LLMAnswer, LLMChunk, LLMProvider, LLMRequest
from iskra_sdk.message import Message, ToolCall, ToolResult
from iskra_sdk.principal import Principal
from iskra_sdk.tool import Risk, Tool, ToolContext
from iskra_sdk.turn import AgentCard, ReasoningDelta, TextDelta, TurnEvent

_MOST_HANDOFFS = 8


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool call that a person is asked about.

    Attributes:
        tool: Name of the tool.
        arguments: Valid arguments, defaults filled in.
        text: The arguments as the person would see them.
        preview: The tool's own rendering, if it has one.
    """

    tool: str
    arguments: Mapping[str, object]
    text: str
    preview: str = ""


Approver = bool | Callable[[AskedCall], "bool | Awaitable[bool]"]
"""How a test decides: always the same, or by looking at the call."""


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """What came of a turn.

    Attributes:
        text: The answer.
        reasoning: Thinking and progress.
        agent: Who finished it.
        results: Tool name and result of each call, in order.
        asked: Calls a person was asked about.
        questions: Questions the agent asked.
        messages: The conversation at the end.
        context: The agent's structured context at the end.
    """

    text: str
    reasoning: str
    agent: str
    results: Sequence[tuple[str, ToolResult]]
    asked: Sequence[AskedCall]
    questions: Sequence[str]
    messages: Sequence[Message]
    context: BaseModel | None


@dataclass(eq=False)
class HarnessTurn:
    """Implements ``iskra_sdk.Turn`` in memory: reads run, everything else is asked about, as in the server."""

    input: Message
    principal: Principal
    model: LLMProvider | None
    all_agents: Mapping[str, Agent]
    all_tools: Mapping[str, Tool]
    approve: Approver
    answers: list[str]
    messages: MutableSequence[Message]
    id: TurnId = field(default_factory=lambda: TurnId(new_id("turn")))
    session_id: SessionId = field(default_factory=lambda: SessionId(new_id("ses")))
    voice: str = ""
    labels: frozenset[str] = frozenset()
    agent: str = ""
    agents: Mapping[str, AgentCard] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    context: BaseModel | None = None
    answer: LLMAnswer | None = None
    contexts: dict[str, BaseModel] = field(default_factory=dict)
    results: list[tuple[str, ToolResult]] = field(default_factory=list)
    asked: list[AskedCall] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    _own_text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _handoffs: int = 0
    _taking_part: dict[str, Agent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Show the agents as other agents may see them."""
        self.agents = dict(self.all_agents)

    async def finish(self, agent: Agent) -> FinishedTurn:
        """Let an agent answer, to its end."""
        self._switch_to(agent)
        stream = agent.run(self)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", stream)):
            async for event in stream:
                self._take(event)
        self._finish_own_text()
        return FinishedTurn(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            agent=self.agent,
            results=tuple(self.results),
            asked=tuple(self.asked),
            questions=tuple(self.questions),
            messages=tuple(self.messages),
            context=self.context,
        )

    async def stream_model(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str] | None = None,
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncIterator[TurnEvent]:
        """Call the model once; see :class:`~iskra_sdk.turn.Turn`."""
        self._finish_own_text()
        if self.model is None:
            raise TurnError("The harness has no model.", mend='Open it with `model=ScriptedModel("…")`.')
        agent = self.all_agents[self.agent]
        system = agent.system_prompt(self) if prompt is None else prompt
        conversation = list(self.messages if messages is None else messages)
        offered = self.tools if tools is None else {name: self.tools[name] for name in tools if name in self.tools}
        request = LLMRequest(
            messages=[Message.system(system), *conversation] if system else conversation,
            model=agent.model if model is None else model,
            tools=[tool.spec for tool in offered.values()],
            parameters={**agent.parameters, **(parameters or {})},
            caller=Caller(self.principal.id, agent.name, self.session_id, self.id),
        )
        builder = AnswerBuilder()
        chunks = self.model.stream(request, request.model)
        async with aclosing(cast("AsyncGenerator[LLMChunk]", chunks)):
            async for chunk in chunks:
                builder.add(chunk)
                if chunk.text:
                    yield _ModelText(chunk.text) if messages is None else TextDelta(chunk.text)
                elif chunk.reasoning:
                    yield ReasoningDelta(chunk.reasoning)
        self.answer = builder.build()
        if messages is None:
            self.messages.append(self.answer.message)

    async def call_tools(self, calls: Sequence[ToolCall]) -> Sequence[ToolResult]:
        """Run tool calls; see :class:`~iskra_sdk.turn.Turn`."""
        self._finish_own_text()
        results = [await self._run(call) for call in calls]
        for call, result in zip(calls, results, strict=True):
            self.messages.append(result.message(call))
        return results

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Run one call the agent itself wants; see :class:`~iskra_sdk.turn.Turn`."""
        self._finish_own_text()
        return await self._run(ToolCall(f"own_{len(self.results)}", name, to_json(dict(arguments)).decode()))

    async def ask(self, question: str, options: Sequence[str] = ()) -> str:
        """Take the test's next answer; see :class:`~iskra_sdk.turn.Turn`."""
        self._finish_own_text()
        self.questions.append(question)
        if not self.answers:
            raise TurnError(
                f"The agent asked {question!r} and the test has no answer left.", mend="Give `answers=[…]` to `ask()`."
            )
        text = self.answers.pop(0).strip()
        if not options:
            return text
        if text.isdecimal() and 1 <= int(text) <= len(options):
            return options[int(text) - 1]
        for option in options:
            if option.casefold() == text.casefold():
                return option
        raise BadInputError(f"{text!r} is none of the options {list(options)}.")

    def has_language_model(self, model: str | None = None) -> bool:
        """Return whether there is a model; see :class:`~iskra_sdk.turn.Turn`."""
        return self.model is not None and self.model.is_language_model

    async def hand_off(self, agent: str, *, reason: str = "") -> AsyncIterator[TurnEvent]:
        """Let another agent finish the turn; see :class:`~iskra_sdk.turn.Turn`."""
        self._finish_own_text()
        target = self.all_agents.get(agent)
        if target is None:
            known = ", ".join(sorted(self.all_agents)) or "none"
            raise TurnError(f"There is no agent {agent!r} to hand over to.", mend=f"Loaded agents: {known}.")
        self._handoffs += 1
        if self._handoffs > _MOST_HANDOFFS:
            raise TurnError(f"The turn was handed over more than {_MOST_HANDOFFS} times.")
        self._switch_to(target)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", target.run(self))) as stream:
            async for event in stream:
                yield event

    def _switch_to(self, agent: Agent) -> None:
        if self.context is not None:
            self.contexts[self.agent] = self.context
        self.agent = agent.name
        self._taking_part.setdefault(agent.name, agent)
        self.tools = {
            name: tool
            for name, tool in self.all_tools.items()
            if any(fnmatchcase(name, pattern) for pattern in agent.tools)
        }
        self.context = None
        if agent.context_model is not None:
            self.context = self.contexts.get(agent.name) or agent.context_model()

    def _take(self, event: TurnEvent) -> None:
        if isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
            return
        text = event if isinstance(event, str) else event.text
        self._text.append(text)
        if not isinstance(event, _ModelText):
            self._own_text.append(text)

    def _finish_own_text(self) -> None:
        """Put what the agent itself said into the conversation, as the server does."""
        text = "".join(self._own_text)
        self._own_text.clear()
        if text:
            self.messages.append(Message.assistant(text))

    async def _run(self, call: ToolCall) -> ToolResult:
        result = await self._result(call)
        self.results.append((call.name, result))
        for name, agent in self._taking_part.items():
            context = self.context if name == self.agent else self.contexts.get(name)
            if context is not None:
                agent.observe(context, call, result)
        return result

    async def _result(self, call: ToolCall) -> ToolResult:
        tool = self.tools.get(call.name)
        try:
            if tool is None:
                known = ", ".join(sorted(self.tools)) or "none"
                raise ToolError(f"There is no tool {call.name!r} for this agent.", mend=f"It has: {known}.")
            arguments = tool.validate(call.arguments)
            if tool.risk is not Risk.READ and not await self._is_approved(tool, arguments):
                raise ToolDeniedError(f"The call of {tool.name!r} was denied.")
            return await self._execute(tool, call, arguments)
        except IskraError as exc:
            return ToolResult(str(exc), is_error=True, error_code=exc.code, is_trusted=True)

    async def _execute(self, tool: Tool, call: ToolCall, arguments: Mapping[str, object]) -> ToolResult:
        context = ToolContext(
            principal=self.principal,
            session_id=self.session_id,
            turn_id=self.id,
            tool_call_id=call.id,
            effect_id=EffectId(new_id("eff")),
            progress=self._note_progress,
        )
        try:
            async with asyncio.timeout(tool.timeout):
                return await tool.run(arguments, context)
        except TimeoutError as exc:
            raise ToolTimeoutError(f"The tool {tool.name!r} did not finish within {tool.timeout:g} seconds.") from exc
        except IskraError:
            raise
        except Exception as exc:
            raise ToolError(f"The tool {tool.name!r} failed: {type(exc).__name__}: {exc}") from exc

    async def _note_progress(self, text: str) -> None:
        self._reasoning.append(text)

    async def _is_approved(self, tool: Tool, arguments: Mapping[str, object]) -> bool:
        preview = ""
        if tool.preview is not None:
            shown = tool.preview(arguments)
            preview = await shown if inspect.isawaitable(shown) else shown
        asked = AskedCall(tool.name, arguments, canonical_arguments(arguments), preview)
        self.asked.append(asked)
        if isinstance(self.approve, bool):
            return self.approve
        decided = self.approve(asked)
        return await decided if inspect.isawaitable(decided) else decided


@dataclass(frozen=True, slots=True)
class _ModelText(TextDelta):
    """A piece of a model's answer that the conversation gets with the whole answer."""
