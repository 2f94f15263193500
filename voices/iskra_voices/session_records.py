"""What the plugin remembers of each session: its metrics, its voice, and which turns a voice attended."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from iskra_metrics.conversation import ConversationState
from iskra_metrics.reading import Reading
from iskra_sdk.errors import StoreError
from iskra_sdk.plugin_context import KeyValueState
from iskra_voices.choice import Choice, Standing

logger = logging.getLogger(__name__)

MOST_IN_MEMORY = 1_000
MOST_ATTENDED = 500
"""Turns per voice whose attendance is remembered, the latest."""

_PREFIX = "session/"


@dataclass(slots=True)
class Spoken:
    """A voice's part in a session.

    Attributes:
        level: How much of what it is for there was, in [0, 1].
        role: ``speaking``, ``primary``, ``collaborating`` or ``closing``.
        at: ISO time of its last answer or activation.
    """

    level: float
    role: str
    at: str


@dataclass(slots=True)
class SessionRecord:
    """One session.

    Attributes:
        standing: Where the choice of voices stands.
        metrics: What the metrics remember.
        readings: As of the last turn that was counted.
        counted: Number of that turn.
        in_crisis: The user's latest message speaks of self-harm or of having nothing to live for.
        turn_id: The turn for which ``choice`` was made.
        pain: The metric with that turn's message taken in, in [0, 1].
        attended: Ids of turns by voice, oldest first.
        spoken: By voice.
        protocol: How voices last worked together.
        is_watched: Metrics are computed after each turn, and not only when somebody asks.
    """

    standing: Standing = field(default_factory=Standing)
    metrics: ConversationState = field(default_factory=ConversationState)
    readings: dict[str, Reading] = field(default_factory=dict)
    counted: int = 0
    in_crisis: bool = False
    turn_id: str = ""
    pain: float = 0.0
    choice: Choice | None = None
    attended: dict[str, list[str]] = field(default_factory=dict)
    spoken: dict[str, Spoken] = field(default_factory=dict)
    protocol: str = "adaptive"
    is_watched: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False, repr=False)

    def attend(self, voice: str, turn_id: str) -> None:
        """Remember that a voice answers in a turn."""
        turns = self.attended.setdefault(voice, [])
        if turn_id not in turns[-1:]:
            turns.append(turn_id)
            del turns[:-MOST_ATTENDED]

    def take_part(self, voice: str, spoken: Spoken) -> None:
        """Remember a voice's part; there is one primary voice at a time."""
        if spoken.role == "primary":
            for other in self.spoken.values():
                other.role = "speaking" if other.role == "primary" else other.role
        self.spoken[voice] = spoken

    def to_json(self) -> dict[str, Any]:
        """Return the record as values that JSON can hold."""
        readings = {
            name: {**{key: getattr(one, key) for key in ("value", "n_turns", "confidence")}, "parts": dict(one.parts)}
            for name, one in self.readings.items()
        }
        return {
            "standing": asdict(self.standing),
            "metrics": self.metrics.to_json(),
            "readings": readings,
            "counted": self.counted,
            "in_crisis": self.in_crisis,
            "attended": self.attended,
            "spoken": {voice: asdict(spoken) for voice, spoken in self.spoken.items()},
            "protocol": self.protocol,
            "watched": self.is_watched,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SessionRecord":
        """Return the record that :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is of another version.
        """
        return cls(
            standing=Standing(**data["standing"]),
            metrics=ConversationState.from_json(data["metrics"]),
            readings={name: Reading(**reading) for name, reading in data["readings"].items()},
            counted=int(data["counted"]),
            in_crisis=bool(data["in_crisis"]),
            attended={voice: list(turns) for voice, turns in data["attended"].items()},
            spoken={voice: Spoken(**spoken) for voice, spoken in data["spoken"].items()},
            protocol=str(data["protocol"]),
            is_watched=bool(data["watched"]),
        )


class SessionRecords:
    """Keeps the records of sessions: the latest in memory, all that were saved in the plugin's durable state.

    Args:
        state: The durable state.
    """

    def __init__(self, state: KeyValueState) -> None:
        self._state = state
        self._records: OrderedDict[str, SessionRecord] = OrderedDict()

    async def of(self, session_id: str) -> SessionRecord:
        """Return a session's record, a new one if there is none. A store that is away gives a new one too."""
        found = self._records.get(session_id)
        if found is None:
            kept = await self._kept(session_id)
            found = self._records.setdefault(session_id, kept)
        self._records.move_to_end(session_id)
        if len(self._records) > MOST_IN_MEMORY:
            self._records.popitem(last=False)
        return found

    def known(self, session_id: str) -> SessionRecord | None:
        """Return a record that is in memory."""
        return self._records.get(session_id)

    async def save(self, session_id: str) -> None:
        """Write a record that is in memory to the durable state; a store that is away is tried again next time."""
        record = self._records.get(session_id)
        if record is None:
            return
        try:
            await self._state.put(_PREFIX + session_id, record.to_json())
        except StoreError as exc:
            logger.warning("session record not saved", extra={"session_id": session_id, "error": exc.code})

    async def forget(self, session_id: str) -> None:
        """Remove a record everywhere."""
        self._records.pop(session_id, None)
        await self._state.put(_PREFIX + session_id, None)

    async def _kept(self, session_id: str) -> SessionRecord:
        try:
            data = await self._state.get(_PREFIX + session_id)
            return SessionRecord() if data is None else SessionRecord.from_json(data)
        except StoreError as exc:
            logger.warning("session record not read", extra={"session_id": session_id, "error": exc.code})
        except (KeyError, TypeError, ValueError):
            logger.warning("session record of another version", extra={"session_id": session_id})
        return SessionRecord()
