from pathlib import Path
from typing import Any

import pytest

from iskra_sdk.errors import PluginError
from iskra_sdk.interceptor import Point
from plugin_workshop import Workshop, workshop

GROWING = '''
from iskra_sdk import hookimpl, tool

class State:
    names = ["one"]
    context = None
    fails = False

def named(name):
    @tool(name=name, risk="read")
    async def call() -> str:
        """Say the name."""
        return name
    return call

@hookimpl
def register_tools(context):
    State.context = context
    if State.fails:
        raise RuntimeError("no tools today")
    return [named(name) for name in State.names]
'''


def state_of(shop: Workshop, tool: str) -> Any:
    return shop.host.catalog.tools[tool].value.function.__globals__["State"]


async def test_a_plugin_offers_something_else_and_turns_under_way_keep_what_they_have(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("growing", GROWING)
        state = state_of(shop, "one")
        with shop.host.lease() as lease:
            state.names = ["two", "three"]
            await state.context.refresh()
            assert set(shop.host.catalog.tools) >= {"two", "three"}
            assert "one" not in shop.host.catalog.tools
            assert "one" in lease.catalog.tools
            assert await shop.call("two") == "two"
        assert shop.host.get("growing").generation == 1
        await shop.host.disable("growing")
        assert "two" not in shop.host.catalog.tools


async def test_what_cannot_be_offered_leaves_what_was(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("growing", GROWING)
        await shop.drop("other", GROWING.replace('["one"]', '["taken"]'))
        state = state_of(shop, "one")
        state.names = ["taken"]
        with pytest.raises(PluginError, match="taken"):
            await state.context.refresh()
        assert {"one", "taken"} <= set(shop.host.catalog.tools)
        state.fails = True
        with pytest.raises(PluginError, match="no tools today"):
            await state.context.refresh()
        assert await shop.call("one") == "one"


WRAPPING = '''
from iskra_sdk import Interceptor, Point, hookimpl, tool

class State:
    context = None
    wraps = False

@hookimpl
def register_tools(context):
    State.context = context

    @tool(risk="read")
    async def wrapped() -> str:
        """Say whether it is wrapped."""
        return "plain"

    return [wrapped]

@hookimpl
def register_interceptors(context):
    async def around(payload, proceed):
        await proceed(payload)

    return [Interceptor(Point.TURN, around)] if State.wraps else []
'''


async def test_a_point_is_intercepted_only_while_the_plugin_wants_it(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        await shop.drop("wrapping", WRAPPING, header='permissions = ["interceptors"]')
        state = state_of(shop, "wrapped")
        slot = shop.points.slot(Point.TURN)
        for wraps in (True, False):
            state.wraps = wraps
            await state.context.refresh()
            assert (slot.chain is not None) is wraps
