"""Counts model usage, keeps to the day's budgets, and writes the sums off the path of the answers."""

import asyncio
import logging
from collections import Counter
from datetime import datetime, timedelta

from iskra.settings import LimitSettings
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BudgetExceededError, StoreError
from iskra_sdk.llm import Caller, Usage
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import AddUsage, SessionStore

logger = logging.getLogger(__name__)

WRITE_EVERY = 1.0  # seconds; what a crash may lose


class UsageMeter:
    """Sums tokens per day, principal, agent and target.

    A budget is checked before a call and the call counted after it, so the last call of a day may go over.

    Args:
        store: Where the sums go.
        clock: For the day, in UTC.
        limits: The budgets.
    """

    def __init__(self, store: SessionStore, clock: Clock, limits: LimitSettings | None = None) -> None:
        limits = limits or LimitSettings()
        self._budget = limits.tokens_per_day
        self._agent_budgets = limits.agent_tokens_per_day
        self._spent_on = ""
        self._spent: Counter[tuple[str, str]] = Counter()  # (principal, agent); agent "" is all of them
        self._store = store
        self._clock = clock
        self._sums: dict[tuple[str, str, str, str], tuple[Usage, int]] = {}
        self._is_dirty = asyncio.Event()

    async def load(self) -> None:
        """Read what was used today before this start."""
        today = self._today()
        for row in await self._store.usage(SYSTEM, since_day=today):
            if row.day == today:
                self._spend(row.principal_id, row.agent, row.usage)

    def admit(self, caller: Caller) -> None:
        """Let a call pass if the day's budgets allow it.

        Raises:
            BudgetExceededError: They are used up.
        """
        if not self._budget and not self._agent_budgets:
            return
        self._today()
        for agent, budget in (("", self._budget), (caller.agent, self._agent_budgets.get(caller.agent, 0))):
            spent = self._spent[caller.principal_id, agent]
            if budget and spent >= budget:
                of = f"the agent {agent!r}" if agent else "your models"
                raise BudgetExceededError(
                    f"Today's {budget:,} tokens for {of} are used up ({spent:,} spent).",
                    mend="Try again tomorrow (UTC), or ask an admin to raise `limits`.",
                    retry_after=self._until_tomorrow(),
                    facts={"budget": budget, "spent": spent},
                )

    def _today(self) -> str:
        """Return the day, and begin counting anew when it is another one."""
        today = _day(self._clock.now())
        if today != self._spent_on:
            self._spent_on = today
            self._spent.clear()
        return today

    def _spend(self, principal_id: str, agent: str, usage: Usage) -> None:
        self._spent[principal_id, ""] += usage.total_tokens
        if agent:
            self._spent[principal_id, agent] += usage.total_tokens

    def _until_tomorrow(self) -> float:
        now = self._clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return (midnight - now).total_seconds()

    def record(self, caller: Caller, target: str, usage: Usage) -> None:
        """Count one call."""
        day = self._today()
        self._spend(caller.principal_id, caller.agent, usage)
        key = (day, caller.principal_id, caller.agent, target)
        known, calls = self._sums.get(key, (Usage(), 0))
        self._sums[key] = (known + usage, calls + 1)
        self._is_dirty.set()

    async def run(self) -> None:
        """Write the sums as they come in; runs until cancelled."""
        while True:
            await self._is_dirty.wait()
            await self._clock.sleep(WRITE_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write what has come in since the last time; what cannot be written is kept for the next."""
        self._is_dirty.clear()
        sums, self._sums = self._sums, {}
        try:
            await self._store.apply([AddUsage(*key, usage, calls) for key, (usage, calls) in sums.items()])
        except StoreError as exc:
            logger.warning("usage not written yet", extra={"error": exc.code})
            for key, (usage, calls) in sums.items():
                known, known_calls = self._sums.get(key, (Usage(), 0))
                self._sums[key] = (known + usage, known_calls + calls)
            self._is_dirty.set()


def _day(moment: datetime) -> str:
    return moment.date().isoformat()
