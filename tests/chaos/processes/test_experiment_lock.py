"""The lock on experiments by itself: the alarm it raises, and a store that is away."""

import pytest

from chaos.processes.stage import Store, stage
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.processes.experiment_lock import FailedRollback
from iskra_sdk.errors import BadInputError, ConflictError, StoreUnavailableError
from iskra_sdk.event import Severity


def failed(experiment: str = "e") -> FailedRollback:
    return FailedRollback(title="R9", experiment=experiment, reasons=["the disk stayed full"])


async def test_locking_raises_a_critical_alarm_and_ends_what_is_left_of_the_experiment() -> None:
    async with stage(environment="test", faults=True) as given:
        mine, other = (
            given.parts.board.add(
                FaultSpec.model_validate({"point": point, "kind": kind, "ttl": 60, "experiment": experiment})
            )
            for point, kind, experiment in (("llm.request", "down", "e"), ("store.write", "full", "another"))
        )
        assert await given.parts.experiment_lock.lock(failed()) == [mine.id]
        assert (mine.lease.is_active, other.lease.is_active) == (False, True)
        (told,) = [event for event in given.harness.bus.published if event.type == "chaos.system_state"]
        assert told.severity is Severity.CRITICAL
        data = told.data["data"]
        assert isinstance(data, dict)
        assert (data["state"], data["experiment"], data["faults_ended"]) == ("experiments_locked", "e", 1)
        assert "iskra chaos unlock" in str(data["mend"])


async def test_it_survives_a_restart_and_the_earliest_failure_is_named() -> None:
    store = Store()
    async with stage(store=store) as given:
        await given.parts.experiment_lock.lock(failed("first"))
        await given.parts.experiment_lock.lock(failed("second"))
    async with stage(store=store) as later:
        with pytest.raises(ConflictError) as refused:
            later.parts.experiment_lock.require_unlocked()
        assert refused.value.facts == {"experiment": "first", "failed_rollbacks": 2}
        with pytest.raises(BadInputError):
            await later.parts.experiment_lock.unlock("  ")
        assert later.parts.experiment_lock.is_locked
        assert await later.parts.experiment_lock.unlock("mended") == 2
    async with stage(store=store) as last:
        last.parts.experiment_lock.require_unlocked()


async def test_without_a_store_it_locks_all_the_same_and_does_not_open() -> None:
    async with stage() as given:
        given.store.is_down = True
        await given.parts.experiment_lock.lock(failed())
        with pytest.raises(StoreUnavailableError):
            await given.parts.experiment_lock.unlock("mended")
        assert given.parts.experiment_lock.is_locked


async def test_a_record_that_cannot_be_read_counts_as_a_lock() -> None:
    store = Store()
    async with stage(store=store) as given:
        await given.harness.context.state.put("experiments_lock", [{"title": 7}])
    async with stage(store=store) as later:
        assert later.parts.experiment_lock.is_locked
