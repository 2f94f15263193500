"""What plugins that read metrics and facts of sessions offer to others."""

from collections.abc import Mapping, Sequence
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


class VerifiedFacts(Protocol):
    """Knows which statements of stored conversations are verified."""

    async def verified(self, session_id: Any) -> Sequence[str]:
        """Return the statements of a session that have evidence besides the word of whoever made them, oldest first.

        It is read on the server's own account: whoever asks answers for showing it to the session's owner only.
        """


class ServiceHealth(Protocol):
    """Knows how the service does, as far as conversations notice it."""

    @property
    def error_rate(self) -> float:
        """Share of turns that failed lately, in [0, 1]."""

    @property
    def value(self) -> float:
        """In [0, 1]: 1 without failures, less the faster the error budget goes."""
