"""A disk that hangs while a process is written down: nothing acts unwritten, and nobody else waits for it."""

import asyncio
from collections.abc import Sequence

import pytest

from chaos.processes.stage import Store, stage
from iskra_sdk.errors import ConflictError
from iskra_sdk.session_store import Change


class HangingStore(Store):
    """A store whose writes wait until somebody lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.hangs = asyncio.Event()

    async def apply(self, changes: Sequence[Change]) -> None:
        if not self.goes_on.is_set():
            self.hangs.set()
            await self.goes_on.wait()
        await super().apply(changes)


async def test_an_operation_whose_record_hangs_does_not_act_and_a_stop_keeps_it_from_ever_acting() -> None:
    store = HangingStore()
    async with stage(store=store) as given:
        await given.session()
        store.goes_on.clear()
        starting = asyncio.create_task(given.start("s", "micro_disturbance"))
        await asyncio.wait_for(store.hangs.wait(), 5)
        assert given.parts.in_force.acting("s") is None
        given.parts.stop.at_once("the disk hangs")
        assert given.parts.stop.is_locked, "the stop waits for no disk"
        store.goes_on.set()
        with pytest.raises(ConflictError):
            await starting
        await given.records_are_written()
        (process,) = given.parts.journal.all()
        assert process.status == "aborted"
        assert (await given.kept(process.id))["status"] == "aborted"


async def test_another_session_is_answered_while_a_record_hangs() -> None:
    store = HangingStore()
    async with stage("Seven stalls.", store=store) as given:
        await given.session("a")
        await given.session("b")
        acting = await given.start("a", "micro_disturbance", 0.3)
        store.goes_on.clear()
        starting = asyncio.create_task(given.start("b", "micro_disturbance"))
        await asyncio.wait_for(store.hangs.wait(), 5)
        answer = await asyncio.wait_for(given.answer(given.request("a")), 5)
        assert answer == "Seven stalls."
        assert acting.applied == 1
        store.goes_on.set()
        assert (await starting).status == "active"
