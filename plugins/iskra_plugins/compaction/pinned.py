"""Messages that users want to stay in view."""

from collections.abc import Sequence

from iskra_sdk import Message, PluginContext
from iskra_sdk.errors import IskraError
from iskra_sdk.ids import MessageId, SessionId, TurnId
from iskra_sdk.principal import SYSTEM

MOST = 50
"""Messages that can be pinned in a session."""


class Pinned:
    """Which messages of a session are pinned, kept in the plugin's state; see ``iskra_sdk.pins.Pins``."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def in_session(self, session_id: SessionId) -> list[str]:
        """Return the ids of a session's pinned messages."""
        return list(await self._context.state.get(_key(session_id), []))

    async def of_session(self, session_id: SessionId) -> frozenset[MessageId]:
        """Return the same without their order, for other plugins."""
        return frozenset(map(MessageId, await self.in_session(session_id)))

    async def of(self, messages: Sequence[Message]) -> frozenset[str]:
        """Return the ids of the pinned messages of a conversation."""
        newest = next((message.id for message in reversed(messages) if message.id), "")
        try:
            session_id = await self._session_of(newest)
        except IskraError:
            return frozenset()
        return frozenset(await self.in_session(session_id))

    async def put(self, session_id: SessionId, ids: Sequence[str]) -> None:
        """Replace a session's pins."""
        await self._context.state.put(_key(session_id), list(ids) or None)

    async def _session_of(self, message_id: str) -> SessionId:
        turn_id = message_id.rpartition(".")[0]
        return (await self._context.sessions.turn(SYSTEM, TurnId(turn_id))).session_id


def _key(session_id: SessionId) -> str:
    return f"pins:{session_id}"
