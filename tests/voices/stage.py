"""The plugin with a scripted model, for tests: calls of voices go through its interceptor as they do in the server."""

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from iskra_sdk import Caller, LLMChunk, LLMRequest, Message, SystemClock
from iskra_sdk.ids import SessionId
from iskra_sdk.llm import AnswerBuilder, LLMAnswer
from iskra_sdk.session_store import CreateSession, Session
from iskra_sdk.testing import MemoryStore, PluginHarness, ScriptedModel

SESSION = SessionId("ses_1")
ASKED = "We must finish the yearly report on Friday, and nobody has time."
KAIN = '"finish the yearly report", but nobody has time. It costs the week. Choose: the report or the rest.'
POOR = "Well, perhaps it is fine, maybe."


@dataclass
class Stage:
    """A harness, its model, and the kernel's part in a call.

    Attributes:
        chunks: What the last call streamed.
    """

    harness: PluginHarness
    model: ScriptedModel
    chunks: list[LLMChunk] = field(default_factory=list)

    def request(
        self,
        voice: str,
        text: str = ASKED,
        *,
        turn: str = "trn_1",
        history: Sequence[Message] = (),
        parameters: Mapping[str, object] | None = None,
    ) -> LLMRequest:
        """Return a call as the kernel makes it: the voice's prompt and parameters are laid over the agent's."""
        laid = self.harness.voices[voice] if voice else None
        system = "You are helpful." if laid is None else f"{laid.preamble}\n\nYou are helpful."
        given = {"temperature": 0.5, **(laid.parameters if laid is not None else {}), **(parameters or {})}
        return LLMRequest(
            messages=[Message.system(system), *history, Message.user(text).with_id(f"{turn}.0")],
            parameters=given,
            caller=Caller("anna", "ask", SESSION, turn, voice),
        )

    async def call(self, request: LLMRequest) -> LLMAnswer:
        """Make a call through the interceptor and return its answer whole."""
        (interceptor,) = self.harness.registered("register_interceptors")
        self.chunks = []
        builder = AnswerBuilder()

        async def proceed(changed: Any) -> AsyncIterator[LLMChunk]:
            return self.model.stream(changed, "scripted")

        async for chunk in await interceptor.around(request, proceed):
            self.chunks.append(chunk)
            builder.add(chunk)
        return builder.build()

    async def say(self, voice: str, text: str = ASKED, **others: Any) -> str:
        """Return the text of an answer."""
        return (await self.call(self.request(voice, text, **others))).message.text

    @property
    def events(self) -> list[str]:
        """Types of the plugin's events so far."""
        return [event.type for event in self.harness.bus.published if event.type.startswith("voices.")]


def module(name: str) -> ModuleType:
    """Return a module as it is loaded now: reloading a plugin, as other tests do, loads its modules anew."""
    return importlib.import_module(name)


@asynccontextmanager
async def stage(*replies: Any, is_language_model: bool = True, **settings: Any) -> AsyncIterator[Stage]:
    """Open a stage."""
    model = ScriptedModel(*replies)
    model.is_language_model = is_language_model
    store = MemoryStore()
    now = SystemClock().now()
    await store.apply([CreateSession(Session(SESSION, "anna", now, now))])
    async with PluginHarness.open(module("iskra_voices"), model=model, settings=settings, store=store) as harness:
        yield Stage(harness, model)
