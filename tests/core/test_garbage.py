import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress

from iskra.garbage import QUIET_SECONDS, GarbageKeeper, collect_seldom
from iskra.plugin_host import Catalog
from iskra_sdk.testing import ManualClock


class Plugins:
    """Tells of changes when the test says so."""

    def __init__(self) -> None:
        self.is_draining = False
        self.swap: Callable[[Catalog], None] = lambda _: None

    def on_swap(self, callback: Callable[[Catalog], None]) -> None:
        self.swap = callback


async def test_what_is_there_for_good_is_frozen_and_thawed_while_plugins_change() -> None:
    plugins, clock = Plugins(), ManualClock()
    keeper = asyncio.create_task(GarbageKeeper(plugins, clock).run())
    try:
        await asyncio.sleep(0)
        assert gc.get_freeze_count() > 1000
        plugins.swap(Catalog())
        assert gc.get_freeze_count() == 0
        await clock.until_sleeping()
        plugins.is_draining = True
        clock.advance(QUIET_SECONDS)
        await clock.until_sleeping()
        assert gc.get_freeze_count() == 0  # an old generation is still there
        plugins.is_draining = False
        clock.advance(QUIET_SECONDS)
        async with asyncio.timeout(10):
            while gc.get_freeze_count() == 0:  # noqa: ASYNC110 - the keeper tells nobody
                await asyncio.sleep(0)
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
    assert gc.get_freeze_count() == 0


async def test_young_objects_are_looked_at_seldom_while_serving_and_hardly_ever_at_the_start() -> None:
    usual = gc.get_threshold()
    collect_seldom()
    at_start = gc.get_threshold()
    keeper = asyncio.create_task(GarbageKeeper(Plugins(), ManualClock()).run())
    try:
        await asyncio.sleep(0)
        assert at_start[0] > gc.get_threshold()[0] > usual[0]
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
    assert gc.get_threshold() == usual
