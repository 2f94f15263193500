"""The same calls are hit again, however they are interleaved."""

import asyncio
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults.fault_kit import FaultKit
from iskra_chaos.faults.fault import Fault, Passage
from iskra_chaos.faults.firing import Burst, FailFirst, Intermittent, Nth, Strategy
from iskra_chaos.faults.lease import Lease
from iskra_chaos.faults.scope import BlastRadius, Scope, SessionTraits
from iskra_chaos.faults.vocabulary import fault_kind
from iskra_sdk.errors import ProviderUnavailableError
from iskra_sdk.interceptor import Point
from iskra_sdk.testing.manual_clock import ManualClock

STRATEGIES: list[Strategy] = [Intermittent(probability=0.4), Burst(count=2), Nth(nth=3), FailFirst(count=2)]


def a_fault(strategy: Strategy, seed: int) -> Fault:
    kind = fault_kind(Point.LLM_REQUEST, "down")
    return Fault(
        "id",
        Point.LLM_REQUEST,
        kind,
        kind.parameters(),
        strategy=strategy,
        seed=seed,
        lease=Lease(ManualClock(), 10.0),
        radius=BlastRadius(Scope(), SessionTraits(), seed, 1.0),
        experiment="e",
    )


def hits(fault: Fault, order: list[str]) -> dict[str, list[bool]]:
    """Return which calls of each session are hit."""
    found: dict[str, list[bool]] = defaultdict(list)
    for session in order:
        found[session].append(fault.take(Passage(session)) is not None)
    return found


@given(
    st.lists(st.sampled_from("abcd"), max_size=60),
    st.randoms(use_true_random=False),
    st.integers(0, 2**63 - 1),
    st.sampled_from(STRATEGIES),
)
def test_the_order_of_sessions_does_not_matter(
    order: list[str], chance: random.Random, seed: int, strategy: Strategy
) -> None:
    shuffled = order[:]
    chance.shuffle(shuffled)
    assert hits(a_fault(strategy, seed), order) == hits(a_fault(strategy, seed), shuffled)


@pytest.mark.parametrize("seed", range(5))
async def test_a_replay_on_the_kernel_hits_the_same_calls_in_parallel(kit: FaultKit, seed: int) -> None:
    sessions = [f"session {number}" for number in range(6)]

    async def outcomes(session: str, pauses: random.Random) -> list[bool]:
        found = []
        for _ in range(10):
            for _ in range(pauses.randrange(4)):
                await asyncio.sleep(0)
            try:
                await kit.kernel_complete("fine", session=session)
            except ProviderUnavailableError:
                found.append(True)
            else:
                found.append(False)
        return found

    runs = []
    for run in range(2):
        strategy = {"name": "intermittent", "probability": 0.4}
        fault = await kit.inject(Point.LLM_REQUEST, "down", strategy=strategy, seed=seed)
        pauses = random.Random(run)
        order = sessions[:: -1 if run else 1]
        results = await asyncio.gather(*(outcomes(session, pauses) for session in order))
        runs.append(dict(zip(order, results, strict=True)))
        assert (fault.lease.requested, fault.lease.applied) == (60, sum(map(sum, results)))
        assert fault.lease.observed == fault.lease.applied
        kit.board.clear(fault.id)
    assert runs[0] == runs[1]
    assert len({tuple(found) for found in runs[0].values()}) > 1, "sessions are not all hit alike"
