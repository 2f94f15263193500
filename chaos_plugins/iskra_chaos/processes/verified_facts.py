"""The verified facts of stored sessions, as their SIFT blocks have them."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from iskra_chaos.processes.measuring import Measuring
from iskra_sdk.message import Message
from iskra_sdk.principal import SYSTEM

_EVIDENCE = re.compile(r" \[evidence: ([^\]]*)\]$")
_TURNS = 20
"""Latest turns whose blocks are made."""


class FactsFromTools:
    """Offers what results of tools verified in a session; see ``iskra_metrics.service.VerifiedFacts``."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring

    async def verified(self, session_id: Any) -> Sequence[str]:
        """Return the statements of a session that have evidence besides somebody's word, oldest first."""
        conversation = await self._measuring.conversation(SYSTEM, str(session_id))
        return await asyncio.to_thread(verified_in, conversation.messages)


def verified_in(messages: Sequence[Message]) -> list[str]:
    """Return the statements of a conversation's answers that results of tools say too."""
    from iskra_chaos.sift.building import ToolResult, block_from_turn  # heavy; this runs in a thread

    found: dict[str, None] = {}
    for asked, results, answers in _turns(messages)[-_TURNS:]:
        if not results:
            continue
        returned = [
            ToolResult("tool", str(result.wire.get("tool_call_id") or f"call_{place}"), result.text)
            for place, result in enumerate(results)
        ]
        block = block_from_turn(asked, "\n".join(answers), tool_results=returned)
        for statement in block.fact.verified_data:
            evidence = _EVIDENCE.search(statement)
            if evidence is not None and evidence[1] != "user":
                found[statement[: evidence.start()]] = None
    return list(found)


def _turns(messages: Sequence[Message]) -> list[tuple[str, list[Message], list[str]]]:
    """Return what was asked, what tools returned, and what was answered, turn by turn."""
    turns: list[tuple[str, list[Message], list[str]]] = []
    for message in messages:
        if message.role == "user":
            turns.append((message.text, [], []))
        elif turns and message.role == "tool":
            turns[-1][1].append(message)
        elif turns and message.role == "assistant" and message.text.strip():
            turns[-1][2].append(message.text)
    return turns
