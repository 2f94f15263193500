"""The event loop goes on when plugin code holds it, and the plugin is named."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from iskra.loop_guard import LoopHeldInterruptError
from iskra_sdk.errors import PluginBlockedLoopError
from plugin_workshop import until, workshop

HOLDERS = {
    "busy": "while True: pass",
    "sleeping": "time.sleep(5)",
    "in_a_library": "while True: json.dumps([1] * 1000)",
    "nested": "(lambda: [x for x in iter(int, 1)])()",
}

SOURCE = """
import json
import time
from iskra_sdk import hookimpl, tool

@tool(risk="read")
async def hold() -> str:
    '''Hold the loop.'''
    HOLD
    return "never"

@hookimpl
def register_tools():
    return [hold]
"""


@pytest.mark.parametrize("kind", HOLDERS)
async def test_a_tool_that_holds_the_loop_is_interrupted_and_named(kind: str, tmp_path: Path) -> None:
    async with workshop(tmp_path, guard_loop=True) as shop:
        await shop.drop("heavy", SOURCE.replace("HOLD", HOLDERS[kind]))
        # The stronger of the two comes when a busy machine delays the first: what escapes here would end the test run.
        with pytest.raises((PluginBlockedLoopError, LoopHeldInterruptError)) as caught:
            await shop.call("hold")
        assert "'heavy'" in str(caught.value)
        assert "heavy.py, line" in str(caught.value)
        await until(lambda: shop.host.get("heavy").failures == 1)
        (event,) = [event for event in shop.events if event.data.get("code") == "plugin_blocked_loop"]
        assert event.data["plugin"] == "heavy"
        assert event.data["interrupted"] is True
        assert isinstance(shop.host.get("heavy").error, PluginBlockedLoopError)


async def test_code_that_swallows_errors_is_interrupted_all_the_same(tmp_path: Path) -> None:
    stubborn = (
        "while True:\n        try:\n            max(x for x in iter(int, 1) if x)\n        except Exception: pass"
    )
    async with workshop(tmp_path, guard_loop=True) as shop:
        await shop.drop("stubborn", SOURCE.replace("HOLD", stubborn))
        with pytest.raises(LoopHeldInterruptError):
            await shop.call("hold")


async def test_a_task_that_holds_the_loop_again_and_again_is_quarantined_in_the_end(tmp_path: Path) -> None:
    source = """
    from contextlib import asynccontextmanager
    from iskra_sdk import hookimpl
    async def spin():
        while True: pass
    @hookimpl
    @asynccontextmanager
    async def lifespan(context):
        context.tasks.start(spin)
        yield
    """
    async with workshop(tmp_path, guard_loop=True) as shop:
        await shop.drop("spinner", source)
        # Once for the time that was held, once for what the task raised.
        await until(lambda: shop.host.get("spinner").failures == 2)
        assert isinstance(shop.host.get("spinner").error, PluginBlockedLoopError)


async def test_code_that_only_waits_for_the_processor_is_not_interrupted(tmp_path: Path) -> None:
    # A thread that calculates shares the interpreter with the loop and takes most of it, as a busy machine would.
    meek = "started = time.thread_time()\n    while time.thread_time() - started < 0.3: pass\n    return 'done'"
    stopped = threading.Event()
    hogs = [threading.Thread(target=lambda: [None for _ in iter(stopped.is_set, True)]) for _ in range(4)]
    async with workshop(tmp_path, guard_loop=True) as shop:
        await shop.drop("meek", SOURCE.replace("HOLD", meek))
        for hog in hogs:
            hog.start()
        try:
            assert await shop.call("hold") == "done"
        finally:
            stopped.set()
            for hog in hogs:
                hog.join()
        assert shop.host.get("meek").error is None


async def test_code_of_the_kernel_is_never_interrupted(tmp_path: Path) -> None:
    async with workshop(tmp_path, guard_loop=True) as shop:
        await shop.drop("innocent", SOURCE.replace("HOLD", "pass"))
        await asyncio.sleep(0.3)  # the guard ticks
        until_then = time.monotonic() + 1.5
        while time.monotonic() < until_then:
            pass
        await asyncio.sleep(0.3)
        assert shop.host.get("innocent").error is None
        assert "error" not in shop.event_types()
