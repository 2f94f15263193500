"""The facts of a conversation that no voice may change: verified ones, and what people gave numbers and names for."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from iskra_metrics.service import VerifiedFacts
from iskra_metrics.text import sentences
from iskra_sdk.errors import IskraError
from iskra_sdk.message import Message
from iskra_sdk.plugin_context import PluginContext
from iskra_voices.policy import Scene

logger = logging.getLogger(__name__)

MOST_GIVEN = 40


async def with_facts(context: PluginContext, session_id: str, scene: Scene, messages: Sequence[Message]) -> Scene:
    """Return a scene with the facts of its conversation, for the voices that are held to them."""
    verified = await verified_facts(context, session_id) if session_id else ()
    return replace(scene, verified=verified, given=await asyncio.to_thread(given_facts, messages))


async def verified_facts(context: PluginContext, session_id: str) -> Sequence[str]:
    """Return the verified facts of a session; none where no plugin offers them."""
    try:
        # A Protocol names the service; mypy takes concrete classes only there.
        service = context.service(VerifiedFacts)  # type: ignore[type-abstract]
    except IskraError:
        return ()
    try:
        return await service.verified(session_id)
    except Exception:
        logger.warning("verified facts could not be read", extra={"session_id": session_id}, exc_info=True)
        return ()


def given_facts(messages: Sequence[Message]) -> list[str]:
    """Return what the user stated with numbers, names, dates or quotations; who corrects themselves is believed."""
    from iskra_metrics.fact_hash import current, gives_values  # heavy; only where answers are checked

    stated = [
        sentence
        for message in messages
        if message.role == "user"
        for sentence in sentences(message.text)
        if not sentence.rstrip().endswith("?") and gives_values(sentence)
    ]
    return current(stated[-MOST_GIVEN:])
