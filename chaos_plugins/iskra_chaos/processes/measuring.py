"""Reads a session's conversation and measures it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from iskra_chaos.operations.conversation import Conversation, utterances_of
from iskra_metrics.conversation import ConversationState
from iskra_sdk.ids import SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import SessionReader, message_position

OPERATOR = "perturbation"
"""The agent that is asked for operations; what is said to it is about the conversation and no part of it."""
_TURNS = 40
"""Turns that are looked at."""
_SESSIONS = 1000
"""Sessions whose averages are remembered; the one that was measured longest ago goes first."""


@dataclass(frozen=True, slots=True)
class Service:
    """How the service does, as far as it belongs to the metrics: share of calls that fail, and health, in [0, 1]."""

    error_rate: float = 0.0
    health: float = 1.0


@dataclass(frozen=True, slots=True)
class _Measured:
    """Up to which message a session was measured, and what came of it."""

    last: tuple[int, str]
    state: ConversationState
    values: Mapping[str, float]
    confidence: float


class Measuring:
    """Conversation metrics of sessions, with the averages that they carry from turn to turn.

    Args:
        sessions: The stored conversations.
        service: How the service does now.
    """

    def __init__(self, sessions: SessionReader, service: Callable[[], Service] = Service) -> None:
        self._sessions = sessions
        self._service = service
        self._measured: OrderedDict[str, _Measured] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def conversation(self, principal: Principal, session_id: str) -> Conversation:
        """Return the latest turns of a session with its readings.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        owned = SessionId(session_id)
        await self._sessions.session(principal, owned)
        newest = await self._sessions.turns(principal, owned, limit=1)
        turn = newest[0].number if newest else 0
        stored = await self._sessions.messages(principal, owned, after=message_position(max(0, turn - _TURNS), 0))
        about_operations = {each.turn_id for each in stored if each.agent == OPERATOR}
        messages = [each.message.with_id(each.id) for each in stored if each.turn_id not in about_operations]
        return Conversation(messages, await self._readings(session_id, messages), turn=turn)

    async def _readings(self, session_id: str, messages: Sequence[Message]) -> Mapping[str, float]:
        # The averages are changed in a thread, so one task at a time works on those of a session.
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        async with lock:
            last = (len(messages), messages[-1].id if messages else "")
            known = self._measured.get(session_id)
            if known is not None and known.last == last:
                return known.values
            state = known.state if known is not None else ConversationState()
            service = self._service()
            read = await asyncio.to_thread(
                lambda: state.update(utterances_of(messages), error_rate=service.error_rate, health=service.health)
            )
            values = read.values
            self._measured[session_id] = _Measured(last, state, values, read.staleness.confidence)
            self._measured.move_to_end(session_id)
            while len(self._measured) > _SESSIONS:
                self._measured.popitem(last=False)
            return values

    async def readings(self, session_id: str) -> Mapping[str, float]:
        """Return a session's readings as they stand, on the server's own account."""
        return (await self.conversation(SYSTEM, session_id)).readings

    def last(self) -> Mapping[str, Mapping[str, float]]:
        """Return the last readings of every session that was measured."""
        return {session_id: measured.values for session_id, measured in self._measured.items()}

    def last_of(self, session_id: str) -> Mapping[str, float]:
        """Return the last readings of a session; empty if it was not measured."""
        measured = self._measured.get(session_id)
        return {} if measured is None else measured.values

    def confidence_of(self, session_id: str) -> float:
        """Return how far the last readings of a session can be relied on, in [0, 1]; 0 if it was not measured."""
        measured = self._measured.get(session_id)
        return 0.0 if measured is None else measured.confidence

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._measured.pop(session_id, None)
