"""What sessions answered to interventions, kept over restarts, and each tenant's gain that is estimated from it."""

import logging
from collections.abc import Sequence

from iskra_chaos.balance.gain import GainEstimate
from iskra_chaos.balance.recording import Segment
from iskra_sdk.plugin_context import KeyValueState

logger = logging.getLogger(__name__)

_MOST_SEGMENTS = 400
_KEY = "interventions"


class LearnedGains:
    """Learns from the recorded interventions of all sessions.

    Args:
        state: Where the latest 400 segments are kept.
    """

    def __init__(self, state: KeyValueState) -> None:
        self._state = state
        self._segments: list[Segment] = []
        self._gains: dict[str, GainEstimate] = {}

    @property
    def segments(self) -> Sequence[Segment]:
        """What sessions answered to interventions, oldest first; the latest 400."""
        return self._segments

    def of(self, tenant: str) -> GainEstimate:
        """Return what was learned of a tenant's sessions."""
        return self._gains.get(tenant, GainEstimate())

    async def load(self) -> None:
        """Learn from what was kept; what cannot be read is left out."""
        kept = await self._state.get(_KEY)
        for each in kept if isinstance(kept, list) else ():
            try:
                self._learn(Segment.from_json(each))
            except ValueError:
                logger.warning("recorded intervention cannot be read")

    async def add(self, segment: Segment) -> None:
        """Learn from a segment, and keep it."""
        self._learn(segment)
        await self._state.put(_KEY, [each.to_json() for each in self._segments])

    def _learn(self, segment: Segment) -> None:
        self._segments = [*self._segments, segment][-_MOST_SEGMENTS:]
        self._gains.setdefault(segment.tenant, GainEstimate()).observe(*segment.answer)
