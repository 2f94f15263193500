"""Limits that end an experiment at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.document import Activity
from iskra_chaos.experiments.files.extension import Guard
from iskra_chaos.experiments.load import LoadRun

Judge = Callable[[Activity], Awaitable[tuple[bool, object]]]
"""Runs a probe and returns whether its output is within its tolerance, and the output."""


@dataclass(slots=True)
class GuardWatch:
    """Looks at one guard again and again.

    Attributes:
        probe: The guard's activity, if it has one.
        checks: How often it was looked at.
        last: What was seen last.
        is_hit: Whether the limit was passed for long enough.
    """

    guard: Guard
    probe: Activity | None = None
    checks: int = 0
    last: object = None
    is_hit: bool = False

    async def watch(self, judge: Judge, load: LoadRun | None, on_hit: Callable[[str], None]) -> None:
        """Look until cancelled or hit.

        Args:
            judge: Runs the probe.
            load: Where measures are read.
            on_hit: Told why, in a sentence.
        """
        loop = asyncio.get_running_loop()
        passed_since: float | None = None
        while True:
            is_fine = await self._look(judge, load)
            self.checks += 1
            now = loop.time()
            if is_fine:
                passed_since = None
            elif passed_since is None:
                passed_since = now
            if passed_since is not None and now - passed_since >= self.guard.for_seconds:
                self.is_hit = True
                on_hit(self._reason())
                return
            await asyncio.sleep(self.guard.every)

    async def _look(self, judge: Judge, load: LoadRun | None) -> bool:
        if self.probe is not None:
            try:
                is_fine, self.last = await judge(self.probe)
            except ActivityError as exc:
                # Without a reading nobody knows whether the system is still safe.
                is_fine, self.last = False, exc.message
            return is_fine
        value = measured(self.guard, load)
        if value is None or self.guard.most is None:
            return True
        self.last = value
        return value <= self.guard.most

    def _reason(self) -> str:
        guard = self.guard
        lasting = f" for {guard.for_seconds:g} s" if guard.for_seconds else ""
        if guard.measure is None:
            return f"The guard {guard.name!r} saw {self.last!r}{lasting}."
        return f"The guard {guard.name!r} saw {guard.measure} = {self.last:.4g}, above {guard.most:g}{lasting}."

    def summary(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {"name": self.guard.name, "checks": self.checks, "last": self.last, "hit": self.is_hit}


def measured(guard: Guard, load: LoadRun | None) -> float | None:
    """Return what a guard measures, or ``None`` while there is too little to measure."""
    if load is None:
        return None
    samples = load.arms[guard.arm]
    if guard.measure == "requests":
        return float(samples.requests)
    if samples.requests < guard.at_least_requests:
        return None
    if guard.measure == "error_rate":
        return samples.failures / samples.requests
    p99 = samples.latency(0.99)
    if guard.measure == "p99" or p99 is None:
        return p99
    control = load.arms["control"]
    base = control.latency(0.99) if control.requests >= guard.at_least_requests else None
    return p99 / base if base else None
