"""Reads a session's conversation and measures it."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from iskra_chaos.operations.conversation import Conversation, utterances_of
from iskra_metrics.conversation import ConversationState
from iskra_sdk.ids import SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import SessionReader, message_position

_TURNS = 40
"""Turns that are looked at."""
_SESSIONS = 1000
"""Sessions whose averages are remembered; the one that was measured longest ago goes first."""


class Measuring:
    """Conversation metrics of sessions, with the averages that they carry from turn to turn."""

    def __init__(self, sessions: SessionReader) -> None:
        self._sessions = sessions
        self._states: OrderedDict[str, tuple[int, ConversationState, dict[str, float]]] = OrderedDict()

    async def conversation(self, principal: Principal, session_id: str) -> Conversation:
        """Return the latest turns of a session with its readings.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        messages = await self._messages(principal, session_id)
        return Conversation(messages, await self._readings(session_id, messages))

    async def _messages(self, principal: Principal, session_id: str) -> list[Message]:
        owned = SessionId(session_id)
        await self._sessions.session(principal, owned)
        newest = await self._sessions.turns(principal, owned, limit=1)
        first = max(0, newest[0].number - _TURNS) if newest else 0
        stored = await self._sessions.messages(principal, owned, after=message_position(first, 0))
        return [each.message.with_id(each.id) for each in stored]

    async def _readings(self, session_id: str, messages: Sequence[Message]) -> Mapping[str, float]:
        known = self._states.get(session_id)
        if known is not None and known[0] == len(messages):
            return known[2]
        state = known[1] if known is not None else ConversationState()
        readings = await asyncio.to_thread(state.update, utterances_of(messages))
        values = readings.values
        self._states[session_id] = (len(messages), state, values)
        self._states.move_to_end(session_id)
        while len(self._states) > _SESSIONS:
            self._states.popitem(last=False)
        return values

    async def readings(self, session_id: str) -> Mapping[str, float]:
        """Return a session's readings as they stand, on the server's own account."""
        return (await self.conversation(SYSTEM, session_id)).readings

    def last(self) -> Mapping[str, Mapping[str, float]]:
        """Return the last readings of every session that was measured."""
        return {session_id: values for session_id, (_, _, values) in self._states.items()}

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._states.pop(session_id, None)
