"""Runs a finished turn again on what its journal holds, to see whether its agent would still take the same steps."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from iskra.plugin_host.catalog import Catalog, Owned
from iskra.turns.agent_contexts import AgentContexts
from iskra.turns.model_answer import recorded_answer
from iskra.turns.model_call_print import call_print, changed_parts
from iskra.turns.tool_call import recorded_result
from iskra.turns.turn_services import TurnServices
from iskra_sdk.agent import Agent
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.errors import TurnError
from iskra_sdk.llm import LLMAnswer
from iskra_sdk.message import Message, ToolCall, ToolResult, clean_text
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import StepKind, StepRecord, StepState, TurnRecord, TurnState
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard, ReasoningDelta, TextDelta, TurnEvent

TIMEOUT = 30.0
"""Seconds a replay may take: nothing in it waits for a model, a tool or a person."""
_SHOWN = 500  # characters of a step


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an agent takes another step than it took.

    Attributes:
        index: Number of the step.
        recorded: What it was; empty if there was none.
        now: What the agent does instead; empty if it has ended.
    """

    index: int
    recorded: str
    now: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        steps: Recorded steps that were taken again as they were.
        of: Recorded steps in all.
        difference: The first difference, if there is one.
    """

    steps: int
    of: int
    difference: Difference | None = None


class _DiffersError(Exception):
    """The agent takes another step."""

    def __init__(self, difference: Difference) -> None:
        super().__init__()
        self.difference = difference


class _EndedError(Exception):
    """The recorded turn was stopped here, so nothing says how it would have gone on."""


async def replay(turn: "ReplayedTurn") -> Replay:
    """Run a turn's agent on recorded outcomes, without any effect, and compare its steps with the recorded ones."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await turn.run()
    except _DiffersError as exc:
        return turn.outcome(exc.difference)
    except _EndedError:
        pass
    except TimeoutError:
        return turn.outcome(turn.difference(f"nothing for {TIMEOUT:g} s"))
    except Exception as exc:  # whatever the agent's own code raises is what the person wants to know
        if not turn.has_failed_as_before:
            return turn.outcome(turn.difference(f"raises {type(exc).__name__}: {exc}"))
    return turn.outcome()


class ReplayedTurn:
    """Implements ``iskra_sdk.Turn`` on a finished turn's journal.

    Args:
        record: The turn.
        steps: Its journal.
        principal: Whose turn it is.
        agent: Who answered, as loaded now.
        history: The conversation before the turn.
        contexts: The session's structured contexts as they stand now, for a journal that does not hold those of the
            time.
        catalog: What the turn works with.
        services: The kernel.
        voice: Whose manner it was answered in.
    """

    def __init__(
        self,
        record: TurnRecord,
        steps: Sequence[StepRecord],
        *,
        principal: Principal,
        agent: Agent,
        history: Sequence[Message],
        contexts: Mapping[str, object],
        catalog: Catalog,
        services: TurnServices,
        voice: str = "",
    ) -> None:
        self.id = record.id
        self.session_id = record.session_id
        self.principal = principal
        self.input = record.input
        self.voice = voice
        self.labels = record.labels
        self.messages: MutableSequence[Message] = [*history, record.input]
        self.answer: LLMAnswer | None = None
        self.next_index = 0
        self._agents = {name: owned.value for name, owned in catalog.agents.items()}
        self.agents: Mapping[str, AgentCard] = self._agents
        self._record = record
        self._steps = steps
        self._catalog = catalog
        self._services = services
        of_the_time = steps[0].data.get("contexts") if steps else None
        stored = of_the_time if isinstance(of_the_time, Mapping) else contexts
        self._contexts = AgentContexts(stored, lambda _plugin, _error: None)
        self._own_text: list[str] = []
        self._switch_to(agent)

    def _switch_to(self, agent: Agent) -> None:
        self._agent = agent
        self.agent = agent.name
        owned = self._services.choose_tools(self._catalog, agent)
        self.tools: Mapping[str, Tool] = {name: each.value for name, each in owned.items()}
        self.context: BaseModel | None = self._contexts.enter(
            self._catalog.agents.get(agent.name) or Owned(agent, "", 0)
        )

    async def run(self) -> None:
        """Take all steps again.

        Raises:
            _DiffersError: One is another.
            _EndedError: The recorded turn was stopped, and everything until then is as it was.
        """
        stream = self._agent.run(self)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", stream)):
            async for event in stream:
                if not isinstance(event, ReasoningDelta | _ModelText):
                    self._own_text.append(clean_text(event if isinstance(event, str) else event.text))
        self._finish_text()
        if self.next_index < len(self._steps):
            raise _DiffersError(self.difference(""))

    @property
    def has_failed_as_before(self) -> bool:
        """Whether the recorded turn failed here too."""
        return self._record.state is TurnState.FAILED and self.next_index == len(self._steps)

    def outcome(self, difference: Difference | None = None) -> Replay:
        """Return how far it came."""
        return Replay(self.next_index, len(self._steps), difference)

    def difference(self, now: str) -> Difference:
        """Return the difference at the present step."""
        step = self._steps[self.next_index] if self.next_index < len(self._steps) else None
        return Difference(self.next_index, _told(step) if step is not None else "", now[:_SHOWN])

    def _take(self, kind: StepKind, now: str) -> StepRecord:
        """Go on by one step, which must be the recorded one."""
        if self.next_index >= len(self._steps):
            if self._record.state is TurnState.COMPLETED:
                raise _DiffersError(self.difference(now))
            raise _EndedError
        step = self._steps[self.next_index]
        if step.kind is not kind or (kind is not StepKind.MODEL and _told(step) != now[:_SHOWN]):
            raise _DiffersError(self.difference(now))
        if step.state is not StepState.DONE:
            raise _EndedError
        self.next_index += 1
        return step

    def _finish_text(self) -> None:
        text = "".join(self._own_text)
        self._own_text.clear()
        if text:
            self._take(StepKind.TEXT, f"says {text}")
            self.messages.append(Message.assistant(text))

    # What agents use -------------------------------------------------------------------------------------------------

    async def stream_model(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str] | None = None,
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncIterator[TurnEvent]:
        """Return the recorded answer; see ``iskra_sdk.Turn``."""
        self._finish_text()
        self._compare_call(prompt, messages, tools, model, parameters)
        self.answer = recorded_answer(self._take(StepKind.MODEL, "calls the model"))
        if self.answer.message.text:
            yield _ModelText(self.answer.message.text) if messages is None else TextDelta(self.answer.message.text)
        if messages is None:
            self.messages.append(self.answer.message)

    def _compare_call(
        self,
        prompt: str | None,
        messages: Sequence[Message] | None,
        tools: Sequence[str] | None,
        model: str | None,
        parameters: Mapping[str, object] | None,
    ) -> None:
        """Differ where the agent asks the model for something else than it did."""
        step = self._steps[self.next_index] if self.next_index < len(self._steps) else None
        if step is None or step.kind is not StepKind.MODEL:
            return
        agent = self._agent
        offered = self.tools if tools is None else {name: self.tools[name] for name in tools if name in self.tools}
        now = call_print(
            prompt=agent.system_prompt(self) if prompt is None else prompt,
            messages=messages,
            tools={name: self._catalog.tool_digests[name] for name in offered},
            model=agent.model if model is None else model,
            parameters={**agent.parameters, **(parameters or {})},
        )
        changed = changed_parts(step.data.get("asked"), now)
        if changed:
            raise _DiffersError(self.difference(f"calls the model with other {_listed(changed)}"))

    async def call_tools(self, calls: Sequence[ToolCall]) -> Sequence[ToolResult]:
        """Return the recorded results; see ``iskra_sdk.Turn``."""
        self._finish_text()
        results = [self._result_of(call) for call in calls]
        for call, result in zip(calls, results, strict=True):
            self.messages.append(result.message(call))
        self._contexts.observe(calls, results)
        return results

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Return the recorded result; see ``iskra_sdk.Turn``."""
        self._finish_text()
        return self._result_of(ToolCall("own", name, to_json(dict(arguments)).decode()))

    def _result_of(self, call: ToolCall) -> ToolResult:
        return recorded_result(self._take(StepKind.TOOL, f"calls {call.name} {_canonical(call.arguments)}"))

    async def ask(self, question: str, options: Sequence[str] = ()) -> str:
        """Return the recorded answer of the user; see ``iskra_sdk.Turn``."""
        self._finish_text()
        return str(self._take(StepKind.QUESTION, f"asks {clean_text(question)}").data["answer"])

    def has_language_model(self, model: str | None = None) -> bool:
        """Return whether a model was asked next; see ``iskra_sdk.Turn``."""
        step = self._steps[self.next_index] if self.next_index < len(self._steps) else None
        return step is not None and step.kind is StepKind.MODEL

    async def hand_off(self, agent: str, *, reason: str = "") -> AsyncIterator[TurnEvent]:
        """Go on with another agent; see ``iskra_sdk.Turn``."""
        self._finish_text()
        self._take(StepKind.HANDOFF, f"hands over to {agent}")
        target = self._agents.get(agent)
        if target is None:
            raise TurnError(f"There is no agent {agent!r} to hand over to.", mend="Enable its plugin.")
        self._switch_to(target)
        stream = target.run(self)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", stream)):
            async for event in stream:
                yield event


class _ModelText(TextDelta):
    """A piece of a recorded answer in the conversation; it is no text of the agent's own."""


def _told(step: StepRecord) -> str:
    """Return what a step was, in a line."""
    data = step.data
    match step.kind:
        case StepKind.MODEL:
            told = "calls the model"
        case StepKind.TOOL:
            call = cast("Mapping[str, Mapping[str, str]]", data["call"])
            told = f"calls {step.name} {_canonical(call['function']['arguments'])}"
        case StepKind.QUESTION:
            told = f"asks {data['question']}"
        case StepKind.HANDOFF:
            told = f"hands over to {data['to']}"
        case _:
            told = f"says {data.get('text', '')}"
    return told[:_SHOWN]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _canonical(arguments: str) -> str:
    try:
        value = from_json(arguments or "{}")
    except ValueError:
        return arguments
    return canonical_arguments(value) if isinstance(value, dict) else arguments
