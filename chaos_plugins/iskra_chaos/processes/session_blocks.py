"""The latest turns of a stored session as SIFT blocks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from iskra_chaos.operations.conversation import utterances_of
from iskra_chaos.processes.measuring import OPERATOR
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.building import ToolResult, block_from_turn
from iskra_chaos.sift.drafting import MOST_EARLIER
from iskra_metrics.utterance import Utterance
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import SessionReader, StoredMessage, TurnRecord, message_position

MOST_BLOCKS = 20
_TURNS = 40
"""Turns that are read: the earlier ones say how stable and how stale the later ones are."""
_RECENT = 16  # utterances before a turn; the metrics look at eight turns
_VOICE = "voice:"


@dataclass(slots=True)
class _SaidTurn:
    """What was asked, what tools returned, and what was answered."""

    asked: str
    before: int  # utterances before it
    answered: datetime
    turn_id: TurnId | None
    results: list[ToolResult] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


class SessionBlocks:
    """Makes blocks of stored sessions.

    Args:
        sessions: The stored conversations.
    """

    def __init__(self, sessions: SessionReader) -> None:
        self._sessions = sessions

    async def of(self, principal: Principal, session_id: str) -> list[SIFTBlock]:
        """Return the latest turns that were answered as blocks, oldest first, twenty at most.

        Raises:
            SessionNotFoundError: No such session for this principal.
        """
        owned = SessionId(session_id)
        await self._sessions.session(principal, owned)
        turns = await self._sessions.turns(principal, owned, limit=_TURNS)
        newest = turns[0].number if turns else 0
        stored = await self._sessions.messages(principal, owned, after=message_position(max(0, newest - _TURNS), 0))
        return await asyncio.to_thread(_blocks, stored, {turn.id: turn for turn in turns})


def _blocks(stored: Sequence[StoredMessage], turns: Mapping[TurnId, TurnRecord]) -> list[SIFTBlock]:
    about_operations = {each.turn_id for each in stored if each.agent == OPERATOR}
    messages = [each for each in stored if each.turn_id not in about_operations]
    utterances = utterances_of([each.message for each in messages])
    blocks: list[SIFTBlock] = []
    for said in [turn for turn in _said(messages) if turn.answers][-MOST_BLOCKS - MOST_EARLIER :]:
        record = None if said.turn_id is None else turns.get(said.turn_id)
        blocks.append(_block(said, record, utterances[max(0, said.before - _RECENT) : said.before], blocks))
    return blocks[-MOST_BLOCKS:]


def _block(
    said: _SaidTurn, record: TurnRecord | None, recent: Sequence[Utterance], previous: Sequence[SIFTBlock]
) -> SIFTBlock:
    asked_for = "" if record is None else record.model
    is_voice = asked_for.startswith(_VOICE)
    return block_from_turn(
        said.asked,
        "\n".join(said.answers),
        tool_results=said.results,
        voice=asked_for.removeprefix(_VOICE) if is_voice else "",
        model=f"agent:{record.agent}" if is_voice and record is not None and record.agent else asked_for,
        recent=recent,
        previous=previous,
        at=said.answered,
        actor="server",
    )


def _said(messages: Sequence[StoredMessage]) -> list[_SaidTurn]:
    turns: list[_SaidTurn] = []
    tools: dict[str, str] = {}
    spoken = 0
    for stored in messages:
        message = stored.message
        text = message.text.strip()
        if message.role == "user":
            turns.append(_SaidTurn(message.text, spoken, stored.created_at, stored.turn_id))
        elif turns and message.role == "tool":
            call_id = message.tool_call_id or f"call_{len(turns[-1].results)}"
            turns[-1].results.append(ToolResult(tools.get(call_id, "tool"), call_id, message.text))
        elif turns and message.role == "assistant":
            tools |= {call.id: call.name for call in message.tool_calls}
            if text:
                turns[-1].answers.append(message.text)
                turns[-1].answered = stored.created_at
        spoken += bool(text) and message.role != "system"
    return turns
