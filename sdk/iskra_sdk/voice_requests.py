"""What the plugin that keeps the voices offers to others."""

from typing import Protocol

from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal


class VoiceRequests(Protocol):
    """Asks for a voice in a session, for plugins that have a reason to. The built-in plugin ``voices`` provides it.

    A person's own request goes first and is never replaced.
    """

    async def ask_for(self, principal: Principal, session_id: SessionId, voice: str, *, turns: int) -> str:
        """Let a voice answer so many coming turns of ``voice:auto``; return why it does not, empty if it does.

        Raises:
            BadInputError: There is no such voice.
            SessionNotFoundError: No such session for this principal.
        """

    async def take_back(self, session_id: SessionId, voice: str) -> None:
        """Take such a request back; what a person asked for since, or another voice, stays.

        It asks nobody for permission: whether somebody may is for the caller to check.
        """
