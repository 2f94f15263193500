"""What plugins tell in sessions: committed, numbered, shown once, within bounds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from iskra.session_log import RESERVATION, SessionLogs
from iskra_sdk.clock import SystemClock
from iskra_sdk.errors import (
    BadInputError,
    BusyError,
    InputTooLargeError,
    IskraError,
    PermissionDeniedError,
    PluginError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from iskra_sdk.event import Event, Severity
from iskra_sdk.ids import MessageId, SessionId, TurnId
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import Change, CreateSession, DeleteSession, Session
from iskra_sdk.testing.memory_store import MemoryStore
from plugin_workshop import Workshop, until, workshop

ALICE = Principal("alice")
SESSION = SessionId("ses_1")
TELLER = '''
from iskra_sdk import EventHandler, hookimpl, tool

class State:
    context = None
    handled = []

@hookimpl
def register_tools(context):
    State.context = context

    @tool(name=f"{context.name}_state", risk="read")
    async def state() -> str:
        """Do nothing."""
        return State.context.name

    return [state]

@hookimpl
def register_event_handlers():
    async def handle(event):
        State.handled.append(event)

    return [EventHandler("*", handle)]
'''
MAY = 'name = "{0}"\npermissions = ["sessions"]'


class SlowStore(MemoryStore):
    """A store whose writes wait for the test, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writes_waiting = 0
        self.is_away = False

    async def apply(self, changes: Sequence[Change]) -> None:
        self.writes_waiting += 1
        await self.may_write.wait()
        self.writes_waiting -= 1
        if self.is_away:
            raise StoreUnavailableError("The database is away.")
        await super().apply(changes)


@asynccontextmanager
async def shop_with(tmp_path: Path, plugin: str = "tides", manifest: str = MAY) -> AsyncIterator[tuple[Workshop, Any]]:
    """Open a workshop with a session, and a plugin that may tell it something; yield the plugin's state, too."""
    store = SlowStore()
    async with workshop(tmp_path, store=store) as shop:
        shop.facilities.logs = SessionLogs(store, shop.bus, SystemClock())
        now = SystemClock().now()
        await store.apply([CreateSession(Session(SESSION, "alice", now, now, reserved_seq=RESERVATION))])
        await shop.drop(plugin, TELLER, header=manifest.format(plugin))
        yield shop, state_of(shop, plugin)


def state_of(shop: Workshop, plugin: str) -> Any:
    return shop.host.catalog.tools[f"{plugin}_state"].value.function.__globals__["State"]


def logs_of(shop: Workshop) -> SessionLogs:
    assert isinstance(shop.facilities.logs, SessionLogs)
    return shop.facilities.logs


async def stored(shop: Workshop) -> list[Event]:
    return list(await shop.store.events(ALICE, SESSION))


async def test_it_is_kept_numbered_and_published_once(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):
        first = await state.context.tell_session(SESSION, "tides.turned", {"level": 2.4, "at": (1, 2)})
        second = await state.context.tell_session(
            SESSION, "tides.turned", {}, severity=Severity.WARNING, turn_id=TurnId("trn_1")
        )
        assert await stored(shop) == [first, second]
        assert first.seq < second.seq
        assert (first.source, dict(first.data)) == ("tides", {"level": 2.4, "at": [1, 2]})
        assert (second.severity, second.turn_id) == (Severity.WARNING, "trn_1")
        assert [event for event in shop.events if event.type == "tides.turned"] == [first, second]
        await until(lambda: len([event for event in state.handled if event.type == "tides.turned"]) == 2)


async def test_it_comes_between_the_pieces_of_a_message_and_nothing_is_lost(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):
        logs = logs_of(shop)
        live = await logs.open(ALICE, SESSION)
        turn, message = TurnId("trn_1"), MessageId("trn_1.1")
        for word in ("The ", "tide ", "turns."):
            await logs.delta(live, turn, message, word)
            await state.context.tell_session(SESSION, "tides.turned", {"after": word}, turn_id=turn)
        live_events = live.after(0)
        logs.release(live)
        shown = [event.data.get("text", event.data.get("after")) for event in live_events]
        assert shown == ["The ", "The ", "tide ", "tide ", "turns.", "turns."]
        assert [event.seq for event in live_events] == sorted({event.seq for event in live_events})


REFUSED: list[tuple[str, object, type[IskraError], str]] = [
    ("moon.rose", {}, PermissionDeniedError, "Begin its own types with `tides.`"),
    ("tides", {}, PermissionDeniedError, "Begin"),
    ("tides.", {}, BadInputError, "no type"),
    ("tides.a\nb", {}, BadInputError, "no type"),
    ("tides." + "x" * 100, {}, BadInputError, "no type"),
    ("tides.turned", {"who": object()}, BadInputError, "no JSON form"),
    ("tides.turned", {"text": "\ud800"}, BadInputError, "no JSON form"),
    ("tides.turned", {"text": "x" * 16_384}, InputTooLargeError, "16384 are allowed"),
    ("tides.turned", {"deep": [{"n": 2**64}]}, BadInputError, "64 bits"),
    ("tides.turned", ["no mapping"], BadInputError, "no mapping"),
]


@pytest.mark.parametrize(("event_type", "data", "error", "text"), REFUSED)
async def test_what_does_not_fit_is_refused_and_leaves_nothing(
    tmp_path: Path, event_type: str, data: Any, error: type[IskraError], text: str
) -> None:
    async with shop_with(tmp_path) as (shop, state):
        with pytest.raises(error, match=text) as refused:
            await state.context.tell_session(SESSION, event_type, data)
        assert type(refused.value) is error
        assert await stored(shop) == []


async def test_a_plugin_called_like_a_kernel_event_cannot_speak_for_the_kernel(tmp_path: Path) -> None:
    async with shop_with(tmp_path, "service_level") as (shop, state):
        with pytest.raises(PermissionDeniedError, match=r"service_level\.changed"):
            await state.context.tell_session(SESSION, "service_level.changed", {})
        assert (await state.context.tell_session(SESSION, "service_level.noticed", {})).seq
        assert [event.type for event in await stored(shop)] == ["service_level.noticed"]


async def test_it_takes_the_permission_to_see_sessions(tmp_path: Path) -> None:
    async with shop_with(tmp_path, manifest='name = "{0}"') as (shop, state):
        with pytest.raises(PermissionDeniedError, match="sessions"):
            await state.context.tell_session(SESSION, "tides.turned", {})
        assert await stored(shop) == []


async def test_there_must_be_such_a_session(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):
        with pytest.raises(SessionNotFoundError):
            await state.context.tell_session(SessionId("ses_none"), "tides.turned", {})
        live = await logs_of(shop).open(ALICE, SESSION)  # somebody still follows it
        await shop.store.apply([DeleteSession(SESSION)])
        with pytest.raises(SessionNotFoundError):
            await state.context.tell_session(SESSION, "tides.turned", {})
        logs_of(shop).release(live)
        assert "tides.turned" not in shop.event_types()


async def test_a_flood_is_cut_and_counted_against_the_plugin(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):

        async def flood() -> None:
            for _ in range(5_000):
                await state.context.tell_session(SESSION, "tides.turned", {})

        with pytest.raises(BusyError, match="10 events a second") as refused:
            await flood()
        assert refused.value.retry_after
        told = await shop.store.events(ALICE, SESSION, limit=6_000)
        assert 500 <= len(told) < 5_000
        assert [event for event in shop.events if event.type == "tides.turned"] == told
        assert shop.host.get("tides").failures == 1


async def test_what_cannot_be_written_is_shown_to_nobody(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):
        assert isinstance(shop.store, SlowStore)
        shop.store.is_away = True
        with pytest.raises(StoreUnavailableError):
            await state.context.tell_session(SESSION, "tides.turned", {})
        assert "tides.turned" not in shop.event_types()
        shop.store.is_away = False
        assert (await state.context.tell_session(SESSION, "tides.turned", {})) in await stored(shop)


async def test_what_is_being_written_when_the_plugin_is_reloaded_is_kept_and_shown(tmp_path: Path) -> None:
    async with shop_with(tmp_path) as (shop, state):
        assert isinstance(shop.store, SlowStore)
        store, before = shop.store, state.context
        store.may_write.clear()

        async def tell() -> None:
            for number in range(3):
                await before.tell_session(SESSION, "tides.turned", {"number": number})

        before.tasks.start(tell)
        await until(lambda: store.writes_waiting == 1)
        reloading = asyncio.create_task(shop.host.reload("tides"))
        await until(lambda: shop.host.get("tides").generation == 2 or store.writes_waiting > 1)
        store.may_write.set()
        await reloading
        await logs_of(shop).close()
        kept = await stored(shop)
        assert kept[0].data == {"number": 0}
        assert [event for event in shop.events if event.type == "tides.turned"] == kept
        with pytest.raises(PluginError, match="unloaded"):
            await before.tell_session(SESSION, "tides.turned", {})
        assert (await state_of(shop, "tides").context.tell_session(SESSION, "tides.turned", {})).seq > kept[-1].seq
