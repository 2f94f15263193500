"""What of a conversation a model call gets."""

import asyncio
import logging
from collections.abc import Sequence
from functools import lru_cache

from iskra.plugin_host.catalog import Catalog
from iskra.turns.context_strategy import RecentMessages
from iskra.turns.turn_services import TurnServices
from iskra_sdk.message import Message

logger = logging.getLogger(__name__)

_FITTING_TIMEOUT = 60.0
"""Seconds a context strategy may take; one that asks a model for a summary needs some."""


async def fitted_messages(messages: Sequence[Message], catalog: Catalog, services: TurnServices) -> Sequence[Message]:
    """Return what the context strategy leaves of a conversation; one that fails is replaced by the kernel's own."""
    strategy, plugin = services.choose_context_strategy(catalog)
    try:
        async with asyncio.timeout(_FITTING_TIMEOUT):
            return await strategy.fit(messages, services.context_budget)
    except Exception as exc:
        services.record_failure(plugin, exc)
        logger.warning("context strategy failed", extra={"strategy": strategy.name}, exc_info=exc)
        return await RecentMessages().fit(messages, services.context_budget)


@lru_cache(maxsize=256)
def system_message(prompt: str) -> Message:
    """Return the same object for the same prompt, so that it is encoded once."""
    return Message.system(prompt)
