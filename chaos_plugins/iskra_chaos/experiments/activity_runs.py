"""Runs activities the way a journal records them."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from iskra_chaos.experiments.errors import ActivityError, ExperimentError
from iskra_chaos.experiments.files.document import Activity, tolerance_probe
from iskra_chaos.experiments.files.tolerance import is_within
from iskra_chaos.experiments.files.variables import Variables
from iskra_chaos.experiments.providers import Providers, as_seconds

logger = logging.getLogger(__name__)

Record = dict[str, Any]
"""One activity in the shape of the Chaos Toolkit's journal."""


class ActivityRuns:
    """Runs activities, with their pauses and tolerances.

    Args:
        providers: Do the work.
        variables: Fill the names in tolerances and pauses.
        is_dry: Whether activities are only recorded.

    Attributes:
        judgements: How many outputs were held against a tolerance so far.
    """

    def __init__(self, providers: Providers, variables: Variables, *, is_dry: bool = False) -> None:
        self._providers = providers
        self._variables = variables
        self._is_dry = is_dry
        self.judgements = 0

    def use(self, variables: Variables) -> None:
        """Fill names from here on with other variables."""
        self._variables = variables
        self._providers.use(variables)

    async def run(self, activity: Activity) -> Record:
        """Run an activity and return its record; ``status`` says whether it succeeded.

        A record of an activity with a tolerance has ``tolerance_met``. A failed activity does not meet it.
        """
        record: Record = {"activity": activity.model_dump(mode="json", exclude_unset=True), "output": None}
        record["status"] = "succeeded"
        after = 0.0
        start, clock = datetime.now(UTC), monotonic()
        try:
            before, after = self._seconds(activity.pauses.before), self._seconds(activity.pauses.after)
            await asyncio.sleep(before)
            start, clock = datetime.now(UTC), monotonic()
            if not self._is_dry:
                record["output"] = await self._providers.run(activity)
                _require_done(activity, record["output"])
        except ActivityError as exc:
            record["status"] = "failed"
            record["exception"] = [exc.message]
            # Neither arguments nor outputs belong in a log: they may hold secrets.
            logger.warning("activity failed", extra={"activity": activity.name})
        record["start"] = start.isoformat()
        record["end"] = datetime.now(UTC).isoformat()
        record["duration"] = monotonic() - clock
        if activity.has_tolerance and not self._is_dry:
            self.judgements += 1
            record["tolerance_met"] = record["status"] == "succeeded" and await self._is_met(activity, record)
        await asyncio.sleep(after)
        return record

    def _seconds(self, pause: object) -> float:
        return 0.0 if pause is None or self._is_dry else as_seconds(self._variables.fill(pause))

    async def _is_met(self, activity: Activity, record: Record) -> bool:
        try:
            return await self.judge(activity.tolerance, record["output"])
        except ExperimentError as exc:
            record["status"], record["exception"] = "failed", [str(exc)]
            return False

    async def judge(self, tolerance: object, value: object) -> bool:
        """Return whether a value is within a tolerance.

        Raises:
            ExperimentError: The tolerance cannot be judged with these values of its names, or in time.
        """
        filled = tolerance if tolerance_probe(tolerance) else self._variables.fill(tolerance)
        return await is_within(filled, value, self._run_tolerance)

    async def _run_tolerance(self, tolerance: Mapping[str, Any], value: object) -> object:
        probe = tolerance_probe(tolerance)
        assert probe is not None  # noqa: S101 - only tolerances of this kind come here
        return await self._providers.run(probe, value, judges=True)

    async def look(self, probe: Activity) -> tuple[bool, object]:
        """Run a guard's probe and return whether its output is within its tolerance, and the output.

        Raises:
            ActivityError: The probe failed.
        """
        output = await self._providers.run(probe)
        return await self.judge(probe.tolerance, output), output

    async def check(self, probes: list[Activity]) -> Record:
        """Check a hypothesis; the first probe that is not met ends the check, as in the Chaos Toolkit."""
        state: Record = {"steady_state_met": True, "probes": []}
        for probe in probes:
            record = await self.run(probe)
            state["probes"].append(record)
            if not record.get("tolerance_met", self._is_dry):
                state["steady_state_met"] = False
                break
        return state


def _require_done(activity: Activity, output: object) -> None:
    """Refuse an action whose program or request did not succeed, unless a tolerance says what it may return.

    Unlike the Chaos Toolkit, which only warns: what was not done must not be taken for a fault that did no harm, nor
    what was not taken back for a rollback.

    Raises:
        ActivityError: It says that it did not succeed.
    """
    if activity.type != "action" or activity.has_tolerance or not isinstance(output, Mapping):
        return
    kind, status = activity.provider.type, output.get("status")
    if kind == "process" and status != 0:
        words = str(output.get("stderr", "")).strip().splitlines()
        raise ActivityError(f"the program ended with status {status}{f': {words[-1]}' if words else ''}")
    if kind == "http" and isinstance(status, int) and status >= 400:
        raise ActivityError(f"the request was answered with {status}")


def what_was_wrong(record: Record) -> str:
    """Return a sentence, without its full stop, about a record that was not met or failed."""
    name = record["activity"].get("name", "?")
    if record["status"] == "failed":
        return f"{name!r} failed: {'; '.join(record.get('exception', ())).rstrip('.') or 'no reason given'}"
    text = repr(record["output"])
    return f"{name!r} returned {text if len(text) <= 200 else text[:200] + '…'}, which is outside its tolerance"
