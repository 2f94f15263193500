"""Computes the metrics of stored conversations, turn by turn, and tells when they change."""

import asyncio
import copy
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iskra_metrics.claims import contradictions
from iskra_metrics.conversation import ConversationState, Readings
from iskra_metrics.distress import in_crisis
from iskra_metrics.reading import Reading
from iskra_metrics.service import ServiceHealth
from iskra_metrics.text import sentences
from iskra_metrics.utterance import Role, Utterance
from iskra_sdk.errors import IskraError, SessionNotFoundError, StoreError
from iskra_sdk.event import Event, EventType
from iskra_sdk.ids import SessionId
from iskra_sdk.message import Message
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import SYSTEM, Principal
from iskra_sdk.session_store import UNFINISHED, StoredMessage, TurnRecord, message_position
from iskra_voices.choice import Signals
from iskra_voices.session_records import SessionRecord, SessionRecords
from iskra_voices.telling import Telling

logger = logging.getLogger(__name__)

CATCH_UP = 24
"""Turns at most that are made up for at once; of more, the latest."""
LEAST_CHANGE = 0.01
"""Of any metric, that is told of."""

_BEGINNING = 8  # messages in which a session says what it is for
_OWN_MESSAGES = 8  # messages of the user in which contradictions are looked for
_UNSUPPORTED = re.compile(r"\[(?:FACT|ФАКТ)\](?![^.\n]*(?:https?://|\[\d+\]|«|\"|source|источник))", re.IGNORECASE)
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class _Service:
    """How the service does, as far as the metrics take it in."""

    error_rate: float = 0.0
    health: float = 1.0


class ConversationReadings:
    """The metrics of sessions; see ``iskra_metrics.service.ConversationMetrics``.

    After a turn they are computed where a voice answered in the session or somebody asked for them before; elsewhere
    when somebody asks, turn by turn as if they had been computed all along.

    Args:
        context: The plugin's.
        records: Where they are kept.
        telling: Tells when they change.
        all_sessions: Compute them after every turn of every session.
    """

    def __init__(
        self, context: PluginContext, records: SessionRecords, telling: Telling, *, all_sessions: bool
    ) -> None:
        self._context = context
        self._telling = telling
        self._records = records
        self._all_sessions = all_sessions

    async def of_session(self, principal: Principal, session_id: str) -> Mapping[str, Reading]:
        """Return the reading of each metric by name, up to the last turn that has ended.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        session = await self._context.sessions.session(principal, SessionId(session_id))
        record = await self._records.of(session.id)
        await self._catch_up(session.id, record)
        if not record.is_watched:
            record.is_watched = True
            await self._records.save(session.id)
        return dict(record.readings)

    async def note(self, event: Event) -> None:
        """Take in an event of a turn or session."""
        if event.session_id is None:
            return
        try:
            await self._note(event, event.session_id)
        except SessionNotFoundError:  # deleted meanwhile
            await self._records.forget(event.session_id)

    async def _note(self, event: Event, session_id: SessionId) -> None:
        if event.type == EventType.SESSION_DELETED:
            await self._records.forget(session_id)
        elif event.type == EventType.TURN_STARTED:
            if str(event.data.get("model", "")).startswith("voice:"):
                (await self._records.of(session_id)).is_watched = True
        elif event.type == EventType.TURN_COMPLETED:
            record = await self._records.of(session_id) if self._all_sessions else self._records.known(session_id)
            if record is not None and (record.is_watched or self._all_sessions):
                await self._catch_up(session_id, record)
                await self._records.save(session_id)

    async def signals(self, session_id: str, record: SessionRecord, messages: Sequence[Message]) -> Signals:
        """Return what the choice of a voice looks at, with a conversation that ends in a new message taken in.

        Args:
            session_id: The session, whose ended turns are counted first; empty for a conversation outside of one.
            record: What is remembered of it.
            messages: The conversation.
        """
        if session_id:
            try:
                await self._catch_up(session_id, record)
            except (SessionNotFoundError, StoreError) as exc:  # what is known has to do
                logger.warning("metrics not brought up to date", extra={"session_id": session_id, "error": exc.code})
        conversation = [
            Utterance(_ROLES[message.role], message.text)
            for message in messages
            if message.role in _ROLES and message.text.strip()
        ]
        async with record.lock:
            state = copy.deepcopy(record.metrics)
        trust_before = state.trust
        service = self._service()
        readings = await asyncio.to_thread(
            lambda: state.update(conversation, error_rate=service.error_rate, health=service.health)
        )
        said = [utterance.text for utterance in conversation if utterance.role == "user"]
        answers = [utterance.text for utterance in conversation if utterance.role == "assistant"]
        return Signals.of(
            readings.values,
            hurt=readings.pain.parts["last"],
            own_contradictions=contradictions_in_last(said),
            unsupported_facts=len(_UNSUPPORTED.findall(answers[-1])) if answers else 0,
            in_crisis=bool(said) and in_crisis(said[-1]),
            confidence=readings.staleness.confidence,
            trust_falls=state.trust < trust_before - LEAST_CHANGE,
        )

    async def _catch_up(self, session_id: str, record: SessionRecord) -> None:
        """Count the turns that have ended since the last time."""
        async with record.lock:
            sessions = self._context.sessions
            newest = await sessions.turns(SYSTEM, SessionId(session_id), limit=CATCH_UP)
            missing = [turn for turn in reversed(newest) if turn.number > record.counted and _is_over(turn)]
            if not missing:
                if not record.readings:
                    record.readings = named(ConversationState().update([]))
                return
            messages = await self._messages(SessionId(session_id), max(1, missing[0].number - CATCH_UP))
            before = {name: reading.value for name, reading in record.readings.items()}
            record.readings = await asyncio.to_thread(_count, record.metrics, missing, messages, self._service())
            record.counted = missing[-1].number
            asked = next((stored.message.text for stored in reversed(messages) if stored.message.role == "user"), "")
            record.in_crisis = in_crisis(asked)
        values = {name: reading.value for name, reading in record.readings.items()}
        if any(abs(value - before.get(name, -1.0)) >= LEAST_CHANGE for name, value in values.items()):
            data = {"metrics": {name: round(value, 4) for name, value in values.items()}, "turn": record.counted}
            await self._telling.on_the_bus("metrics", data, SessionId(session_id), turn_id=missing[-1].id)

    def _service(self) -> _Service:
        """Return how the service does; that nothing fails where no plugin knows."""
        try:
            # A Protocol names the service; mypy takes concrete classes only there.
            known = self._context.service(ServiceHealth)  # type: ignore[type-abstract]
        except IskraError:
            return _Service()
        return _Service(known.error_rate, known.value)

    async def _messages(self, session_id: SessionId, first_turn: int) -> Sequence[StoredMessage]:
        """Return the beginning of a conversation and everything from a turn on."""
        sessions = self._context.sessions
        beginning = await sessions.messages(SYSTEM, session_id, limit=_BEGINNING)
        known = {message.id for message in beginning}
        after = message_position(first_turn, 0) - 1
        rest = await sessions.messages(SYSTEM, session_id, after=after)
        return [*beginning, *(message for message in rest if message.id not in known)]


def _count(
    state: ConversationState, turns: Sequence[TurnRecord], messages: Sequence[StoredMessage], service: _Service
) -> dict[str, Reading]:
    """Update a state turn by turn and return the last readings."""
    readings: Readings | None = None
    for turn in turns:
        end = message_position(turn.number + 1, 0)
        readings = state.update(
            [_utterance(stored) for stored in messages if _counts(stored, end)],
            error_rate=service.error_rate,
            health=service.health,
        )
    return {} if readings is None else named(readings)


def _counts(stored: StoredMessage, end: int) -> bool:
    return stored.position < end and stored.message.role in _ROLES and bool(stored.message.text.strip())


def _utterance(stored: StoredMessage) -> Utterance:
    return Utterance(_ROLES[stored.message.role], stored.message.text, stored.created_at.timestamp())


def _is_over(turn: TurnRecord) -> bool:
    return turn.state not in UNFINISHED


def named(readings: Readings) -> dict[str, Reading]:
    """Return readings by the names of their metrics."""
    return {name: getattr(readings, name) for name in readings.values}


def contradictions_in_last(said: Sequence[str]) -> int:
    """Count the contradictions between the user's latest message and what the user said before or in it."""
    recent = said[-_OWN_MESSAGES:]
    statements = [(place, sentence) for place, text in enumerate(recent) for sentence in sentences(text)]
    found = contradictions([sentence for _, sentence in statements])
    return sum(statements[pair.second][0] == len(recent) - 1 for pair in found)
