"""What a plugin that reads the metrics of sessions offers to others."""

from collections.abc import Mapping
from typing import Any, Protocol

from iskra_metrics.reading import Reading


class ConversationMetrics(Protocol):
    """Reads the metrics of stored conversations."""

    async def of_session(self, principal: Any, session_id: Any) -> Mapping[str, Reading]:
        """Return the reading of each metric by its name, up to the last turn that has ended.

        Args:
            principal: The ``iskra_sdk.Principal`` who asks.
            session_id: The session.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
