"""A failed rollback and the server: experiments are locked there, and a locked server gets no new ones."""

import asyncio
import logging
from collections.abc import Sequence

from iskra_sdk.client import AsyncIskraClient
from iskra_sdk.errors import ConflictError, IskraError

logger = logging.getLogger(__name__)

EXPERIMENTS = "/api/v1/chaos/experiments"
_PATIENCE = 5.0  # seconds; the server under test may be in a bad state
_MOST_REASONS = 50
_LONGEST_REASON = 2000


async def require_unlocked(client: AsyncIskraClient) -> None:
    """Do nothing unless the server's experiments are locked.

    A server that cannot be asked, or knows no such lock, is not locked.

    Raises:
        ConflictError: A rollback failed there, and nobody has unlocked it since.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            status: object = await client.request("GET", EXPERIMENTS)
    except (IskraError, TimeoutError) as exc:
        logger.debug("lock on experiments could not be read", extra={"cause": type(exc).__name__})
        return
    if not isinstance(status, dict) or status.get("is_locked") is not True:
        return
    failed = status.get("failed") or [{}]
    reasons = "; ".join(map(str, failed[0].get("reasons", ())))
    raise ConflictError(
        f"Experiments are locked on this server: the rollback of {failed[0].get('title', '?')!r} failed: {reasons}",
        mend=str(status.get("mend", "")),
        facts={"failed_rollbacks": len(failed)},
    )


async def raise_alarm(client: AsyncIskraClient, title: str, experiment: str, reasons: Sequence[str]) -> str:
    """Tell the server of a failed rollback, which locks its experiments; return why that was not possible."""
    body = {
        "title": title[:300],
        "experiment": experiment,
        "reasons": [reason[:_LONGEST_REASON] for reason in reasons[:_MOST_REASONS]],
    }
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.request("POST", f"{EXPERIMENTS}/lock", body)
    except IskraError as exc:
        return exc.message
    except TimeoutError:
        return f"it did not answer within {_PATIENCE:g} s"
    return ""
