"""Faults two by two: every pair of them acts together at least once while the load goes on.

Most failures of software need one or two things to go wrong, hardly any more than that (Kuhn, Wallace, Gallo, "Software
fault interactions and implications for software testing", IEEE TSE 30(6), 2004), so pairs find most of them.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.fault_leases import FaultLeases, Lease
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.load import LoadRun
from iskra_chaos.experiments.run_context import RunContext
from iskra_sdk.errors import IskraError
from iskra_sdk.ids import new_id

T = TypeVar("T")


def covering_rounds(count: int, size: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Return sets of ``size`` numbers below ``count``, such that every pair of numbers is in one of them.

    Greedy, as in AETG (Cohen et al., IEEE TSE 23(7), 1997): each set begins with a pair that is not covered yet and
    takes in the numbers that cover the most further pairs.

    Args:
        count: At least 2.
        size: At least 2; larger sets make fewer rounds.
        seed: Another seed makes other sets.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret depends on it
    left = list(combinations(range(count), 2))
    draw.shuffle(left)
    uncovered = dict.fromkeys(left)
    rounds = []
    while uncovered:
        chosen = list(next(iter(uncovered)))
        others = [number for number in range(count) if number not in chosen]
        draw.shuffle(others)
        while len(chosen) < size and others:
            best = max(others, key=lambda number: sum(_pair(number, each) in uncovered for each in chosen))
            chosen.append(best)
            others.remove(best)
        for first, second in combinations(sorted(chosen), 2):
            uncovered.pop((first, second), None)
        rounds.append(tuple(sorted(chosen)))
    return rounds


def _pair(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)


async def smallest(parts: Sequence[T], is_broken: Callable[[Sequence[T]], Awaitable[bool]]) -> list[T]:
    """Return a part of ``parts`` that still breaks, and of which no single one can be left out.

    One at a time is left out and stays out where the rest breaks without it.
    """
    kept = list(parts)
    for part in parts:
        without = [each for each in kept if each is not part]
        if without and await is_broken(without):
            kept = without
    return kept


class PairwiseFaults:
    """Lets faults act in rounds and looks after each of them whether the server kept what it promises.

    Args:
        context: Of the run; its load goes on meanwhile.
        look: Looks at the invariants that need the server and returns what is broken, in words.
        seconds: How long a round takes.
    """

    def __init__(self, context: RunContext, look: Callable[[], Awaitable[list[str]]], seconds: float) -> None:
        if context.load is None:
            raise ActivityError("Faults two by two need a load.")
        self._client = context.client
        self._load: LoadRun = context.load
        self._look = look
        self._seconds = seconds
        self._leases = FaultLeases(context.client, new_id("experiment"))
        self.observed: Counter[str] = Counter()

    async def run(self, faults: Sequence[DeclaredFault], size: int, seed: int, folder: Path | None) -> dict[str, Any]:
        """Let every pair act; return how many rounds that took and what broke.

        Args:
            faults: At least two.
            size: Faults of one round.
            seed: Decides about the rounds.
            folder: Where the smallest set that breaks something is written as an experiment; ``None`` writes none.
        """
        rounds = covering_rounds(len(faults), size, seed)
        broken = []
        for chosen in rounds:
            together = [faults[number] for number in chosen]
            if reasons := await self._round(together):
                least = await smallest(together, self._breaks)
                document = self._reproducer(least, reasons)
                broken.append(document)
                if folder is not None:
                    path = folder / f"reproducer-{len(broken)}.json"
                    await asyncio.to_thread(path.write_text, json.dumps(document, indent=1), encoding="utf-8")
        return {
            "rounds": len(rounds),
            "pairs": len(faults) * (len(faults) - 1) // 2,
            "observed": dict(self.observed),
            "unseen": [fault.title for fault in faults if not self.observed[fault.title]],
            "broken": broken,
        }

    async def _breaks(self, faults: Sequence[DeclaredFault]) -> bool:
        return bool(await self._round(faults))

    async def _round(self, faults: Sequence[DeclaredFault]) -> list[str]:
        """Let faults act together for a while; return what is broken afterwards."""
        before = self._unnamed_failures()
        leases = [Lease(fault) for fault in faults]
        async with asyncio.TaskGroup() as group:
            keeping = []
            try:
                for lease in leases:
                    await self._leases.acquire(lease)
                    keeping.append(group.create_task(self._leases.keep(lease)))
                await asyncio.sleep(self._seconds)
            finally:
                for task in keeping:
                    task.cancel()
                for lease in leases:
                    await self._leases.release(lease)
        for lease in leases:
            self.observed[lease.spec.title] += lease.observed
        unnamed = self._unnamed_failures() - before
        found = [
            f"{count} requests failed with {reason!r}, which is no typed error" for reason, count in unnamed.items()
        ]
        return found + await self._look()

    def _unnamed_failures(self) -> Counter[str]:
        named = frozenset(_codes(IskraError)) - {IskraError.code}
        reasons: Counter[str] = Counter()
        for samples in self._load.arms.values():
            reasons.update({reason: count for reason, count in samples.reasons.items() if reason not in named})
        return reasons

    def _reproducer(self, faults: Sequence[DeclaredFault], reasons: Sequence[str]) -> dict[str, Any]:
        probes = "iskra_chaos.experiments.probes"
        wait = {"type": "python", "module": probes, "func": "wait", "arguments": {"seconds": self._seconds}}
        lost = {"type": "python", "module": probes, "func": "lost_messages"}
        return {
            "title": " and ".join(fault.title for fault in faults) + " together",
            "description": "; ".join(reasons),
            "method": [{"type": "action", "name": "let them act", "provider": wait}],
            "extensions": [
                {
                    "name": "iskra",
                    "faults": [fault.model_dump(mode="json") for fault in faults],
                    "load": self._load.spec.model_dump(mode="json"),
                    "expect": [{"type": "probe", "name": "lost", "tolerance": 0, "provider": lost}],
                }
            ],
        }


def _codes(kind: type[IskraError]) -> Iterator[str]:
    yield kind.code
    for each in kind.__subclasses__():
        yield from _codes(each)
