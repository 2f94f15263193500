"""A turn while it runs: what the agent sees of it, and what becomes of the agent's steps."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, MutableSequence, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import cast

from pydantic_core import to_json

from iskra.plugin_host.catalog import Catalog, Owned
from iskra.session_log import LiveSession
from iskra.turns.agent_contexts import AgentContexts
from iskra.turns.call_repetition import CallRepetition
from iskra.turns.model_answer import cleaned, recorded_answer
from iskra.turns.model_call_print import call_print
from iskra.turns.model_context import fitted_messages, system_message
from iskra.turns.open_question import OpenQuestion
from iskra.turns.tool_runner import ToolRunner
from iskra.turns.turn_journal import Journal
from iskra.turns.turn_services import TurnServices
from iskra_sdk.agent import Agent
from iskra_sdk.errors import TurnError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import MessageId, SessionId
from iskra_sdk.llm import AnswerBuilder, Caller, LLMAnswer, LLMChunk, LLMRequest
from iskra_sdk.message import Message, ToolCall, ToolResult, clean_text
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import (
    AppendMessage,
    Change,
    PutStep,
    StepKind,
    StepRecord,
    StepState,
    StoredMessage,
    TurnRecord,
    TurnState,
    UpdateSession,
    UpdateTurn,
    message_position,
)
from iskra_sdk.tool import Tool
from iskra_sdk.turn import AgentCard, ReasoningDelta, TextDelta, TurnEvent
from iskra_sdk.untrusted import RULE
from iskra_sdk.voice import Voice

logger = logging.getLogger(__name__)

MOST_HANDOFFS = 8
"""Times one turn may be handed from agent to agent."""


@dataclass(frozen=True, slots=True)
class _ModelText(TextDelta):
    """A piece of a model's answer in the conversation."""

    message_id: MessageId


class RunningTurn:
    """One turn on its way: implements ``iskra_sdk.Turn``.

    Changes are collected and committed in as few transactions as the promises allow: before anything else happens
    that could be noticed outside (a model call, a tool call, a question, new text), and at the end.

    Args:
        record: The turn as stored.
        principal: Whose turn it is.
        live: Its session's log.
        history: The conversation up to and including the turn's own message.
        catalog: What the turn works with, to its end.
        agent: Who answers.
        voice: How it sounds.
        contexts: The session's structured contexts as stored, per agent.
        journal: Steps of an interrupted turn.
        services: The kernel.
    """

    def __init__(
        self,
        record: TurnRecord,
        *,
        principal: Principal,
        live: LiveSession,
        history: Sequence[Message],
        catalog: Catalog,
        agent: Agent,
        voice: Voice | None,
        contexts: Mapping[str, object],
        journal: Journal,
        services: TurnServices,
    ) -> None:
        self.id = record.id
        self.number = record.number
        self.session_id: SessionId = record.session_id
        self.principal = principal
        self.input = record.input
        self.messages: MutableSequence[Message] = list(history)
        self.answer: LLMAnswer | None = None
        self.catalog = catalog
        self.journal = journal
        self.services = services
        self.usage = record.usage
        self.question: OpenQuestion | None = None
        self._agents = {name: owned.value for name, owned in catalog.agents.items()}
        self.agents: Mapping[str, AgentCard] = self._agents
        self._live = live
        self._voice = voice
        self.voice = voice.name if voice is not None else ""
        self._contexts = AgentContexts(contexts, services.record_failure)
        self._options = record.options
        self.labels = record.labels
        self._changes: list[Change] = []
        self._events: list[Event] = []
        self._flushing = asyncio.Lock()
        self._own_text: list[str] = []
        self._message_index = 0  # the user's message
        self._handoffs = 0
        self._tool_runner = ToolRunner(self)
        self._repetition = CallRepetition(record.id)
        self._switch_to(agent)

    def _switch_to(self, agent: Agent) -> None:
        self._agent = agent
        self.agent = agent.name
        self.owned_tools = self.services.choose_tools(self.catalog, agent)
        self.tools: Mapping[str, Tool] = {name: owned.value for name, owned in self.owned_tools.items()}
        owned = self.catalog.agents.get(agent.name) or Owned(agent, "", 0)
        self.context = self._contexts.enter(owned)

    # Running ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let the agent answer, and show and record what it yields."""
        if self.services.turn.chain is None:
            await self._drive(self)
        else:
            await self.services.turn.chain(self, self._drive)

    async def _drive(self, _turn: object) -> None:
        stream = self._agent.run(self)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", stream)):
            async for event in stream:
                await self._show(event)
        await self._finish_text()
        self.add(self._context_changes())

    async def _show(self, event: TurnEvent) -> None:
        """Show what the agent yielded, unless it was shown before the turn was interrupted."""
        if isinstance(event, _ModelText):
            await self.services.logs.delta(self._live, self.id, event.message_id, clean_text(event.text))
            return
        if isinstance(event, ReasoningDelta):
            if not self.journal.is_replaying:
                await self.show_progress(clean_text(event.text))
            return
        text = clean_text(event if isinstance(event, str) else event.text)
        if not text:
            return
        self._own_text.append(text)
        if not self.journal.is_replaying:
            if self._changes or self._events:
                await self.flush()
            message_id = self.message_id(self._message_index + 1)
            await self.services.logs.delta(self._live, self.id, message_id, text)

    async def show_progress(self, text: str) -> None:
        """Show a piece of thinking or progress."""
        message_id = self.message_id(self._message_index + 1)
        await self.services.logs.reasoning(self._live, self.id, message_id, text)

    # Committing ------------------------------------------------------------------------------------------------------

    def add(self, changes: Sequence[Change] = (), events: Sequence[Event] = ()) -> None:
        """Collect changes for the next commit."""
        self._changes.extend(changes)
        self._events.extend(events)

    async def flush(self, changes: Sequence[Change] = (), events: Sequence[Event] = ()) -> None:
        """Commit what was collected, then the given changes, in one transaction.

        If that fails, what was collected stays collected.
        """
        async with self._flushing:  # tool calls that run side by side share what was collected
            batch, told = [*self._changes, *changes], [*self._events, *events]
            if batch or told:
                collected = len(self._changes), len(self._events)
                await self.services.logs.commit(self._live, batch, told)
                del self._changes[: collected[0]], self._events[: collected[1]]

    @property
    def is_waiting(self) -> bool:
        """Whether nothing goes on until a person does something."""
        return self.question is not None or self._tool_runner.is_waiting

    def abandon(self) -> tuple[list[Change], list[Event]]:
        """Return what closes the books on a turn that ends before its agent is done."""
        changes, events = self._tool_runner.abandon()
        return [*self._changes, *changes, *self._context_changes()], [*self._events, *events]

    def message_id(self, index: int) -> MessageId:
        """Return the id of the turn's ``index``-th message; the same after a crash."""
        return MessageId(f"{self.id}.{index}")

    def next_message_index(self) -> int:
        """Take the next place in the conversation."""
        self._message_index += 1
        return self._message_index

    def append_message(self, index: int, message: Message) -> AppendMessage:
        """Return the change that adds a message at its place in the conversation."""
        return AppendMessage(
            StoredMessage(
                id=self.message_id(index),
                session_id=self.session_id,
                position=message_position(self.number, index),
                message=message,
                created_at=self.services.clock.now(),
                turn_id=self.id,
                agent=self.agent,
            )
        )

    def _event(self, event_type: EventType, data: Mapping[str, object]) -> Event:
        return Event(event_type, data, turn_id=self.id, at=self.services.clock.now())

    def _step(self, index: int, kind: StepKind, state: StepState, data: Mapping[str, object]) -> StepRecord:
        now = self.services.clock.now()
        ended_at = now if state is StepState.DONE else None
        if index == 0 and self._contexts.stored:
            data = {**data, "contexts": self._contexts.stored}  # as they were: a replay begins with them
        return StepRecord(self.id, index, kind, state, now, data=data, ended_at=ended_at)

    def _complete_message(self, index: int, message: Message) -> None:
        """Collect a finished assistant message and its event."""
        message_id = self.message_id(index)
        data = {
            "message_id": message_id,
            "role": "assistant",
            "text": message.text,
            "tool_calls": [call.wire for call in message.tool_calls],
            "agent": self.agent,
            **self.services.logs.take_partial(self._live, message_id),
        }
        self.add([self.append_message(index, message)], [self._event(EventType.MESSAGE_COMPLETED, data)])

    async def _finish_text(self) -> None:
        """Record the agent's own text since the last step as a message."""
        text = "".join(self._own_text)
        self._own_text.clear()
        if not text:
            return
        index, recorded = self.journal.take(StepKind.TEXT)
        place = self.next_message_index()
        message = Message.assistant(text).with_id(self.message_id(place))
        if recorded is None:
            step = self._step(
                index, StepKind.TEXT, StepState.DONE, {"text": text, "message_id": self.message_id(place)}
            )
            self.add([PutStep(step)])
            self._complete_message(place, message)
        self.messages.append(message)

    # Model -----------------------------------------------------------------------------------------------------------

    async def stream_model(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str] | None = None,
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncIterator[TurnEvent]:
        """Call the model once; see ``iskra_sdk.Turn``."""
        await self._finish_text()
        in_conversation = messages is None
        index, recorded = self.journal.take(StepKind.MODEL)
        place = self.next_message_index() if in_conversation else 0
        if recorded is not None:
            answer = recorded_answer(recorded)
            if place:
                answer = replace(answer, message=answer.message.with_id(self.message_id(place)))
            self._remember(answer, in_conversation=in_conversation)
            return
        await self.flush()
        request, asked = await self._request(prompt, messages, tools, model, parameters)
        message_id = self.message_id(place)
        builder = AnswerBuilder()
        target = ""

        def note_target(name: str) -> None:
            nonlocal target
            target = name

        chunks = self.services.llm.stream(request, self.catalog.providers, on_target=note_target)
        try:
            async with aclosing(cast("AsyncGenerator[LLMChunk]", chunks)):
                async for chunk in chunks:
                    builder.add(chunk)
                    if chunk.text:
                        yield _ModelText(chunk.text, message_id) if in_conversation else TextDelta(chunk.text)
                    elif chunk.reasoning:
                        yield ReasoningDelta(chunk.reasoning)
        except GeneratorExit:
            # The agent has heard enough: what it heard is the answer.
            builder.finish_reason = builder.finish_reason or "stop"
            self._record_answer(index, place, builder.build(), target, asked)
            raise
        self._record_answer(index, place, builder.build(), target, asked)

    def _record_answer(
        self, index: int, place: int, built: LLMAnswer, target: str, asked: Mapping[str, object]
    ) -> None:
        """Collect a model step; ``place`` 0 is outside the conversation."""
        message = cleaned(built.message)
        if place:
            message = message.with_id(self.message_id(place))
        answer = LLMAnswer(message, built.finish_reason, built.usage, built.reasoning, target)
        data = {
            "message": answer.message.wire,
            "finish_reason": answer.finish_reason,
            "target": target,
            "asked": asked,
            "usage": answer.usage.wire if answer.usage is not None else None,
            "reasoning": answer.reasoning,
        }
        self.add([PutStep(self._step(index, StepKind.MODEL, StepState.DONE, data))])
        if place:
            self._complete_message(place, answer.message)
        if answer.usage is not None:
            self.usage = self.usage + answer.usage
        self._remember(answer, in_conversation=bool(place))

    def _remember(self, answer: LLMAnswer, *, in_conversation: bool) -> None:
        self.answer = answer
        if in_conversation:
            self.messages.append(answer.message)

    async def _request(
        self,
        prompt: str | None,
        messages: Sequence[Message] | None,
        tools: Sequence[str] | None,
        model: str | None,
        parameters: Mapping[str, object] | None,
    ) -> tuple[LLMRequest, Mapping[str, object]]:
        agent, voice = self._agent, self._voice if messages is None else None
        own_prompt = system = agent.system_prompt(self) if prompt is None else prompt
        if self.tools:
            system = f"{system}\n\n{RULE}\n\n{self._repetition.advice}".strip()
        if voice is not None:
            system = f"{voice.preamble}\n\n{system}"
        fitted = await fitted_messages(self.messages if messages is None else messages, self.catalog, self.services)
        offered = self.tools if tools is None else {name: self.tools[name] for name in tools if name in self.tools}
        from_client = self._options.get("parameters")
        asked = call_print(
            prompt=own_prompt,
            messages=messages,
            tools={name: self.catalog.tool_digests[name] for name in offered},
            model=agent.model if model is None else model,
            parameters={**agent.parameters, **(parameters or {})},
        )
        request = LLMRequest(
            messages=[system_message(system), *fitted] if system else list(fitted),
            model=agent.model if model is None else model,
            tools=[tool.spec for tool in offered.values()],
            parameters={
                **agent.parameters,
                **(voice.parameters if voice is not None else {}),
                **(cast("Mapping[str, object]", from_client) if isinstance(from_client, Mapping) else {}),
                **(parameters or {}),
            },
            caller=Caller(
                self.principal.id,
                agent.name,
                self.session_id,
                self.id,
                voice=voice.name if voice is not None else "",
                is_answer=messages is None,
                labels=self.labels,
            ),
        )
        return request, asked

    # Tools, questions, handoffs --------------------------------------------------------------------------------------

    async def call_tools(self, calls: Sequence[ToolCall]) -> Sequence[ToolResult]:
        """Run tool calls; see ``iskra_sdk.Turn``."""
        await self._finish_text()
        first = self._message_index + 1
        results = await self._tool_runner.run(calls)
        for place, (call, result) in enumerate(zip(calls, results, strict=True), first):
            self.messages.append(result.message(call).with_id(self.message_id(place)))
        self._contexts.observe(calls, results)
        self._repetition.note(calls, results)
        return results

    async def call_tool(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Run one call the agent itself wants; see ``iskra_sdk.Turn``."""
        await self._finish_text()
        text = to_json(dict(arguments)).decode()
        call = ToolCall(id=f"own_{self.journal.next_index}", name=name, arguments=text)
        results = await self._tool_runner.run([call], in_conversation=False)
        self._contexts.observe([call], results)
        return results[0]

    async def ask(self, question: str, options: Sequence[str] = ()) -> str:
        """Ask the user; see ``iskra_sdk.Turn``."""
        await self._finish_text()
        index, recorded = self.journal.take(StepKind.QUESTION)
        if recorded is not None and recorded.state is StepState.DONE:
            return str(recorded.data["answer"])
        data: dict[str, object] = {"question": clean_text(question), "options": list(options)}
        step = recorded or self._step(index, StepKind.QUESTION, StepState.WAITING, data)
        self.question = OpenQuestion(question, tuple(options), step)
        try:
            if recorded is None:
                await self.flush(
                    [PutStep(step), UpdateTurn(self.id, TurnState.WAITING_ANSWER, frozenset({TurnState.RUNNING}))],
                    [self._event(EventType.QUESTION_ASKED, {**data, "step": index})],
                )
            return await self.question.answer
        finally:
            self.question = None

    def has_language_model(self, model: str | None = None) -> bool:
        """Return whether a real model would answer; see ``iskra_sdk.Turn``."""
        return self.services.llm.has_language_model(model or self._agent.model, self.catalog.providers)

    async def hand_off(self, agent: str, *, reason: str = "") -> AsyncIterator[TurnEvent]:
        """Let another agent finish the turn; see ``iskra_sdk.Turn``."""
        await self._finish_text()
        index, recorded = self.journal.take(StepKind.HANDOFF)
        if recorded is not None:
            agent = str(recorded.data["to"])  # decided before the interruption, perhaps among other agents
        target = self._agents.get(agent)
        if target is None:
            known = ", ".join(sorted(self._agents)) or "none"
            raise TurnError(f"There is no agent {agent!r} to hand over to.", mend=f"Loaded agents: {known}.")
        self._handoffs += 1
        if self._handoffs > MOST_HANDOFFS:
            raise TurnError(
                f"The turn was handed over more than {MOST_HANDOFFS} times, last from {self.agent!r} to {agent!r}.",
                mend="Pick one agent as the model, e.g. `agent:coder`.",
            )
        if recorded is None:
            route = {"from": self.agent, "to": agent, "reason": clean_text(reason)}
            self.add(
                [
                    PutStep(self._step(index, StepKind.HANDOFF, StepState.DONE, route)),
                    UpdateTurn(self.id, TurnState.RUNNING, frozenset({TurnState.RUNNING}), agent=agent),
                ],
                [self._event(EventType.AGENT_SWITCHED, route)],
            )
        self._switch_to(target)
        stream = target.run(self)
        async with aclosing(cast("AsyncGenerator[TurnEvent]", stream)):
            async for event in stream:
                yield event

    # Structured context ----------------------------------------------------------------------------------------------

    def _context_changes(self) -> list[Change]:
        contexts = self._contexts.changed()
        if contexts is None:
            return []
        return [UpdateSession(self.session_id, self.services.clock.now(), contexts=contexts)]

    @property
    def contexts(self) -> Mapping[str, object]:
        """The structured contexts as they stand."""
        return self._contexts.stored
