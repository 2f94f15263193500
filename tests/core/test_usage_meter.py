"""Usage: summed, kept through restarts, held to the day's budgets."""

import pytest

from iskra.settings import LimitSettings
from iskra.usage_meter import UsageMeter
from iskra_sdk.errors import BudgetExceededError
from iskra_sdk.llm import Caller, Usage
from iskra_sdk.principal import SYSTEM
from iskra_sdk.testing.manual_clock import ManualClock
from iskra_sdk.testing.memory_store import MemoryStore

ALICE = Caller("alice", "coder")
DAY = 86_400


async def test_calls_are_summed_per_day_principal_agent_and_target() -> None:
    store = MemoryStore()
    meter = UsageMeter(store, ManualClock())
    meter.record(ALICE, "openai/a", Usage(1, 2))
    meter.record(ALICE, "openai/a", Usage(10, 20))
    await meter.write()
    meter.record(ALICE, "openai/a", Usage(100, 200))
    await meter.write()
    (row,) = await store.usage(SYSTEM)
    assert (row.principal_id, row.agent, row.target, row.calls) == ("alice", "coder", "openai/a", 3)
    assert row.usage == Usage(111, 222)


async def test_used_up_budget_refuses_calls_until_tomorrow_also_after_a_restart() -> None:
    store, clock = MemoryStore(), ManualClock()
    limits = LimitSettings(tokens_per_day=100)
    meter = UsageMeter(store, clock, limits)
    meter.admit(ALICE)
    meter.record(ALICE, "openai/a", Usage(60, 60))
    with pytest.raises(BudgetExceededError) as refused:
        meter.admit(ALICE)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= DAY
    meter.admit(Caller("bob"))
    await meter.write()
    again = UsageMeter(store, clock, limits)
    await again.load()
    with pytest.raises(BudgetExceededError):
        again.admit(ALICE)
    clock.advance(DAY)
    again.admit(ALICE)


def test_an_agent_may_have_a_budget_of_its_own() -> None:
    meter = UsageMeter(MemoryStore(), ManualClock(), LimitSettings(agent_tokens_per_day={"coder": 10}))
    meter.record(ALICE, "openai/a", Usage(10, 0))
    with pytest.raises(BudgetExceededError, match="coder"):
        meter.admit(ALICE)
    meter.admit(Caller("alice", "ask"))
