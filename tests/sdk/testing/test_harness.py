"""The harness loads one plugin and keeps the server's rules."""

import asyncio
import collections.abc
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel

from iskra_sdk import (
    Agent,
    Event,
    EventHandler,
    HTTPResponse,
    Message,
    Notification,
    PluginContext,
    PluginManifest,
    PluginRoutes,
    TextDelta,
    Tool,
    Turn,
    TurnEvent,
    hookimpl,
    tool,
)
from iskra_sdk.errors import (
    BadInputError,
    PermissionDeniedError,
    PluginLoadError,
    PluginSettingsError,
    SessionNotFoundError,
    ToolArgumentsError,
    TurnError,
)
from iskra_sdk.ids import SessionId
from iskra_sdk.message import ToolCall
from iskra_sdk.testing import AskedCall, MemoryStore, PluginHarness, ScriptedModel
from iskra_sdk.testing.harness import TESTER


class Count(BaseModel):
    turns: int = 0


class Baker(Agent):
    name = "baker"
    description = "Bakes."
    prompt = "You bake."
    tools = ("bake", "taste")
    context_model = Count


class Asker(Agent):
    name = "asker"
    tools = ()
    context_model = Count

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        assert isinstance(turn.context, Count)
        turn.context.turns += 1
        kind = await turn.ask("Which cake?", ["apple", "plum"])
        yield f"One {kind} cake. "
        async for event in turn.hand_off("baker"):
            yield event


class Settings(BaseModel):
    sugar: int = 3


@tool(risk="write")
async def bake(cake: str) -> str:
    """Bake a cake."""
    if cake == "stone":
        raise ValueError("too hard")
    return f"a {cake} cake"


@tool(risk="read")
async def taste() -> str:
    """Taste."""
    return "sweet"


class Bakery:
    """A plugin as an object."""

    @hookimpl
    def settings_schema(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    def register_agents(self) -> Iterable[Agent]:
        return [Baker(), Asker()]

    @hookimpl
    def register_tools(self, context: PluginContext) -> Iterable[Tool]:
        @tool(risk="read")
        async def sugar() -> int:
            """Tell how sweet."""
            assert isinstance(context.settings, Settings)
            return context.settings.sugar

        return [bake, taste, sugar]


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("call_1", name, arguments)


async def test_a_tool_is_called_with_validated_arguments() -> None:
    async with PluginHarness.open(Bakery(), settings={"sugar": 7}) as harness:
        assert (await harness.call_tool("bake", cake="plum")).content == "a plum cake"
        assert (await harness.call_tool("sugar")).data == 7
        with pytest.raises(ToolArgumentsError):
            await harness.call_tool("bake", pie="plum")
        with pytest.raises(ValueError, match="too hard"):
            await harness.call_tool("bake", cake="stone")


async def test_an_agent_streams_calls_tools_and_is_told_results() -> None:
    model = ScriptedModel([call("taste")], "It is sweet.")
    async with PluginHarness.open(Bakery(), model=model) as harness:
        turn = await harness.ask("baker", "How is it?", history=[Message.user("Hi")])
    assert turn.text == "It is sweet."
    assert [(name, result.content) for name, result in turn.results] == [("taste", "sweet")]
    assert not turn.asked
    assert [message.role for message in turn.messages] == ["user", "user", "assistant", "tool", "assistant"]
    assert model.requests[0].messages[0].text == "You bake."
    assert {spec["function"]["name"] for spec in model.requests[0].wire_tools} == {"bake", "taste"}  # type: ignore[index]


@pytest.mark.parametrize("approve", [True, False, None])
async def test_a_write_is_asked_about_and_denied_unless_the_test_approves(approve: bool | None) -> None:
    model = ScriptedModel([call("bake", '{"cake": "plum"}')], "Done.")
    async with PluginHarness.open(Bakery(), model=model) as harness:
        turn = await harness.ask("baker", "Bake!", approve=approve)
    ((_, result),) = turn.results
    assert result.is_error is (approve is not True)
    assert result.error_code == ("" if approve else "tool_denied")
    assert turn.asked == (AskedCall("bake", {"cake": "plum"}, '{"cake":"plum"}'),)


async def test_a_test_can_decide_by_the_call_and_failures_are_told_to_the_model() -> None:
    replies = [[call("bake", f'{{"cake": "{cake}"}}')] for cake in ("plum", "stone")]
    model = ScriptedModel(*replies, [call("fly")], [call("bake", "{")], "Oh.")
    async with PluginHarness.open(Bakery(), model=model, approve=lambda asked: asked.tool == "bake") as harness:
        turn = await harness.ask("baker", "Bake!")
    codes = [result.error_code for _, result in turn.results]
    assert codes == ["", "tool_failed", "tool_failed", "tool_arguments"]


async def test_questions_handing_over_and_structured_context() -> None:
    async with PluginHarness.open(Bakery(), model=ScriptedModel("Mmm.", "Mmm.")) as harness:
        turn = await harness.ask("asker", "Cake", answers=["2"])
        assert (turn.text, turn.agent, turn.questions) == ("One plum cake. Mmm.", "baker", ("Which cake?",))
        await harness.ask("asker", "Cake", answers=["apple"])
        with pytest.raises(TurnError, match="no answer left"):
            await harness.ask("asker", "Cake")


async def test_a_plugin_without_a_model_says_so() -> None:
    async with PluginHarness.open(Bakery()) as harness:
        with pytest.raises(TurnError, match="no model"):
            await harness.ask("baker", "Bake!")


FILE = '''
# /// iskra-plugin
# name = "weather"
# permissions = ["network"]
# ///
from iskra_sdk import hookimpl, tool

@hookimpl
def register_tools(context):
    @tool(risk="external")
    async def forecast(city: str) -> str:
        """Tell the weather."""
        answer = await context.http.request("GET", f"https://weather.example/{city}")
        await context.state.put("last", {"city": city})
        return answer.text
    @tool(risk="read")
    async def spy() -> str:
        """Read sessions."""
        return str(context.sessions)
    return [forecast, spy]
'''


async def test_a_plugin_file_is_loaded_with_its_manifest_and_held_to_it(tmp_path: Path) -> None:
    file = tmp_path / "weather.py"
    file.write_text(FILE)
    store = MemoryStore()

    def respond(method: str, url: str, headers: object, body: object) -> HTTPResponse:
        return HTTPResponse(200, {}, f"{method} {url}".encode())

    before = set(sys.modules)
    async with PluginHarness.open(file, respond=respond, store=store) as harness:
        assert harness.manifest.name == "weather"
        assert (await harness.call_tool("forecast", city="oslo")).content == "GET https://weather.example/oslo"
        with pytest.raises(PermissionDeniedError, match="sessions"):
            await harness.call_tool("spy")
    assert await store.plugin_value("weather", "last") == {"city": "oslo"}
    assert set(sys.modules) == before


async def test_a_package_is_loaded_with_relative_imports(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "iskra-plugin.toml").write_text('name = "pack"\nversion = "2"\n')
    (tmp_path / "pack" / "__init__.py").write_text("from .hooks import register_voices")
    (tmp_path / "pack" / "hooks.py").write_text(
        "from iskra_sdk import Voice, hookimpl\n@hookimpl\n"
        "def register_voices():\n    return [Voice('calm', 'Be calm.')]"
    )
    async with PluginHarness.open(tmp_path / "pack") as harness:
        assert harness.manifest.version == "2"
        assert list(harness.voices) == ["calm"]


class Lively:
    """Uses the context in every way that needs no permission."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.context: PluginContext | None = None

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, context: PluginContext) -> AsyncIterator[None]:
        self.context = context
        context.on_close(lambda: self.log.append("closed"))
        context.tasks.start(self._work)
        self.log.append("entered")
        yield
        self.log.append("left")

    async def _work(self) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            self.log.append("worked")

    @hookimpl
    def register_event_handlers(self) -> Iterable[EventHandler]:
        return [EventHandler("turn.*", self._handle)]

    async def _handle(self, event: Event) -> None:
        self.log.append(event.type)


async def test_lifespan_tasks_and_handlers_live_as_in_the_server() -> None:
    plugin = Lively()
    services = {collections.abc.Sized: [1, 2]}
    async with PluginHarness.open(plugin, services=services) as harness:
        await asyncio.sleep(0)
        await harness.publish(Event("turn.started"))
        await harness.publish(Event("tool.started"))
        await harness.context.notify(Notification("anna", "Look"))
        assert harness.context.notifications[0].title == "Look"
        assert harness.context.service(collections.abc.Sized) == [1, 2]  # type: ignore[type-abstract]
        await harness.context.events.publish(Event("plugin_under_test.done"))
        assert harness.bus.published[-1].source == "plugin_under_test"
        with pytest.raises(PermissionDeniedError):
            await harness.context.events.publish(Event("approval.decided"))
    assert plugin.log == ["entered", "turn.started", "worked", "closed", "left"]


async def test_what_a_plugin_tells_in_a_session_is_kept_and_published() -> None:
    plugin = Lively()
    async with PluginHarness.open(plugin) as harness:
        context, session_id = harness.context, harness.session_id
        told = [await context.tell_session(session_id, "plugin_under_test.done", {"n": n}) for n in range(2)]
        assert await harness.store.events(TESTER, session_id) == told
        assert list(harness.bus.published) == told
        assert told[0].seq < told[1].seq
        with pytest.raises(PermissionDeniedError):
            await context.tell_session(session_id, "approval.decided", {})
        with pytest.raises(SessionNotFoundError):
            await context.tell_session(SessionId("ses_none"), "plugin_under_test.done", {})
        with pytest.raises(BadInputError):
            await context.tell_session(session_id, "plugin_under_test.done", {"who": object()})
        assert list(harness.bus.published) == told
    async with PluginHarness.open(Lively(), manifest=PluginManifest(name="modest")) as harness:
        with pytest.raises(PermissionDeniedError, match="sessions"):
            await harness.context.tell_session(harness.session_id, "modest.done", {})


async def test_what_the_server_would_refuse_is_refused() -> None:
    class Unasked:
        @hookimpl
        def register_routes(self) -> Iterable[PluginRoutes]:
            return [PluginRoutes("/x", print, "public")]

    class Misspelt:
        @hookimpl
        def register_cakes(self) -> list[str]:
            return []

    with pytest.raises(PluginLoadError, match="routes"):
        async with PluginHarness.open(Unasked(), manifest=PluginManifest(name="unasked")):
            pass
    with pytest.raises(PluginLoadError, match="register_cakes"):
        async with PluginHarness.open(Misspelt()):
            pass
    with pytest.raises(PluginLoadError, match="implements no hook"):
        async with PluginHarness.open(object()):
            pass
    with pytest.raises(PluginSettingsError, match="sugar"):
        async with PluginHarness.open(Bakery(), settings={"sugar": "much"}):
            pass


async def test_text_the_agent_writes_itself_becomes_a_message() -> None:
    class Plain(Agent):
        name = "plain"

        async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
            yield "one "
            yield TextDelta("two")

    async with PluginHarness.open(Bakery(), agents=[Plain()]) as harness:
        turn = await harness.ask("plain", "Go")
    assert turn.text == "one two"
    assert turn.messages[-1] == Message.assistant("one two")
