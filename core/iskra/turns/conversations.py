"""What sessions' conversations hold so far, kept in memory between turns."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iskra.turns.context_strategy import with_missing_results
from iskra_sdk.ids import SessionId
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import SessionStore, TurnRecord, message_position

REMEMBERED = 256
"""Sessions whose conversation stays in memory, so that the next turn need not read it."""

_PAGE = 1000
_NO_RESULT = "(no result: the turn ended first)"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session's messages before a turn, and its agents' structured contexts."""

    messages: Sequence[Message]
    contexts: Mapping[str, object]


class Conversations:
    """Reads conversations from the store, and remembers those used last.

    Only the server that runs a session's turns may use what is remembered; it forgets a session whenever a turn ends
    in another way than by completing.

    Args:
        store: Where messages live.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._known: OrderedDict[SessionId, Conversation] = OrderedDict()

    async def before(self, record: TurnRecord) -> Conversation:
        """Return the conversation before a turn's own message, valid for every model API."""
        known = self._known.get(record.session_id)
        if known is not None:
            self._known.move_to_end(record.session_id)
            return known
        return await self.as_it_was(record)

    async def as_it_was(self, record: TurnRecord) -> Conversation:
        """Return the conversation before a turn's own message as the store has it; the contexts are those of now."""
        session = await self._store.session(SYSTEM, record.session_id)
        return Conversation(await self._read(record), session.contexts)

    async def _read(self, record: TurnRecord) -> Sequence[Message]:
        end = message_position(record.number, 0)
        messages: list[Message] = []
        after = 0
        while True:
            page = await self._store.messages(SYSTEM, record.session_id, after=after, limit=_PAGE)
            messages.extend(stored.message.with_id(stored.id) for stored in page if stored.position < end)
            if len(page) < _PAGE or page[-1].position >= end:
                return with_missing_results(messages, _NO_RESULT)
            after = page[-1].position

    def remember(self, session_id: SessionId, messages: Sequence[Message], contexts: Mapping[str, object]) -> None:
        """Remember how a conversation stands."""
        self._known[session_id] = Conversation(with_missing_results(messages, _NO_RESULT), contexts)
        self._known.move_to_end(session_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, session_id: SessionId) -> None:
        """Read this conversation anew next time."""
        self._known.pop(session_id, None)
